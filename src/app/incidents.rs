//! Incidents while a daemon runs: what an Alertmanager tells opens and closes them (`incoming`), and each is followed until it
//! is over (`follow`): its response is run, apart from the request that told of it, and who is to be told is told.
//!
//! All of it is in the history: a daemon that is started anew goes on where the one before it was.

mod escalate;
mod follow;
mod incoming;
mod respond;

pub use follow::{Follower, follow};
pub use incoming::{Incoming, NoticeCounts};
