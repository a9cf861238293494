#!/usr/bin/env bash
# Measures how the cost of a backup grows: with the number of blocks, and with their size. Prints the tables that
# docs/SCALE.md has between its markers, and writes them there. Prometheus runs as a plain process; nothing stays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
watchkeeper=$target/release/watchkeeper
folder=$(mktemp -d "${BENCH_DIR:-/var/tmp}/watchkeeper-scale.XXXXXX")
pid=
finish() {
  local code=$?
  trap - EXIT INT TERM
  stop_server
  stop_engine "$folder"
  rm -rf "$folder"
  exit "$code"
}
stop_server() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; } || true
  pid=
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

BENCH=yes CI='' scripts/setup.sh "$folder"
cargo build --release --locked --bin watchkeeper --example tsdb-blocks
. scripts/bench/measure.sh

port=19000
while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
ready() { curl -fs -o /dev/null "http://127.0.0.1:$port/-/ready"; }

cat >"$folder/jobs.toml" <<CONFIG
state_dir  = "$folder/state"
backup_dir = "$folder/backups"
[prometheus.main]
url      = "http://127.0.0.1:$port"
data_dir = "$folder/data"
[[job]]
name       = "scale"
kind       = "prometheus-snapshot"
prometheus = "main"
keep       = { last = 7 }
CONFIG
echo 'global: {}' >"$folder/prometheus.yml"

# serve LAYOUT SERIES INTERVAL: a Prometheus on fresh blocks, and an empty store.
serve() {
  stop_server
  rm -rf "$folder"/{data,state,backups}
  mkdir "$folder/backups"
  "$target/release/examples/tsdb-blocks" blocks --layout "$1" --series "$2" --interval "$3" "$folder/data" >&2
  prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" --web.enable-admin-api \
    --web.listen-address="127.0.0.1:$port" --storage.tsdb.retention.time=10y \
    --storage.tsdb.max-block-duration=2h >"$folder/prometheus.log" 2>&1 &
  pid=$!
  wait_for 300 ready || die "Prometheus does not get ready: $(tail -n 3 "$folder/prometheus.log")"
}
# seconds STEP…: what these steps of the newest run took together.
seconds() {
  "$watchkeeper" --config "$folder/jobs.toml" --json show "$(newest)" |
    jq -r --args '[.steps[] | select(.name as $n | $ARGS.positional | index($n)) | .millis] | add // 0 | . / 1000' "$@"
}
newest() { "$watchkeeper" --config "$folder/jobs.toml" --json history -n 1 | jq -r '.runs[0].run'; }

# row WHAT: a first and a second backup, as one line of the table.
row() {
  local first again
  : >"$results"
  measure first "$1" 1 "$folder/backups" true "$watchkeeper" -q --config "$folder/jobs.toml" run-now scale
  first=$(tail -n 1 "$results")
  measure again "$1" 1 "$folder/backups" true "$watchkeeper" -q --config "$folder/jobs.toml" run-now scale
  again=$(tail -n 1 "$results")
  awk -F'\t' -v what="$1" -v first="$first" -v server="$(seconds 'take the snapshot' 'remove the snapshot from the server')" \
    -v again="$again" 'BEGIN { split(first, f, "\t"); split(again, a, "\t")
      printf "| %s | %.2f | %.2f | %.1f | %.1f | %.2f | %.2f | %.2f | %.1f | %.1f |\n", what, f[3], f[4], f[7] / 1000 * 1.024,
        f[8] / 1e6, a[3], server, a[4], a[7] / 1000 * 1.024, a[8] / 1e3 }'
}
header() {
  printf '| %s | first: wall s | CPU s | peak RSS MB | stored MB | again: wall s | of it snapshot made and removed | CPU s | peak RSS MB | stored kB |\n' "$1"
  printf '|---|---|---|---|---|---|---|---|---|---|\n'
}
tables() {
  printf '%s\n\n' "$(machine)"
  header "blocks (of 6 kB)"
  # Prometheus keeps two files of each block open, and the limit of open files here is what ends the row.
  local most=$((($(ulimit -Hn) - 1000) / 2)) blocks
  for blocks in 10 100 1000 10000; do
    [ "$blocks" -le "$most" ] || blocks=$most
    serve "${blocks}x2h" 10 60
    row "$blocks"
  done
  echo
  header "raw data (2 h blocks)"
  serve 6x2h 4200 15 && row "$(du -sm "$folder/data" | cut -f1) MB"
  serve 12x2h 21000 15 && row "$(du -sm "$folder/data" | cut -f1) MB"
  serve 48x2h 21000 15 && row "$(du -sm "$folder/data" | cut -f1) MB"
}

load=$(cut -d' ' -f1-3 /proc/loadavg)
tables | tee "$folder/tables"
awk -v tables="$folder/tables" '/<!-- measured -->/ { print; while ((getline line < tables) > 0) print line; skip = 1 }
  /<!-- \/measured -->/ { skip = 0 } !skip || /<!-- \/measured -->/ { if (!/<!-- measured -->/) print }' docs/SCALE.md >"$folder/SCALE.md"
cat "$folder/SCALE.md" >docs/SCALE.md
