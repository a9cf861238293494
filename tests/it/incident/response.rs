//! The response to an incident: what was looked at is in its timeline, and a job runs only where that is allowed, as often as
//! it is, and with nothing of the alert.

use super::*;

/// A response to `Down` by this program, with these keys.
pub(super) fn response(keys: &str, program: &str) -> String {
    format!(
        "[[response]]\nalert = \"Down\"\n{keys}\n[[response.step]]\nname = \"looks\"\nkind = \"exec\"\nin = \"host\"\n\
         timeout = \"5m\"\ncommand = [\"sh\", \"-c\", {program:?}]\n"
    )
}

/// A job `mend` that writes down what it was given.
fn mend(given: &std::path::Path) -> String {
    format!(
        "[[job]]\nname = \"mend\"\nkind = \"command\"\nshell = true\ncommand = 'cat /proc/$$/cmdline >> {0}; env >> {0}'\n",
        given.display()
    )
}

fn runs(keeper: &Keeper) -> Vec<Value> {
    let history = keeper.watchkeeper.run_json(&["history", "mend"]).expect(0).json();
    history["runs"].as_array().unwrap().clone()
}

#[test]
fn an_allowed_job_runs_for_an_incident_as_often_as_allowed_and_gets_nothing_of_the_alert() {
    let mut keeper = Keeper::start("");
    let given = keeper.watchkeeper.folder().join("given");
    let allowed = "allow = [\"mend\"]\ncooldown = \"0s\"\ncap = { runs = 1, within = \"1h\" }";
    keeper.configure(&(mend(&given) + &response(allowed, "echo it is broken; exit 3")));
    keeper.signal("-HUP");
    wait_until("it is configured", SOON, || keeper.log().contains("the configuration was read anew"));
    let mut alert = firing("ab", "Down", &now());
    alert["labels"]["instance"] = json!("$(touch /tmp/hostile-label)");
    alert["annotations"]["summary"] = json!("'; hostile-summary #");
    keeper.tell(&[alert]);
    keeper.wait_for(1, "done");
    assert_eq!(keeper.kinds(1), ["opened", "step", "response", "action", "action"]);
    let said = keeper.texts(1);
    assert!(said[1].starts_with("looks: ") && said[2].contains("this host was looked at: "), "{said:?}");
    assert_eq!(said[3], "the job mend is run, as the response allows");
    assert!(said[4].starts_with("the job mend: done"), "{said:?}");
    // By the same path as all others.
    let run = &runs(&keeper)[0];
    assert_eq!((run["cause"].as_str(), run["incident"].as_u64()), (Some("incident"), Some(1)));
    assert_eq!(keeper.show(1)["timeline"][4]["run"], run["run"]);
    let shown = keeper.watchkeeper.run(&["show", "mend"]).expect(0).stdout;
    assert!(shown.contains("(command, incident 1)"), "{shown}");
    let given = fs::read_to_string(&given).unwrap();
    assert!(given.contains("WATCHKEEPER") || given.contains("PATH="), "{given}");
    assert!(!given.contains("hostile") && !given.contains("Down"), "{given}");
    assert!(!keeper.log().contains("hostile"));
    // Another one of the same alert: it only reports.
    keeper.tell(&[firing("cd", "Down", &now())]);
    keeper.wait_for(2, "done");
    let last = keeper.texts(2).pop().unwrap();
    assert_eq!(
        last,
        "the job mend is not run: at most 1 run within 1 h 00 m are allowed, and so many there were"
    );
    assert_eq!(runs(&keeper).len(), 1);
    keeper.stop();
}

#[test]
fn no_job_runs_that_is_not_allowed_or_where_nothing_was_found_or_which_is_paused() {
    let mut keeper = Keeper::start("");
    let given = keeper.watchkeeper.folder().join("given");
    let configure = |keys: &str, program: &str| {
        keeper.configure(&(mend(&given) + &response(&format!("{keys}\ncooldown = \"0s\""), program)));
        let before = keeper.log().matches("the configuration was read anew").count();
        keeper.signal("-HUP");
        wait_until("it is configured", SOON, || {
            keeper.log().matches("the configuration was read anew").count() > before
        });
    };
    configure("", "exit 3");
    keeper.tell(&[firing("1", "Down", &now())]);
    keeper.wait_for(1, "done");
    assert_eq!(keeper.kinds(1), ["opened", "step", "response"]);
    configure("allow = [\"mend\"]", "true");
    keeper.tell(&[firing("2", "Down", &now())]);
    keeper.wait_for(2, "done");
    assert!(keeper.texts(2)[2].ends_with("no job is run for that"), "{:?}", keeper.texts(2));
    configure("allow = [\"mend\"]", "exit 3");
    keeper.watchkeeper.run(&["pause", "mend"]).expect(0);
    keeper.tell(&[firing("3", "Down", &now())]);
    keeper.wait_for(3, "done");
    assert!(
        keeper.texts(3)[3].starts_with("the job mend is not run: paused since "),
        "{:?}",
        keeper.texts(3)
    );
    assert!(runs(&keeper).is_empty() && !given.exists());
    keeper.stop();
}

#[test]
fn one_response_runs_at_a_time_and_the_others_cool_down() {
    let mut keeper = Keeper::start(&response("cooldown = \"1h\"", "exit 0"));
    let alerts: Vec<Value> = (1..=5).map(|nth| firing(&format!("{nth}"), "Down", &now())).collect();
    keeper.tell(&alerts);
    keeper.wait_for(5, "none");
    let responses =
        keeper.incidents().into_iter().rev().map(|one| one["response"].as_str().unwrap().to_owned());
    assert_eq!(responses.collect::<Vec<_>>(), ["done", "none", "none", "none", "none"]);
    let last = keeper.texts(5).pop().unwrap();
    assert!(last.starts_with("it is not looked at by itself: that was done for incident 1 while"), "{last}");
    keeper.stop();
}

#[test]
fn a_response_that_was_cut_is_made_again_and_one_whose_alert_has_ended_before_is_missed() {
    let mut keeper = Keeper::start("");
    let flag = keeper.watchkeeper.folder().join("flag");
    let waits = format!("while ! test -e {}; do sleep 0.1; done", flag.display());
    keeper.kill();
    keeper.configure(&response("cooldown = \"0s\"", &waits));
    keeper.begin();
    let started = now();
    keeper.tell(&[firing("1", "Down", &started)]);
    keeper.wait_for(1, "runs");
    keeper.tell(&[firing("2", "Down", &started)]);
    keeper.tell(&[resolved("2", "Down", &started)]);
    keeper.kill();
    assert_eq!(keeper.show(1)["response"], "runs");
    fs::write(&flag, "").unwrap();
    keeper.begin();
    keeper.wait_for(1, "done");
    keeper.wait_for(2, "missed");
    assert_eq!(keeper.kinds(1), ["opened", "response", "step", "response"]);
    assert!(keeper.texts(1)[1].contains("that is done again"), "{:?}", keeper.texts(1));
    assert!(keeper.texts(2)[2].contains("it was closed before that could begin"));
    keeper.stop();
}

#[test]
fn an_alert_that_fires_again_and_goes_on_is_looked_at_when_the_cooldown_is_over() {
    let mut keeper = Keeper::start(&response("cooldown = \"4s\"", "exit 0"));
    keeper.tell(&[firing("1", "Down", &now())]);
    keeper.wait_for(1, "done");
    // Later than that was looked at, and within the cooldown.
    let (goes_on, ends) = (now(), now());
    keeper.tell(&[firing("2", "Down", &goes_on), firing("3", "Down", &ends)]);
    wait_until("it is said that it waits", SOON, || keeper.texts(2).len() == 2);
    let said = keeper.texts(2).remove(1);
    assert!(said.starts_with("it is not looked at yet: that was done for incident 1 "), "{said}");
    keeper.tell(&[resolved("3", "Down", &ends)]);
    keeper.wait_for(2, "done");
    keeper.wait_for(3, "missed");
    assert_eq!(keeper.kinds(2), ["opened", "response", "step", "response"]);
    keeper.stop();
}

#[test]
fn a_response_that_was_cut_does_not_cool_down_for_itself() {
    let mut keeper = Keeper::start("");
    let flag = keeper.watchkeeper.folder().join("flag");
    let waits = format!("while ! test -e {}; do sleep 0.1; done", flag.display());
    keeper.kill();
    keeper.configure(&response("cooldown = \"1h\"", &waits));
    keeper.begin();
    keeper.tell(&[firing("1", "Down", &now())]);
    keeper.wait_for(1, "runs");
    keeper.kill();
    fs::write(&flag, "").unwrap();
    keeper.begin();
    keeper.wait_for(1, "done");
    assert_eq!(keeper.kinds(1), ["opened", "response", "step", "response"]);
    keeper.stop();
}

#[test]
fn a_response_is_not_for_alerts_whose_labels_are_as_they_must_not_be() {
    let mut keeper = Keeper::start(
        &(response("match = { severity = { not = \"critical\" } }", "exit 0")
            + &response("match = { severity = { not_regex = \"warn.*\" } }", "exit 3")),
    );
    // It is critical: only the second one is for it.
    keeper.tell(&[firing("1", "Down", &now())]);
    keeper.wait_for(1, "done");
    assert!(keeper.texts(1)[1].contains("ended with 3"), "{:?}", keeper.texts(1));
    let mut warning = firing("2", "Down", &now());
    warning["labels"]["severity"] = json!("warning");
    keeper.tell(&[warning]);
    keeper.wait_for(2, "done");
    assert!(keeper.texts(2)[1].contains("ended well"), "{:?}", keeper.texts(2));
    keeper.stop();
}
