//! What the programs that are run here do not inherit.

/// The variables by which systemd and its service talk: what a program said there would be taken for the service's own
/// word. One that needs them is given them in its own environment.
pub const OF_THE_SERVICE: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];
