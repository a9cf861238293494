//! Nothing is lost, whatever breaks: what is killed, and what fails, at every call by which the program changes something,
//! what is damaged, and what is sent by who means harm. `make torture` does it in full, for docs/RELIABILITY.md, and
//! `make test` a little of each.
//!
//! The calls are seen, killed and made to fail by strace, so the program under test is the one that is shipped. A step is
//! a call together with the place it changes; which there are is seen in a run that nobody disturbs.

mod backups;
mod cleanup;
mod cut;
mod damage;
mod faults;
mod files;
mod hostile;
mod network;
mod reads;
mod restore;
mod sessions;
mod sqlite;
mod sweep;
