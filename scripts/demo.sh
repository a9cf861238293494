#!/usr/bin/env bash
# The whole story, for real: a Prometheus with hours of data, an application with a database and a Grafana (a stand-in,
# or a real one that WATCHKEEPER_TEST_GRAFANA_URL names, which is only exported) are backed up, tidied and looked at, lose
# everything, and have it back. In containers where a Docker engine answers or can be started, else with plain processes.
# Nothing stays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
have cargo || die "No cargo: install Rust from your distribution or https://rustup.rs"

name=watchkeeper-demo-$$
. scripts/scene.sh
. scripts/application.sh
. scripts/grafana.sh
at_end tidy

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# What the server answers for the two-hour windows of the past, one line each: time, samples, temperature.
count_query='sum(count_over_time(shop_orders_total[2h]))'
value_query='avg(avg_over_time(shop_temperature_celsius[2h]))'
answers() {
  per_window "$count_query" >"$folder/counts"
  per_window "$value_query" >"$folder/values"
  join "$folder/counts" "$folder/values"
}
per_window() {
  curl -fsG "http://127.0.0.1:$port/api/v1/query_range" --data "start=$((start + window))" --data "end=$end" \
    --data "step=$window" --data-urlencode "query=$1 or vector(0)" |
    jq -r '.data.result[0].values[] | "\(.[0]) \(.[1] | tonumber * 1000 | round / 1000)"'
}
live_samples() { value "sum(count_over_time(up[1h] @ $live_until))"; }

title "Getting ready"
CI= scripts/setup.sh "$folder"
# Together: alone, each of them has the crates built with other features.
cargo build --release --locked --bin watchkeeper --example grafana-stand-in
PATH="$(realpath "${CARGO_TARGET_DIR:-target}/release"):$PATH"
port=$(free_port)
make_blocks
prepare_application
if engine_answers; then
  start_container
  start_application
  echo "A Prometheus runs in the container $name, its data in a volume; an application in $application."
  configuration="paths     = [\"/etc/prometheus/prometheus.yml\", \"/etc/prometheus/rules.yml\"]
container = \"$name\""
else
  start_process
  start_application
  echo "No Docker engine: Prometheus and an application run as plain processes."
  configuration="paths    = [\"$folder/config\"]"
fi
wait_until_it_serves
if [ -n "${WATCHKEEPER_TEST_GRAFANA_URL:-}" ]; then
  grafana_url=$WATCHKEEPER_TEST_GRAFANA_URL grafana_user=${WATCHKEEPER_TEST_GRAFANA_USER:-admin}
  export GRAFANA_PASSWORD=${WATCHKEEPER_TEST_GRAFANA_PASSWORD:-admin}
else
  start_grafana
  grafana_user=admin grafana_url=http://127.0.0.1:$grafana_port
  export GRAFANA_PASSWORD=admin
  echo "In place of a Grafana, a stand-in that answers as a recorded 7.5.5 does; it holds one of everything."
fi
echo "Prometheus holds $windows blocks, $((windows * 2)) hours of two metrics, and scrapes itself and the application every second."

mkdir "$folder/state" "$folder/backups"
cat >"$folder/jobs.toml" <<CONFIG
state_dir  = "$folder/state"
backup_dir = "$folder/backups"

[prometheus.main]
url = "http://127.0.0.1:$port"
$target

[application.memory-server]
url       = "http://127.0.0.1:$application_port"
expect_metric = "mcp_journal_sessions_total"
$application_target

[grafana.main]
url      = "$grafana_url"
user     = "$grafana_user"
password = { env = "GRAFANA_PASSWORD" }

[[job]]
name       = "prometheus-snapshot"
kind       = "prometheus-snapshot"
prometheus = "main"
schedule   = "0 2 * * *"
keep       = { last = 7 }

[[job]]
name       = "block-cleanup"
kind       = "block-cleanup"
prometheus = "main"
older_than = "8h"
schedule   = "40 4 * * 0"

[[job]]
name     = "configuration"
kind     = "files-backup"
schedule = "10 2 * * *"
$configuration
keep     = { last = 14 }

[[job]]
name        = "stale-sessions"
kind        = "close-stale-sessions"
application = "memory-server"
schedule    = "0 * * * *"
keep        = { last = 24 }

[[job]]
name        = "database"
kind        = "sqlite-backup"
application = "memory-server"
schedule    = "20 2 * * *"
keep        = { last = 7 }

[[job]]
name     = "grafana"
kind     = "grafana-export"
grafana  = "main"
schedule = "30 2 * * *"
keep     = { last = 7 }

[[job]]
name     = "verify"
kind     = "verify-deployment"
schedule = "*/15 * * * *"

[[job]]
name    = "disk"
kind    = "command"
command = ["df", "-h", "$folder/backups"]
CONFIG
export WATCHKEEPER_CONFIG=$folder/jobs.toml
typed "cat jobs.toml"
cat "$folder/jobs.toml"

title "1. Is everything as it has to be?"
show_warning watchkeeper check --online

title "2. Old blocks stay as long as no backup holds them"
show_warning watchkeeper run-now block-cleanup --dry-run

title "3. A backup"
live_until=$(($(date +%s) - 2))
answers >"$folder/before"
awk '$2 == 0 { exit 1 }' "$folder/before" || die "The blocks do not answer: there is nothing to lose."
live_before=$(live_samples)
show_warning watchkeeper run-now prometheus-snapshot
title "4. Another one: only what is new is read and stored"
show_warning watchkeeper run-now prometheus-snapshot
show_warning watchkeeper backups

title "5. Now old blocks may go"
show_warning watchkeeper run-now block-cleanup

title "6. The configuration, as files"
show_warning watchkeeper run-now configuration

title "7. Sessions that nobody has closed: which they are, closed, after a backup of the database"
show_warning watchkeeper run-now stale-sessions --dry-run
show_warning watchkeeper run-now stale-sessions

title "8. The database, under its writer"
show_warning watchkeeper run-now database
sessions="SELECT id, task, start_time, end_time FROM work_sessions"
sqlite3 "$folder/app/memory.db" "$sessions" >"$folder/sessions"

title "9. Everything that Grafana tells, in every organisation"
show_warning watchkeeper run-now grafana

title "10. Does everything work?"
show watchkeeper run-now verify --wait 30s

title "11. Any other program"
show watchkeeper run-now disk

title "12. The data are lost"
lose_the_data
wait_for 60 ready || die "Prometheus does not get ready"
answers >"$folder/lost"
echo "Samples of the shops it still has: $(awk '{ n += $2 } END { print n + 0 }' "$folder/lost")"
lose_the_database
if [ -n "${grafana_pid:-}" ]; then
  lose_grafana
  echo "The stand-in for Grafana is a new one, empty, with other numbers."
fi

title "13. They come back, with the blocks that were cleaned away"
show_warning watchkeeper restore prometheus-snapshot --yes
show_warning watchkeeper restore database --yes
if [ -n "${grafana_pid:-}" ]; then
  show_warning watchkeeper restore grafana --yes
  show_warning watchkeeper run-now grafana >"$folder/again"
  exports=("$folder"/backups/grafana/grafana_*.tar.gz)
fi
wait_for 60 ready || die "Prometheus does not get ready"
wait_for 30 application_is_well || die "The application does not get well"
answers >"$folder/after"
live_after=$(live_samples)

title "14. The same queries before and after"
typed "$count_query"
typed "$value_query"
printf '%-15s%20s%20s%20s\n' "two hours until" "before" "lost" "restored"
paste -d ' ' "$folder/before" "$folder/lost" "$folder/after" | while read -r at n1 v1 _ n2 v2 _ n3 v3; do
  printf '%-15s%10s%10s%10s%10s%10s%10s\n' "$(date -d "@$at" +'%a %H:%M')" "$n1" "$v1" "$n2" "$v2" "$n3" "$v3"
done
printf '%-15s%10s%40s\n' "live head" "$live_before" "$live_after"
typed "$sessions"
sqlite3 "$folder/app/memory.db" "$sessions" | tee "$folder/sessions.after"
cmp -s "$folder/before" "$folder/lost" && die "The data was never lost: this demo proved nothing."
cmp -s "$folder/before" "$folder/after" || die "DIFFERENT: the answers after the restore are not those from before."
[ "$live_before" = "$live_after" ] || die "DIFFERENT: the live head had $live_before samples and has $live_after."
cmp -s "$folder/sessions" "$folder/sessions.after" || die "DIFFERENT: the sessions are not those of the backup."
if [ -n "${grafana_pid:-}" ]; then
  for export in "${exports[@]}"; do tar -tzf "$export" | sort >"$export.names"; done
  cmp "${exports[0]}.names" "${exports[1]}.names" || die "DIFFERENT: Grafana does not hold what it held."
  echo "Grafana: $(wc -l <"${exports[1]}.names") files in the export before and after, of the same names."
fi
title "15. What was just restored, no cleanup deletes"
show_warning watchkeeper run-now block-cleanup --dry-run
title "16. How every job stands"
show_warning watchkeeper status
echo
echo "${bold}Equal.${plain} Every answer is as it was before the loss."
