//! What is taken and what is not, and that nothing is lost that was answered with 200.

use super::*;
use crate::support::past::history;

#[test]
fn who_has_no_token_or_makes_no_sense_is_refused_with_a_reason_and_nothing_is_kept() {
    let mut keeper = Keeper::start("");
    let body = payload(&[firing("ab", "Down", &now())]).to_string();
    let asked = |method: &str, headers: &[(&str, &str)]| {
        let answer = http::send(keeper.port, method, PATH, headers, &body).unwrap();
        (answer.status, answer.body)
    };
    for headers in [&[][..], &[("Authorization", "Bearer hunter")], &[("Authorization", "Basic hunter2")]] {
        let (status, said) = asked("POST", headers);
        assert!(status == 401 && said.contains("a token is needed"), "{status}: {said}");
    }
    assert_eq!(asked("GET", &[("Authorization", "Bearer hunter2")]).0, 405);
    let refused = |body: &str, status: u16, why: &str| {
        let (found, said) = keeper.post(body);
        assert!(found == status && said.contains(why), "{found}: {said}");
    };
    refused("not JSON", 400, "is not the JSON that an Alertmanager posts");
    refused(
        &body.replace("\"version\":\"4\"", "\"version\":\"3\""),
        400,
        "version \"3\", and version \"4\" is read",
    );
    refused(&body.replace("\"ab\"", "\"../x\""), 400, "alert 1: \"fingerprint\"");
    refused(&"[".repeat(100_000), 400, "recursion");
    let large = body.replace("nobody can log in", &"x".repeat(2 << 20));
    refused(&large, 413, "longer than 1 MiB");
    refused(&payload(&[json!({ "status": "firing" })]).to_string(), 400, "alert 1: missing field");
    assert!(keeper.incidents().is_empty());
    let counter =
        |result: &str| keeper.metric(&format!("watchkeeper_webhook_notices_total{{result=\"{result}\"}}"));
    wait_until("they are counted", SOON, || counter("refused") == Some(9.0) && counter("taken") == Some(0.0));
    assert_eq!(keeper.post(&body).0, 200);
    wait_until("it is counted", SOON, || {
        counter("taken") == Some(1.0) && keeper.metric("watchkeeper_incidents_open") == Some(1.0)
    });
    assert!(!keeper.log().contains(TOKEN));
    // Without [webhook] there is none.
    keeper.watchkeeper.configure(&format!("[metrics]\nlisten = \"127.0.0.1:{}\"\n", keeper.port));
    keeper.signal("-HUP");
    let is_closed = || {
        let token = [("Authorization", "Bearer hunter2")];
        let answer = http::send(keeper.port, "POST", PATH, &token, &body);
        answer.is_some_and(|answer| answer.status == 404 && answer.body.contains("no [webhook]"))
    };
    wait_until("it is closed", SOON, is_closed);
    keeper.stop();
}

#[test]
fn the_same_payload_a_hundred_times_is_one_incident_and_many_alerts_at_once_are_as_many() {
    let mut keeper = Keeper::start("");
    let started = now();
    for _ in 0..100 {
        keeper.tell(&[firing("ab", "Down", &started)]);
    }
    let incident = keeper.show(1);
    assert_eq!((keeper.incidents().len(), incident["notices"].as_u64()), (1, Some(100)));
    assert_eq!((keeper.kinds(1), incident["response"].as_str()), (vec!["opened".to_owned()], Some("none")));
    // In one payload, and by many at once.
    let of = |range: std::ops::Range<u32>| {
        range.map(|nth| firing(&format!("{nth:016x}"), "Many", &started)).collect::<Vec<_>>()
    };
    keeper.tell(&of(0..200));
    assert_eq!(keeper.incidents().len(), 201);
    std::thread::scope(|scope| {
        for part in 0..8 {
            let (keeper, alerts) = (&keeper, of(200 + part * 25..225 + part * 25));
            scope.spawn(move || alerts.iter().for_each(|alert| keeper.tell(std::slice::from_ref(alert))));
        }
    });
    assert_eq!(keeper.incidents().len(), 401);
    keeper.tell(&(0..400).map(|nth| resolved(&format!("{nth:016x}"), "Many", &started)).collect::<Vec<_>>());
    let open = keeper.watchkeeper.run_json(&["incidents", "--open"]).expect(0).json();
    assert_eq!(open["incidents"].as_array().unwrap().len(), 1);
    keeper.stop();
}

#[test]
fn what_was_answered_with_200_is_there_after_a_kill_and_late_notices_change_nothing() {
    let mut keeper = Keeper::start("");
    let started = now();
    for nth in 1..=5 {
        keeper.tell(&[firing(&format!("{nth:x}"), "Down", &started)]);
        keeper.kill();
        assert_eq!(keeper.incidents().len(), nth);
        keeper.begin();
    }
    keeper.tell(&[resolved("1", "Down", &started)]);
    // Late ones: it fired, and it ended.
    keeper.tell(&[firing("1", "Down", &started), resolved("1", "Down", &started)]);
    // Its end came before its beginning.
    keeper.tell(&[resolved("abc", "Late", &started)]);
    keeper.tell(&[firing("abc", "Late", &started)]);
    let states: Vec<bool> = keeper.incidents().iter().map(|one| one["open"].as_bool().unwrap()).collect();
    assert_eq!(states, [false, true, true, true, true, false]);
    keeper.tell(&[firing("1", "Down", &now())]);
    let newest = &keeper.incidents()[0];
    assert_eq!((newest["number"].as_u64(), newest["open"].as_bool()), (Some(7), Some(true)));
    keeper.stop();
}

#[test]
fn what_cannot_be_kept_is_to_be_told_again() {
    let mut keeper = Keeper::start(
        "[[job]]\nname = \"long\"\nkind = \"command\"\ncommand = [\"sleep\", \"600\"]\nschedule = \"* * * * * *\"\n",
    );
    let body = payload(&[firing("ab", "Down", &now())]).to_string();
    let other = history(&keeper.watchkeeper);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, said) = keeper.post(&body);
    assert!(
        status == 503 && said.contains("it cannot be kept now: ") && said.contains("history.db"),
        "{said}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    wait_until("it is kept", SOON, || keeper.post(&body).0 == 200);
    assert_eq!(keeper.incidents().len(), 1);
    // It waits for its run, and takes nothing more.
    let running = || {
        !keeper.watchkeeper.run_json(&["history", "long"]).expect(0).json()["runs"]
            .as_array()
            .unwrap()
            .is_empty()
    };
    wait_until("the job runs", SOON, running);
    keeper.signal("-TERM");
    let is_refused = || {
        let (status, said) = keeper.post(&body);
        status == 503 && said.contains("the daemon is stopping")
    };
    wait_until("nothing more is taken", SOON, is_refused);
    let mut daemon = keeper.daemon.take().unwrap();
    wait_until("the daemon ends", SOON, || {
        run(Command::new("sh").args(["-c", &format!("kill -TERM {} || true", daemon.id())]));
        daemon.try_wait().unwrap().is_some()
    });
}

#[test]
fn what_an_alert_says_neither_acts_on_a_terminal_nor_makes_lines_of_its_own() {
    let mut keeper = Keeper::start("");
    let mut alert = firing("ab", "Down\u{1b}[2J\n    now  closed", &now());
    alert["annotations"]["summary"] = json!("first\n  timeline\u{1b}]0;x\u{7}");
    alert["labels"]["a\nb"] = json!("c\nd");
    keeper.tell(&[alert]);
    for arguments in [&["incidents"][..], &["incident", "show", "1"]] {
        let text = keeper.watchkeeper.run(arguments).expect(0).stdout;
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert!(text.matches("timeline\n").count() <= 1 && !text.contains("\n    now"), "{text}");
    }
    keeper.stop();
    // Without a daemon, too.
    let noted = keeper.watchkeeper.run(&["incident", "note", "1", "restarted by hand"]).expect(0);
    assert_eq!(noted.stdout, "noted in incident 1\n");
    let text = keeper.watchkeeper.run(&["incident", "show", "1"]).expect(0).stdout;
    assert!(text.lines().last().unwrap().ends_with("note         restarted by hand"), "{text}");
    for (arguments, code) in [
        (&["incident", "show", "2"][..], 2),
        (&["incident", "note", "2", "x"], 2),
        (&["incident", "show", "x"], 2),
        (&["incident", "note", "1", "a\nb"], 2),
        (&["incident", "note", "1", " "], 2),
    ] {
        keeper.watchkeeper.run(arguments).expect(code);
    }
    assert_eq!(keeper.kinds(1), ["opened", "note"]);
}

#[test]
fn what_does_not_fit_on_a_full_disk_is_told_again_and_kept_when_there_is_room() {
    let (watchkeeper, port) = (Watchkeeper::with_config(""), scratch::free_port());
    watchkeeper.configure(&format!(
        "reserve = \"0\"\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n[webhook]\ntoken = {{ env = \"WEBHOOK_TOKEN\" }}\n"
    ));
    let alerts = (0..200).map(|nth| {
        let mut alert = firing(&format!("{nth:x}"), "Many", &now());
        for name in ["a", "b", "c"] {
            alert["annotations"][name] = json!("x".repeat(1_000));
        }
        alert
    });
    let body = watchkeeper.folder().join("body.json");
    fs::write(&body, payload(&alerts.collect::<Vec<_>>()).to_string()).unwrap();
    // A tmpfs of 4 MiB is the whole state_dir, and something fills what is left of it.
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs \"$FOLDER\"; export WEBHOOK_TOKEN={TOKEN}; $WATCHKEEPER run 2>/dev/null & daemon=$!\n\
         url=http://127.0.0.1:{port}; for i in $(seq 900); do curl -fs $url/healthz && break; sleep 0.1; done\n\
         post() {{ curl -s -w 'status=%{{http_code}}\\n' -H 'Authorization: Bearer {TOKEN}' --data-binary @{} $url{PATH}; }}\n\
         cat /dev/zero > \"$FOLDER/fill\" 2>/dev/null || true\npost; $WATCHKEEPER --json incidents -n 1000 | grep -c fingerprint || true\n\
         rm \"$FOLDER/fill\"; post; kill $daemon; wait $daemon\necho now; $WATCHKEEPER --json incidents -n 1000 | grep -c fingerprint",
        body.display()
    );
    let output = watchkeeper.run_in_mounts(&watchkeeper.state(), &script).expect(0);
    let (before, after) = output.stdout.split_once("status=503\n0\n").unwrap_or_else(|| panic!("{output:?}"));
    assert!(before.contains("it cannot be kept now: ") && before.contains("full"), "{before}");
    assert!(after.starts_with("kept: 200 opened") && after.ends_with("status=200\nnow\n200\n"), "{after}");
}

#[test]
fn an_alert_without_a_fingerprint_takes_no_other_with_it() {
    let mut keeper = Keeper::start("");
    let mut nameless = firing("ab", "Nameless", &now());
    nameless.as_object_mut().unwrap().remove("fingerprint");
    let (status, said) = keeper.post(&payload(&[nameless, firing("cd", "Down", &now())]).to_string());
    assert!(
        status == 200 && said.contains("1 alert not taken: alert 1: missing field `fingerprint`"),
        "{status}: {said}"
    );
    let incidents = keeper.incidents();
    assert_eq!((incidents.len(), incidents[0]["alert"].as_str()), (1, Some("Down")));
    assert!(
        keeper.log().contains("nobody knows of these: alert 1: missing field `fingerprint`"),
        "{}",
        keeper.log()
    );
    keeper.stop();
}

#[test]
fn a_token_that_is_not_to_be_had_takes_nothing_but_the_webhook_away_until_it_is() {
    let watchkeeper = Watchkeeper::with_config("");
    let (token, port) = (watchkeeper.folder().join("token"), scratch::free_port());
    fs::write(&token, "").unwrap();
    watchkeeper.configure(&format!(
        "[metrics]\nlisten = \"127.0.0.1:{port}\"\n[webhook]\ntoken = {{ file = {:?} }}\n",
        token.display().to_string()
    ));
    let said = watchkeeper.run(&["check"]).expect(3);
    assert!(said.stdout.contains("token") && said.stdout.contains(" is empty"), "{said:?}");
    let mut keeper = Keeper { watchkeeper, port, daemon: None };
    // It is well, and shows its metrics.
    keeper.begin();
    wait_until("the metrics are there", SOON, || keeper.metric("watchkeeper_incidents_open") == Some(0.0));
    let body = payload(&[firing("ab", "Down", &now())]).to_string();
    let (status, said) = keeper.post(&body);
    assert!(status == 503 && said.contains("the token of [webhook] is not to be had"), "{status}: {said}");
    // An empty one is none.
    let empty = http::send(port, "POST", PATH, &[("Authorization", "Bearer ")], &body).unwrap();
    assert_eq!(empty.status, 503);
    assert!(keeper.log().contains("NO ALERTS are taken from an Alertmanager"), "{}", keeper.log());
    assert!(!keeper.log().contains("NO METRICS"));
    fs::write(&token, TOKEN).unwrap();
    wait_until("it is taken", SOON, || http::get(port, "/healthz").is_some() && keeper.post(&body).0 == 200);
    assert_eq!(keeper.incidents().len(), 1);
    keeper.stop();
}

#[test]
fn an_empty_variable_is_told_by_check_and_at_the_start() {
    let mut keeper =
        Keeper { watchkeeper: Watchkeeper::with_config(""), port: scratch::free_port(), daemon: None };
    keeper.configure("");
    let check = |arguments: &[&str]| {
        let mut command = keeper.watchkeeper.command(arguments);
        let child = command.env("WEBHOOK_TOKEN", "").spawn().unwrap();
        keeper.watchkeeper.wait(child, arguments)
    };
    let empty = "The secret from the environment variable WEBHOOK_TOKEN is empty";
    let said = check(&["check"]).expect(3);
    assert!(said.stdout.contains(empty), "{said:?}");
    let said = check(&["check", "--online"]).expect(1);
    assert!(said.stdout.contains(&format!("webhook\n  PROBLEM  {empty}")), "{said:?}");
    keeper.begin_with("");
    assert!(keeper.log().contains(empty), "{}", keeper.log());
    keeper.stop();
}
