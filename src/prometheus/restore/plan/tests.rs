use super::*;
use crate::prometheus::block::Damage;
use crate::prometheus::block::meta::{BlockCompaction, BlockStats};
use crate::prometheus::folder_op::{FolderBlock, RestoreNote, RestoreState};
use crate::store::Owner;
use ulid::Ulid;

const HOUR: i64 = 3_600_000;

fn report(id: u128, end: i64) -> BlockReport {
    let ulid = Ulid::from_parts(1, id);
    let meta = BlockMeta {
        ulid,
        min_time: (end - 2) * HOUR,
        max_time: end * HOUR,
        stats: BlockStats { num_samples: 10, num_series: 2, ..BlockStats::default() },
        compaction: BlockCompaction { level: 1, sources: vec![ulid], ..BlockCompaction::default() },
        version: 1,
    };
    BlockReport {
        name: ulid.to_string(),
        meta: Some(meta),
        damage: Vec::new(),
        probes: Vec::new(),
        bytes: 1000,
    }
}

fn source(blocks: Vec<BlockReport>) -> RestoreSource {
    let mut source = RestoreSource::for_tests(blocks);
    source.origin.product_version = Some("2.42.0".into());
    source
}

fn folder() -> FolderState {
    FolderState {
        owner: Owner { uid: 1, gid: 1, mode: 0o755 },
        free_bytes: 1 << 30,
        blocks: Vec::new(),
        head_bytes: 0,
        snapshots: Vec::new(),
        restores: Vec::new(),
        past: Vec::new(),
        past_problem: None,
        creating: Vec::new(),
        deleting: Vec::new(),
        locked: false,
        closed: None,
    }
}

fn destination() -> Destination {
    Destination {
        target: "main".into(),
        url: "http://h:9090/".into(),
        container: Some("prometheus".into()),
        data_path: "/prometheus".into(),
        running: Some(true),
        controllable: true,
        version: Some("2.42.0".into()),
        retention: Some("15d".into()),
    }
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millisecond(hours * HOUR).unwrap()
}

#[test]
fn a_plan_without_anything_odd_has_no_warning_and_no_refusal() {
    let plan = plan(&source(vec![report(1, 2), report(2, 4)]), &folder(), destination(), at(5));
    assert_eq!((plan.warnings.as_slice(), plan.refusals.as_slice()), (&[][..], &[][..]));
    assert_eq!((plan.samples, plan.bytes, plan.time), (20, 2000, (0, 4 * HOUR)));
    assert!(plan.space.needed > 2000);
}

#[test]
fn damaged_blocks_are_left_out_and_named_with_what_is_wrong() {
    let mut bad = report(1, 2);
    bad.damage.push(Damage { file: "index".into(), problem: "torn".into(), keeps_prometheus_down: true });
    let plan = plan(&source(vec![bad.clone(), report(2, 4)]), &folder(), destination(), at(5));
    assert_eq!(plan.names(), [Ulid::from_parts(1, 2).to_string()]);
    assert_eq!(plan.left_out[0].damage, ["index: torn"]);
    assert_eq!(plan.left_out[0].time, Some((0, 2 * HOUR)));
    let text = plan.warnings[0].to_string();
    assert!(text.starts_with("1 block of the backup is damaged and left out: 0"), "{text}");
}

#[test]
fn a_source_of_nothing_but_damage_is_refused() {
    let mut bad = report(1, 2);
    bad.meta = None;
    let plan = plan(&source(vec![bad]), &folder(), destination(), at(5));
    assert_eq!(plan.refusals, [Refusal::Empty]);
}

#[test]
fn blocks_that_the_retention_deletes_are_named_before_and_never_hidden() {
    let mut to = destination();
    to.retention = Some("1d".into());
    let plan = plan(&source(vec![report(1, 2), report(2, 20), report(3, 30)]), &folder(), to, at(50));
    let texts: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("as soon as it starts") && texts[0].contains("(1d)"), "{texts:?}");
    assert!(texts[1].contains("about 3 h after the start"), "{texts:?}");
    assert_eq!(plan.blocks.len(), 3);
    assert!(plan.refusals.is_empty());
}

#[test]
fn without_an_answer_the_retention_of_the_backup_is_assumed_and_said() {
    let mut to = destination();
    (to.retention, to.running) = (None, Some(false));
    let mut from = source(vec![report(1, 2), report(2, 40)]);
    from.origin.retention = Some("1d".into());
    let plan = plan(&from, &folder(), to, at(41));
    assert_eq!(plan.blocks[0].fate, Fate::TooOld);
    assert!(plan.warnings.contains(&Warning::RetentionAssumed { retention: "1d".into() }));
}

#[test]
fn newer_live_data_are_said_to_be_set_aside() {
    let mut live = folder();
    let meta = report(9, 8).meta;
    let name = "x".to_owned();
    live.blocks = vec![FolderBlock { name, meta, bytes: 7, foreign_owner: false }];
    let with_block = plan(&source(vec![report(1, 2)]), &live, destination(), at(9));
    assert_eq!(with_block.warnings, [Warning::NewerSetAside { from: 2 * HOUR, until: Some(8 * HOUR) }]);
    assert_eq!(with_block.live.time, Some((6 * HOUR, 8 * HOUR)));
    live.blocks.clear();
    live.head_bytes = 5;
    let with_head = plan(&source(vec![report(1, 2)]), &live, destination(), at(9));
    assert_eq!(with_head.warnings, [Warning::NewerSetAside { from: 2 * HOUR, until: None }]);
}

#[test]
fn an_unfinished_restore_no_space_and_an_unstoppable_server_are_refused() {
    let mut live = folder();
    let note = RestoreNote {
        restore: Ulid::from_parts(5, 5),
        began: at(1),
        source: "job/1".into(),
        blocks: Vec::new(),
    };
    live.restores = vec![RestoreState {
        note,
        phase: Phase::Swapping,
        changed: Timestamp::UNIX_EPOCH,
        set_aside_bytes: 0,
        down: false,
    }];
    live.free_bytes = 1 << 20;
    let mut to = destination();
    to.controllable = false;
    let plan = plan(&source(vec![report(1, 2)]), &live, to, at(3));
    assert_eq!(plan.refusals.len(), 3);
    let hint = plan.refusals[0].hint().unwrap();
    assert!(hint.contains("--resume") && hint.contains("--undo"), "{hint}");
    assert_eq!(
        plan.refusals[1].to_string(),
        "The data folder has 1.0 MiB free, and the restore needs 64.0 MiB"
    );
    assert!(plan.refusals[2].hint().unwrap().contains("[prometheus.main]"));
}

#[test]
fn a_finished_restore_is_no_reason_to_refuse_another() {
    let mut live = folder();
    let note = RestoreNote { restore: Ulid::nil(), began: at(1), source: "job/1".into(), blocks: Vec::new() };
    live.restores = vec![RestoreState {
        note,
        phase: Phase::Proven,
        changed: Timestamp::UNIX_EPOCH,
        set_aside_bytes: 9,
        down: false,
    }];
    let plan = plan(&source(vec![report(1, 2)]), &live, destination(), at(3));
    assert!(plan.refusals.is_empty());
}

#[test]
fn an_older_server_is_told_of() {
    for (server, warned) in [("2.41.9", true), ("2.42.7", false), ("3.1.0", false), ("odd", false)] {
        let mut to = destination();
        to.version = Some(server.into());
        let plan = plan(&source(vec![report(1, 2)]), &folder(), to, at(3));
        let is = plan.warnings.iter().any(|w| matches!(w, Warning::OlderServer { .. }));
        assert_eq!(is, warned, "{server}");
    }
}

#[test]
fn overlapping_blocks_matter_to_servers_before_2_39_only() {
    for (server, warned) in [("2.38.0", true), ("2.39.0", false)] {
        let mut to = destination();
        to.version = Some(server.into());
        let plan = plan(&source(vec![report(1, 2), report(2, 3)]), &folder(), to, at(3));
        let is = plan.warnings.iter().any(|w| matches!(w, Warning::Overlap { .. }));
        assert_eq!(is, warned, "{server}");
    }
}

#[test]
fn a_plan_is_json_with_every_block_and_its_fate() {
    let plan = plan(&source(vec![report(1, 2)]), &folder(), destination(), at(3));
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["blocks"][0]["fate"], "stays");
    assert_eq!(json["destination"]["container"], "prometheus");
}
