//! Everything that is tested against real processes: one binary, so that it is linked once and so that the
//! block sets and images are made once.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails where it stands, says what it skipped, and writes no backups"
)]

mod bad_input;
mod bench_data;
mod block;
mod calendar;
mod change;
mod change_back;
mod change_bare;
mod change_candidate;
mod change_dashboard;
mod change_pending;
mod change_places;
mod change_rights;
mod change_rules;
mod check;
mod cleanup;
mod command;
mod command_line;
mod daemon;
mod damaged_blocks;
mod deployment;
mod diagnose;
mod docker;
mod end_to_end;
mod export;
mod file_limit;
mod files;
mod files_links;
mod files_roots;
mod files_trees;
mod files_undo;
mod full_disk;
mod grafana_bar;
mod grafana_choice;
mod grafana_client;
mod grafana_counts;
mod grafana_cut;
mod grafana_export;
mod grafana_export_faults;
mod grafana_export_who;
mod grafana_hints;
mod grafana_into;
mod grafana_letter;
mod grafana_meanwhile;
mod grafana_names;
mod grafana_needs;
mod grafana_permissions;
mod grafana_real;
mod grafana_restore;
mod grafana_restore_faults;
mod grafana_rules;
mod grafana_secrets;
mod grafana_shrunk;
mod grafana_source;
mod grafana_spool;
mod grafana_stand_in;
mod grafana_types;
mod grafana_undo;
mod grafana_undo_edits;
mod grafana_undo_which;
mod grafana_versions;
mod grafana_wire;
mod halfway;
mod hangup;
mod harness;
mod hooks;
mod incident;
mod keeper;
mod killed;
mod layers;
mod layouts;
mod lost;
mod metrics;
mod notify;
mod other_source;
mod recover;
mod regular;
mod reliability;
mod restore;
mod restore_alive;
mod restore_folder;
mod restore_source;
mod retention;
mod secrets;
mod slots;
mod snapshot_links;
mod sqlite;
mod stale_sessions;
mod standing;
mod stdout;
mod store_away;
mod support;
mod systemd;
mod torture;
mod ways;
