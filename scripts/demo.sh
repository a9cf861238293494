#!/usr/bin/env bash
# The whole story, for real: a Prometheus with hours of data is backed up, loses everything, and has it back.
# In a container where a Docker engine answers or can be started, else with plain processes. Nothing stays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
have cargo || die "No cargo: install Rust from your distribution or https://rustup.rs"

name=watchkeeper-demo-$$
. scripts/scene.sh
end_with_tidying

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
cargo build --release --locked
PATH="$(realpath "${CARGO_TARGET_DIR:-target}/release"):$PATH"
port=$(free_port)
make_blocks
if engine_answers; then
  start_container
  echo "A Prometheus runs in the container $name, its data in a volume."
else
  start_process
  echo "No Docker engine: Prometheus runs as a plain process."
fi
wait_until_it_serves
echo "It holds $windows blocks, $((windows * 2)) hours of two metrics, and scrapes itself every second."

mkdir "$folder/state" "$folder/backups"
cat >"$folder/jobs.toml" <<CONFIG
state_dir  = "$folder/state"
backup_dir = "$folder/backups"

[prometheus.main]
url = "http://127.0.0.1:$port"
$target

[[job]]
name       = "prometheus-snapshot"
kind       = "prometheus-snapshot"
prometheus = "main"
schedule   = "0 2 * * *"
keep       = { last = 7 }
CONFIG
export WATCHKEEPER_CONFIG=$folder/jobs.toml
typed "cat jobs.toml"
cat "$folder/jobs.toml"

title "1. Is everything as it has to be?"
show_warning watchkeeper check --online

title "2. A backup"
live_until=$(($(date +%s) - 2))
answers >"$folder/before"
awk '$2 == 0 { exit 1 }' "$folder/before" || die "The blocks do not answer: there is nothing to lose."
live_before=$(live_samples)
show_warning watchkeeper run-now prometheus-snapshot
title "3. Another one: only what is new is read and stored"
show_warning watchkeeper run-now prometheus-snapshot
show_warning watchkeeper backups

title "4. The data is lost"
lose_the_data
wait_for 60 ready || die "Prometheus does not get ready"
answers >"$folder/lost"
echo "Samples of the shops it still has: $(awk '{ n += $2 } END { print n + 0 }' "$folder/lost")"

title "5. The restore"
show_warning watchkeeper restore prometheus-snapshot --yes
wait_for 60 ready || die "Prometheus does not get ready"
answers >"$folder/after"
live_after=$(live_samples)

title "6. The same queries before and after"
typed "$count_query"
typed "$value_query"
printf '%-15s%20s%20s%20s\n' "two hours until" "before" "lost" "restored"
paste -d ' ' "$folder/before" "$folder/lost" "$folder/after" | while read -r at n1 v1 _ n2 v2 _ n3 v3; do
  printf '%-15s%10s%10s%10s%10s%10s%10s\n' "$(date -d "@$at" +'%a %H:%M')" "$n1" "$v1" "$n2" "$v2" "$n3" "$v3"
done
printf '%-15s%10s%40s\n' "live head" "$live_before" "$live_after"
echo
cmp -s "$folder/before" "$folder/lost" && die "The data was never lost: this demo proved nothing."
cmp -s "$folder/before" "$folder/after" || die "DIFFERENT: the answers after the restore are not those from before."
[ "$live_before" = "$live_after" ] || die "DIFFERENT: the live head had $live_before samples and has $live_after."
echo "${bold}Equal.${plain} Every answer is as it was before the loss."
