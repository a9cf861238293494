//! Whether the daemon does its work: it plans, and looks how everything stands.

use std::time::{Duration, Instant};

use crate::app::observer::FRESH;
use crate::schedule::driver::Beat;
use crate::words;

/// The clock is looked at each second; an alarm that fell silent is set anew within some.
const PLANS: Duration = Duration::from_secs(20);

/// The reason, where it does not. `seen`: when it was last looked.
pub(super) fn health(beat: &Beat, seen: Option<Instant>, now: Instant) -> Result<(), String> {
    let age = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
    match (age(beat.at), age(seen)) {
        (None, _) => Err("the scheduler has not begun to look at the clock".to_owned()),
        (Some(age), _) if age > PLANS => Err(format!(
            "the scheduler has not looked at the clock for {}: no job is started",
            words::duration(age)
        )),
        (_, None) => Err("nobody has looked yet how the jobs stand".to_owned()),
        (_, Some(age)) if age > FRESH => {
            Err(format!("nobody has looked for {} how the jobs stand", words::duration(age)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_well_while_it_plans_and_looks() {
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let of = |planned, seen, now| {
            let beat = Beat { at: planned, ..Beat::default() };
            health(&beat, seen, start + Duration::from_secs(now)).err().unwrap_or_default()
        };
        assert_eq!(of(at(299), at(10), 300), "");
        assert_eq!(of(None, at(10), 300), "the scheduler has not begun to look at the clock");
        assert!(of(at(270), at(299), 300).starts_with("the scheduler has not looked at the clock for 30 s"));
        assert_eq!(of(at(300), None, 300), "nobody has looked yet how the jobs stand");
        assert!(of(at(400), at(10), 400).starts_with("nobody has looked for 6 m 30 s"));
    }
}
