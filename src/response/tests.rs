use super::*;

fn result(name: &str, findings: &[(Severity, &str)], error: Option<&str>) -> StepResult {
    let findings = findings.iter();
    let findings = findings.map(|(severity, text)| Finding { severity: *severity, text: (*text).to_owned() });
    StepResult {
        name: name.to_owned(),
        took: Duration::from_millis(12),
        findings: findings.collect(),
        evidence: vec![format!("evidence of {name}")],
        error: error.map(str::to_owned),
    }
}

fn diagnosis(steps: Vec<StepResult>) -> Diagnosis {
    Diagnosis {
        alert: "ServiceDown".to_owned(),
        target: "application.app".to_owned(),
        began: Timestamp::UNIX_EPOCH,
        took: Duration::from_secs(1),
        steps,
        recommends: vec!["`docker start app`".to_owned()],
        would_do: vec!["restart-app".parse().unwrap()],
    }
}

#[test]
fn the_page_begins_with_the_worst_and_ends_with_what_would_be_done() {
    let steps = vec![
        result("one", &[(Severity::Good, "good")], None),
        result("two", &[(Severity::Caution, "doubtful"), (Severity::Bad, "bad")], None),
        result("three", &[], Some("no engine")),
    ];
    let wanted = "ServiceDown (application.app): something is wrong
looked at 1970-01-01 00:00:00 +00:00, for 1.0 s

  BAD      bad
  CAUTION  doubtful
  CAUTION  three was not looked at: no engine
  ok       good

What this was found by
  one (12 ms)
      evidence of one
  two (12 ms)
      evidence of two
  three (12 ms)
      evidence of three

What to do
  1. `docker start app`

What the response allows to be done by itself
  1. run the job restart-app
";
    assert_eq!(page(&diagnosis(steps), &jiff::tz::TimeZone::UTC), wanted);
}

#[test]
fn a_step_that_was_not_made_needs_a_look_and_good_is_only_what_was_looked_at() {
    let good = || result("a", &[(Severity::Good, "x")], None);
    assert_eq!(diagnosis(vec![good()]).severity(), Severity::Good);
    assert_eq!(diagnosis(vec![good(), result("b", &[], Some("no"))]).severity(), Severity::Caution);
    let bad = result("b", &[(Severity::Bad, "y")], Some("no"));
    assert_eq!(diagnosis(vec![good(), bad]).severity(), Severity::Bad);
}

#[test]
fn what_is_kept_is_read_back_as_it_was() {
    let kept = diagnosis(vec![result("a", &[(Severity::Bad, "x")], Some("no"))]);
    let json = serde_json::to_string(&kept).unwrap();
    assert!(json.contains("\"millis\":1000") && json.contains("\"severity\":\"bad\""), "{json}");
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), kept);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_ends_at_its_limit_and_may_still_say_what_it_has() {
    let stop = CancellationToken::new();
    let hangs = std::future::pending::<Result<Seen, Unable>>();
    let (seen, why) = within(Duration::from_secs(5), &stop, hangs).await;
    assert_eq!((seen.findings.len(), why.as_deref()), (0, Some("it took longer than 5.0 s")));
    assert!(stop.is_cancelled());

    let stop = CancellationToken::new();
    let ends_when_told = async {
        stop.cancelled().await;
        let mut seen = Seen::default();
        seen.evidence("so far");
        Ok(seen)
    };
    let (seen, why) = within(Duration::from_secs(5), &stop, ends_when_told).await;
    assert_eq!((seen.evidence, why.is_some()), (vec!["so far".to_owned()], true));
}
