//! How often a stream that ends too early is noticed: each time, wherever it ends, and however politely.

use std::fs::OpenOptions;

use super::containers::{SIZE, Scene};
use super::grafana;
use crate::reliability::{figure, in_full};
use crate::support::grafana_export::archives;
use crate::support::proxy::{Fault, What};
use crate::torture::sweep::Dice;

fn times() -> usize {
    if in_full() { 100 } else { 5 }
}

fn below(dice: &mut Dice, size: u64) -> u64 {
    u64::try_from(dice.roll(usize::try_from(size).unwrap())).unwrap()
}

fn tell(what: &str, noticed: usize) {
    assert_eq!(noticed, times(), "{what}");
    figure(&format!("truncation: {what}"), &format!("{noticed} of {} noticed", times()));
}

#[test]
fn a_file_that_shrinks_in_a_container_is_noticed_although_the_engine_ends_the_stream_in_good_order() {
    let (Some(scene), mut dice) = (Scene::new(""), Dice::new()) else { return };
    let mut noticed = 0;
    let before = scene.backups();
    for _ in 0..times() {
        scene.write();
        let child = scene.held_after(1 + below(&mut dice, SIZE / 2));
        let file = OpenOptions::new().write(true).open(scene.file()).unwrap();
        file.set_len(below(&mut dice, SIZE)).unwrap();
        scene.proxy.heal();
        let output = scene.wait(child);
        noticed += usize::from(output.code == 1);
        let told = ["/data", &scene.container.name, "shorter while it was read", "next\n    exclude "];
        assert!(told.iter().all(|told| output.stdout.contains(told)), "{output:?}");
    }
    assert_eq!(scene.backups(), before);
    scene.is_clean();
    scene.write();
    scene.is_whole();
    tell("a file shrinks in a container while it is streamed", noticed);
}

#[test]
fn a_file_that_grows_or_is_written_anew_in_a_container_is_told() {
    let (Some(scene), mut dice) = (Scene::new(""), Dice::new()) else { return };
    let mut whole = 0;
    for _ in 0..times() {
        scene.write();
        let child = scene.held_after(1 + below(&mut dice, SIZE / 2));
        let file = OpenOptions::new().append(true).open(scene.file()).unwrap();
        std::io::Write::write_all(&mut &file, &vec![7; 1 + dice.roll(1 << 20)]).unwrap();
        scene.proxy.heal();
        let output = scene.wait(child);
        let told = output.stdout.contains("/data/big: it changed while it was read");
        assert_eq!(output.code == 3, told, "{output:?}");
        // A busy engine may come to the file only then.
        if output.code == 0 {
            scene.newest_is_whole(&output);
            whole += 1;
        }
    }
    scene.write();
    scene.is_whole();
    let told = times() - whole;
    assert!(told > times() / 2);
    figure(
        "a file grows in a container while it is streamed",
        &format!("{told} of {} told, {whole} had all of what it had grown to", times()),
    );
}

#[test]
fn a_stream_of_the_engine_that_is_cut_is_noticed() {
    let (Some(scene), mut dice) = (Scene::new(""), Dice::new()) else { return };
    let (mut noticed, before) = (0, scene.backups());
    let archive = format!("/containers/{}/archive", scene.container.name);
    for _ in 0..times() {
        let at = below(&mut dice, SIZE);
        scene.proxy.inject(Fault::new(What::ClosedAfter(at)).at(&archive));
        let output = scene.wait(scene.spawn());
        assert!(scene.proxy.hits() > 0, "it was not cut at {at}: {output:?}");
        noticed += usize::from(output.code == 1 && output.stdout.contains(&scene.container.name));
        scene.proxy.heal();
    }
    assert_eq!(scene.backups(), before);
    scene.is_clean();
    scene.is_whole();
    tell("the stream of an engine is cut", noticed);
}

#[test]
fn an_answer_of_a_grafana_that_is_cut_is_noticed() {
    let (scene, mut dice) = (grafana::Scene::new(), Dice::new());
    let requests =
        ["GET /api/health", "GET /api/org", "GET /api/search", "GET /api/datasources", "GET /api/teams"];
    let (mut noticed, before) = (0, archives(&scene.watchkeeper).len());
    while noticed < times() {
        // The shortest of these answers has more.
        let fault =
            Fault::new(What::ClosedAfter(below(&mut dice, 150))).at(requests[dice.roll(requests.len())]);
        let (code, said) = scene.export(&fault);
        assert_eq!(code, 1, "{fault:?}: {said}");
        noticed += 1;
    }
    assert_eq!(archives(&scene.watchkeeper).len(), before);
    tell("an answer of a Grafana is cut", noticed);
}
