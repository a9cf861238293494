#!/usr/bin/env bash
# Measures how the cost of a backup grows with the number of blocks and with their size, on a plain Prometheus with an
# empty head, and writes the tables into docs/SCALE.md.
#
#   RUNS=3 scripts/scale.sh [--print] [POINT…]
#
# POINT: so many blocks of a few KB (10 100 1000 10000; fewer where a process may open too few files), or about so many GB in blocks as Prometheus merges them
# (0.1GB 1GB 4GB); all by default. --print: the tables go to the standard output only.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
watchkeeper=$target/release/watchkeeper
to_file=yes
if [ "${1:-}" = --print ]; then shift && to_file=; fi
runs=${RUNS:-3}
points=${*:-10 100 1000 10000 0.1GB 1GB 4GB}
load=$(cut -d' ' -f1-3 /proc/loadavg)
folder=$(mktemp -d "${BENCH_DIR:-/var/tmp}/watchkeeper-scale.XXXXXX")
server=
. scripts/bench/measure.sh
stop_server() {
  [ -n "$server" ] || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}
finish() {
  stop_server
  if cp "$log" "$target/scale.log" 2>/dev/null; then say "What they printed is in $target/scale.log"; fi
  rm -rf "$folder"
}
at_end finish


# How many files a process may open here.
open_files() {
  (ulimit -n 65536 2>/dev/null || true; ulimit -Hn)
}
layout_of() {
  case $1 in
  *GB) awk -v gb="${1%GB}" 'BEGIN {
    # 14,000 series give about 15.5 MB in two hours.
    windows = int(gb * 1000 / 15.5 + 0.5)
    for (size = 27; size >= 1; size /= 3) { count = int(windows / size); windows -= count * size
      if (count) layout = layout (layout ? "," : "") count "x" size * 2 "h" }
    print layout, "--series 14000" }' ;;
  *)
    # Prometheus keeps two files of each block open, and some more.
    most=$((($(open_files) - 300) / 2))
    echo "$(($1 < most ? $1 : most))x2h --series 10 --interval 60"
    ;;
  esac
}

ready() { curl -fs -o /dev/null "$url/-/ready"; }
ready_or_died() { ready || ! alive "$server"; }
start_server() {
  : >"$folder/prometheus.yml"
  ulimit -n "$(open_files)"
  prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$data" --web.enable-admin-api \
    --web.listen-address="127.0.0.1:$port" --storage.tsdb.retention.time=10y \
    --storage.tsdb.max-block-duration=2h >>"$folder/prometheus.log" 2>&1 &
  server=$!
  wait_for 300 ready_or_died || true
  ready || die "Prometheus does not get ready: $(tail -n 5 "$folder/prometheus.log")"
  find "$data" -type f -exec cat {} + >/dev/null
}
no_snapshots() { rm -rf "${data:?}"/snapshots/*; }
nothing() { :; }
empty_store() {
  rm -rf "$store"
  mkdir -p "$store/backups"
}
requests() { curl -fs "$url/metrics" | awk '/^prometheus_http_requests_total/ { sum += $2 } END { print sum + 0 }'; }

# The cheapest that this watchkeeper knows.
choose() {
  local layout compression code
  for layout in blocks archive; do
    for compression in 'compression = "zstd"' ''; do
      cat >"$folder/jobs.toml" <<CONFIG
state_dir  = "$store/state"
backup_dir = "$store/backups"
[prometheus.main]
url      = "$url"
data_dir = "$data"
service  = { stop = ["true"], start = ["true"] }
[[job]]
name       = "scale"
kind       = "prometheus-snapshot"
prometheus = "main"
keep       = { last = 7 }
layout     = "$layout"
$compression
CONFIG
      mkdir -p "$store/backups" "$data"
      code=0
      "$watchkeeper" --config "$folder/jobs.toml" check >>"$log" 2>&1 || code=$?
      if [ "$code" = 0 ] || [ "$code" = 3 ]; then
        chosen="layout = \`$layout\`${compression:+, $compression}"
        return
      fi
    done
  done
  die "This watchkeeper accepts no configuration: $(tail -n 20 "$log")"
}

point() {
  local layout before
  read -ra layout < <(layout_of "$1")
  rm -rf "$data"
  "$target/release/examples/tsdb-blocks" blocks --layout "${layout[@]}" --end $(($(date +%s) - 6000)) "$data" >>"$log"
  raw=$(bytes_of "$data") blocks=$(ls "$data" | wc -l)
  start_server
  measure "$1" snapshot "$runs" "$data" no_snapshots curl -fsS -X POST "$url/api/v1/admin/tsdb/snapshot"
  no_snapshots
  measure "$1" first "$runs" "$store/backups" empty_store "$watchkeeper" -q --config "$folder/jobs.toml" run-now scale
  before=$(requests)
  measure "$1" again "$runs" "$store/backups" nothing "$watchkeeper" -q --config "$folder/jobs.toml" run-now scale
  # One of them is the look at the counter itself.
  asked=$(((($(requests) - before) - 1) / runs))
  measure "$1" deep "$runs" "$store/backups" nothing "$watchkeeper" -q --config "$folder/jobs.toml" verify scale/"$(newest)" --deep
  printf '%s\t%s\t%s\t%s\n' "$1" "$blocks" "$raw" "$asked" >>"$folder/points.tsv"
  stop_server
}
newest() { basename "$(ls "$store"/backups/scale/*Z*.json | grep -v state | tail -n 1)" .json; }

measured() {
  printf 'Measured with %s, medians of %s, on a plain Prometheus with an empty head; warm page cache:\n\n' "$chosen" "$runs"
  machine
  printf '\n%s\n%s\n' '| | blocks | raw MB | snapshot alone, s | first backup, s | RSS | nothing new, s | RSS | grows by KB | requests | deep verify, s | RSS | raw MB/s |' \
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|'
  medians | awk -F'\t' -v points="$folder/points.tsv" '
    { wall[$1, $2] = $4; rss[$1, $2] = $10 * 1.024 / 1000; grown[$1, $2] = $11 }
    END { while ((getline line < points) > 0) { split(line, p, "\t"); k = p[1]
      printf "| %s | %d | %.1f | %.3f | %.2f | %.1f MB | %.3f | %.1f MB | %.1f | %d | %.2f | %.1f MB | %.0f |\n", k, p[2], p[3] / 1e6,
        wall[k, "snapshot"], wall[k, "first"], rss[k, "first"], wall[k, "again"], rss[k, "again"],
        grown[k, "again"] / 1e3, p[4], wall[k, "deep"], rss[k, "deep"], p[3] / 1e6 / wall[k, "deep"] } }'
}

amplification() {
  local retention every row
  printf '%s\n%s\n' '| retention | levels | every 2 h | every 6 h | daily | weekly | held by 7 daily ones |' '|---|---|---|---|---|---|---|'
  for retention in 15 30 90 365; do
    row=
    for every in 2 6 24 168; do
      IFS=$'\t' read -r levels blocks heads held _ < <(awk -f scripts/bench/amplification.awk \
        -v retention=$((retention * 24)) -v every=$every -v keep=7)
      row+=" $blocks ($heads) |"
      if [ $every = 24 ]; then daily=$held; fi
    done
    printf '| %s d | %s |%s %s |\n' "$retention" "$levels" "$row" "$daily"
  done
}

# put NAME: replaces what stands in the document between the marks of this name by the standard input.
put() {
  local text
  text=$(cat)
  if [ -z "$to_file" ]; then printf '\n%s\n' "$text" && return; fi
  TEXT=$text awk -v name="$1" '
    $0 == "<!-- " name ": written by scripts/scale.sh -->" { print $0 "\n\n" ENVIRON["TEXT"] "\n"; skip = 1 }
    $0 == "<!-- end of " name " -->" { skip = 0 }
    !skip' docs/SCALE.md >"$folder/document"
  cat "$folder/document" >docs/SCALE.md
}

BENCH=yes CI='' scripts/setup.sh "$folder"
cargo build --release --locked --bin watchkeeper --example tsdb-blocks
port=$(free_port)
url=http://127.0.0.1:$port
data=$folder/data store=$folder/store
choose
for p in $points; do pause; point "$p"; done
measured | put "measured points"
amplification | put "write amplification"
