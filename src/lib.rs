//! Watchkeeper keeps the watchers: a scheduled job runner for a monitoring stack.
//!
//! # The rooms
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | `jobs.toml` becomes a [`config::Config`], or a list of everything that is wrong with it |
//! | [`docker`] | containers, transfers through never-started helpers, our own binary inside a container |
//! | [`files`] | backup and restore of named files and folders |
//! | [`grafana`] | export of a Grafana over its HTTP API, as objects in an archive |
//! | [`sqlite`] | backup and restore of SQLite databases, and the sessions in them that nobody has closed |
//! | [`http`] | requests with limits, for those who know what a server should answer |
//! | [`deployment`] | the checks of a `verify-deployment`, one file each |
//! | [`command`] | any program as a job |
//! | [`response`] | looking at what an alert is about: steps that change nothing, and what they come to |
//! | `blocking` | work on a thread of its own |
//! | `regular` | reading what has to be a regular file |
//! | [`progress`] | what a run is doing: steps, bytes, warnings; collected for the record, shown by a sink |
//! | [`jobs`] | the kinds of job, what one is given, and what comes out of it |
//! | [`prometheus`] | snapshot, block checks and restore of a Prometheus TSDB |
//! | [`upkeep`] | what a backup job does after its backup: reading again, pruning |
//! | [`retention`] | which backups to keep and why, as a plan with reasons |
//! | [`recovery`] | stopping and starting what is down, in order, until it is ready or it is known why not |
//! | [`service`] | stopping and starting what a target runs as |
//! | [`runner`] | one run from what triggered it to its record: locks, attempts, limits |
//! | [`history`] | what ran, in SQLite |
//! | [`incident`] | what becomes of an alert that an Alertmanager tells of, and who is told when it lasts |
//! | [`identity`] | whether what lies at `backup_dir` is the store that backups were made in |
//! | [`standing`] | how every job stands, for all who tell it |
//! | [`state_dir`] | the program's own folder |
//! | [`report`] | how an outcome is worded, and who is told of it |
//! | [`rights`] | what this process may do, and what gives it what it lacks |
//! | [`room`] | how much a disk can take, and what of it is left alone |
//! | [`web`] | what the daemon serves over HTTP |
//! | [`words`] | sizes, times and errors as a person reads them |
//! | [`schedule`] | when a job is due |
//! | [`store`] | backups on disk: manifests, archives, locks |

pub mod app;
mod blocking;
pub mod cli;
pub mod command;
pub mod config;
pub mod deployment;
pub mod docker;
pub mod files;
pub mod grafana;
pub mod history;
pub mod http;
pub mod identity;
pub mod incident;
pub mod inherited;
pub mod jobs;
pub mod progress;
pub mod prometheus;
pub mod recovery;
mod regular;
pub mod report;
pub mod response;
pub mod retention;
pub mod rights;
pub mod room;
pub mod runner;
pub mod schedule;
pub mod service;
pub mod sqlite;
pub mod standing;
pub mod state_dir;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod web;
pub mod words;
