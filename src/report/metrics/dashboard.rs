//! A dashboard for Grafana. It is of the schema of Grafana 7.5, which every later one brings up to its own.

use serde_json::{Value, json};

/// Grafana 7.5.
const SCHEMA: u32 = 27;
/// By it Grafana knows the dashboard again when it is imported anew.
const UID: &str = "watchkeeper";
/// Columns of the grid.
const WIDTH: u32 = 24;

/// The dashboard as Grafana imports it. Data source and jobs are chosen in it.
pub fn dashboard() -> Value {
    let mut grid = Grid::default();
    let stats = [
        stat(
            "Daemon",
            "max(watchkeeper_daemon_running)",
            "none",
            &json!([{ "value": null, "color": "red" }, { "value": 1, "color": "green" }]),
        ),
        stat("Jobs overdue", "sum(watchkeeper_job_overdue{job_name=~\"$job\"})", "none", &bad_from(1)),
        stat(
            "Jobs failed last",
            "count(watchkeeper_job_consecutive_failures{job_name=~\"$job\"} > 0) or vector(0)",
            "none",
            &bad_from(1),
        ),
        stat(
            "Damaged backups",
            "sum(watchkeeper_job_bad_backups{job_name=~\"$job\"} + watchkeeper_job_broken_backups{job_name=~\"$job\"}) or vector(0)",
            "none",
            &bad_from(1),
        ),
        stat(
            "Stored",
            "sum(watchkeeper_job_stored_bytes{job_name=~\"$job\"}) or vector(0)",
            "bytes",
            &bad_from(None::<u32>),
        ),
        stat("Clock jumps", "sum(watchkeeper_clock_jumps_total)", "none", &bad_from(None::<u32>)),
    ];
    grid.row(4, stats);
    grid.row(10, [status()]);
    grid.row(8, [
        graph("Age of the last success, in periods", "none", &[(
            "(time() - watchkeeper_job_last_success_timestamp_seconds{job_name=~\"$job\"}) / watchkeeper_job_period_seconds{job_name=~\"$job\"}",
            "{{job_name}}",
        )]),
        graph("Duration", "s", &[("watchkeeper_job_last_duration_seconds{job_name=~\"$job\"}", "{{job_name}}")]),
    ]);
    grid.row(
        8,
        [
            graph(
                "Newest backup",
                "bytes",
                &[("watchkeeper_job_backup_bytes{job_name=~\"$job\"}", "{{job_name}}")],
            ),
            graph("Stored", "bytes", &[("watchkeeper_job_stored_bytes{job_name=~\"$job\"}", "{{job_name}}")]),
        ],
    );
    grid.row(8, [
        graph("Missed slots and failures in a row", "none", &[
            ("watchkeeper_job_missed_slots_total{job_name=~\"$job\"}", "{{job_name}} missed"),
            ("watchkeeper_job_consecutive_failures{job_name=~\"$job\"}", "{{job_name}} failed"),
        ]),
        graph("Oldest verification, as a share of what is allowed", "percentunit", &[(
            "(time() - watchkeeper_job_verified_timestamp_seconds{job_name=~\"$job\"}) / watchkeeper_job_verify_within_seconds{job_name=~\"$job\"}",
            "{{job_name}}",
        )]),
    ]);
    json!({
        "uid": UID, "title": "Watchkeeper", "tags": ["watchkeeper"], "schemaVersion": SCHEMA, "version": 1, "id": null,
        "description": "How the jobs of Watchkeeper stand. Written by `watchkeeper dashboard`.",
        "editable": true, "graphTooltip": 1, "style": "dark", "timezone": "", "refresh": "1m",
        "time": { "from": "now-7d", "to": "now" }, "timepicker": {}, "links": [], "annotations": { "list": [] },
        "templating": { "list": [data_source(), job()] },
        "panels": grid.panels,
    })
}

fn data_source() -> Value {
    json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "regex": "",
        "hide": 0, "multi": false, "includeAll": false, "skipUrlSync": false, "options": [], "current": {},
    })
}

fn job() -> Value {
    let query = "label_values(watchkeeper_job_enabled, job_name)";
    json!({
        "name": "job", "label": "Job", "type": "query", "datasource": "${datasource}", "definition": query,
        "query": { "query": query, "refId": "jobs" }, "refresh": 2, "regex": "", "sort": 1, "hide": 0, "multi": true,
        "includeAll": true, "allValue": ".*", "skipUrlSync": false, "options": [],
        "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
    })
}

/// Puts panels side by side and row below row.
#[derive(Default)]
struct Grid {
    panels: Vec<Value>,
    y: u32,
}

impl Grid {
    fn row<const N: usize>(&mut self, height: u32, panels: [Value; N]) {
        let width = WIDTH / u32::try_from(N).unwrap_or(WIDTH);
        for (mut panel, x) in panels.into_iter().zip((0..).step_by(usize::try_from(width).unwrap_or(1))) {
            panel["id"] = json!(self.panels.len() + 1);
            panel["gridPos"] = json!({ "x": x, "y": self.y, "w": width, "h": height });
            self.panels.push(panel);
        }
        self.y += height;
    }
}

/// Green below, red from there on.
fn bad_from(limit: impl Into<Option<u32>>) -> Value {
    let bad = limit.into().map(|limit| json!({ "value": limit, "color": "red" }));
    std::iter::once(json!({ "value": null, "color": "green" })).chain(bad).collect()
}

fn panel(kind: &str, title: &str, targets: &Value, defaults: &Value) -> Value {
    json!({
        "type": kind, "title": title, "datasource": "${datasource}", "targets": targets,
        "fieldConfig": { "defaults": defaults, "overrides": [] },
    })
}

fn stat(title: &str, expr: &str, unit: &str, steps: &Value) -> Value {
    let targets = json!([{ "refId": "A", "expr": expr, "instant": true }]);
    let defaults = json!({ "unit": unit, "thresholds": { "mode": "absolute", "steps": steps } });
    let mut panel = panel("stat", title, &targets, &defaults);
    panel["options"] = json!({
        "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "value",
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
    });
    panel
}

fn graph(title: &str, unit: &str, queries: &[(&str, &str)]) -> Value {
    let targets = queries
        .iter()
        .zip('A'..)
        .map(|((expr, legend), letter)| json!({ "refId": letter, "expr": expr, "legendFormat": legend }));
    let custom = json!({ "drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": true });
    let mut panel =
        panel("timeseries", title, &targets.collect(), &json!({ "unit": unit, "min": 0, "custom": custom }));
    panel["options"] = json!({
        "legend": { "displayMode": "list", "placement": "bottom", "calcs": [] }, "tooltip": { "mode": "multi" },
    });
    panel
}

/// A row for each job.
fn status() -> Value {
    let of = |metric: &str| format!("max by (job_name) (watchkeeper_job_{metric}{{job_name=~\"$job\"}})");
    let ago = |metric: &str| format!("time() - {}", of(metric));
    let outcome =
        "max by (job_name, kind, target, outcome) (watchkeeper_job_last_outcome{job_name=~\"$job\"} == 1)";
    let columns = [
        ("", outcome.to_owned(), "none"),
        ("since last success", ago("last_success_timestamp_seconds"), "s"),
        ("until next slot", format!("{} - time()", of("next_slot_timestamp_seconds")), "s"),
        ("overdue", of("overdue"), "bool_yes_no"),
        ("paused", of("paused"), "bool_yes_no"),
        ("missed", of("missed_slots_total"), "none"),
        ("failed in a row", of("consecutive_failures"), "none"),
        ("took", of("last_duration_seconds"), "s"),
        ("backups", of("backups"), "none"),
        ("newest backup", of("backup_bytes"), "bytes"),
        ("retention held", of("retention_held"), "bool_yes_no"),
    ];
    let letters = || columns.iter().zip('A'..);
    let targets = letters().map(
        |((_, expr, _), letter)| json!({ "refId": letter, "expr": expr, "instant": true, "format": "table" }),
    );
    let renamed = letters().skip(1).map(|((name, ..), letter)| (format!("Value #{letter}"), json!(name)));
    let renamed: serde_json::Map<String, Value> = renamed
        .chain([("job_name".to_owned(), json!("job")), ("outcome".to_owned(), json!("last run"))])
        .collect();
    let units = columns.iter().skip(1).filter(|(_, _, unit)| *unit != "none").map(|(name, _, unit)| {
        json!({ "matcher": { "id": "byName", "options": name }, "properties": [{ "id": "unit", "value": unit }] })
    });
    let mut panel = panel("table", "Jobs", &targets.collect(), &json!({ "custom": { "align": "left" } }));
    panel["fieldConfig"]["overrides"] = units.collect();
    panel["options"] = json!({ "showHeader": true });
    panel["transformations"] = json!([
        { "id": "merge", "options": {} },
        { "id": "organize", "options": { "excludeByName": { "Time": true, "Value #A": true }, "indexByName": {}, "renameByName": renamed } },
    ]);
    panel
}
