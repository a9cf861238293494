//! What an earlier recovery of the target has left stopped, as a part of the plan.

use jiff::Timestamp;

use super::Draft;
use crate::recovery::Fate;
use crate::words;

impl Draft<'_> {
    /// What an earlier recovery has left stopped ran, and is brought back.
    pub(super) async fn look_back(&mut self, now: Timestamp) {
        let noted = match self.shared.noted(&self.options.target, now).await {
            Ok(noted) => noted,
            Err(error) => {
                let why = words::chain(&error);
                self.warnings.push(format!("what an earlier recovery has stopped cannot be read: {why}"));
                return;
            }
        };
        // The last that was stopped is the first that is started.
        for looked in noted.iter().rev().filter(|looked| looked.fate == Fate::Down) {
            let (stopped, run) = (&looked.stopped, looked.stopped.run);
            if let Some(place) = self.parts.iter().position(|part| stopped.is(part)) {
                self.parts[place].ran = true;
                let planned = &mut self.planned[place];
                planned.state = format!("{}, stopped by run {run}", planned.state);
            } else if let Some(part) = looked.part(self.shared) {
                let part_name = &part.name;
                self.warnings.push(format!(
                    "{part_name} was stopped by run {run} and is not started: it is started before anything is stopped"
                ));
                self.left.push(part);
            }
        }
    }
}
