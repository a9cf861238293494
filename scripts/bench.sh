#!/usr/bin/env bash
# Measures watchkeeper against the runbook's script, pigz, zstd, restic and borg, on one data set in one run, and
# writes the tables to docs/BENCHMARKS.md. As root, on a machine that does nothing else.
#
#   RUNS=5 SLOW_RUNS=3 scripts/bench.sh [--quick] [PART…]
#
# --quick: a tenth of the data, one run of each unless RUNS says otherwise, and the report goes to target/bench.md: to
# try the script. PART: full again restore check block live; all by default, always in this order.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
[ "$(id -u)" = 0 ] || die "Run this as root: reading a Docker volume on the host and bind mounts need it."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
watchkeeper=$target/release/watchkeeper
layout=3x18h,2x6h,4x2h series=14500 layout_text="3 × 18 h, 2 × 6 h, 3 × 2 h" report=docs/BENCHMARKS.md set=full
head_minutes=100
if [ "${1:-}" = --quick ]; then
  shift
  layout=2x6h,4x2h series=5500 layout_text="2 × 6 h, 3 × 2 h" report=$target/bench.md set=quick
  RUNS=${RUNS:-1} SLOW_RUNS=${SLOW_RUNS:-1}
fi
runs=${RUNS:-5} slow_runs=${SLOW_RUNS:-3}
parts=${*:-full again restore check block live}
load=$(cut -d' ' -f1-3 /proc/loadavg)

# On the disk of the engine's volumes and of /var/backups, and not in a /tmp that may be memory.
folder=$(mktemp -d "${BENCH_DIR:-/var/tmp}/watchkeeper-bench.XXXXXX")
name=watchkeeper-bench-$$
data=
. scripts/bench/measure.sh
. scripts/bench/server.sh
. scripts/bench/report.sh
finish() {
  umount "$folder/stable" 2>/dev/null || true
  remove_server
  [ -z "$data" ] || rm -rf "$data"
  stop_engine "$folder"
  if cp "$log" "$target/bench.log" 2>/dev/null; then say "What they printed is in $target/bench.log"; fi
  rm -rf "$folder"
}
at_end finish

wanted() { [[ " $parts " == *" $1 "* ]]; }

BENCH=yes CI='' scripts/setup.sh "$folder"
engine_answers || die "No Docker engine"
cargo build --release --locked --bin watchkeeper --example tsdb-blocks
port=$(free_port $((20000 + $$ % 10000)))
exporter_port=$(free_port $((port + 1)))
url=http://127.0.0.1:$port

# ── What is measured ──────────────────────────────────────────────────────────────────────────────────────────────

# The layouts, compressions and accesses that this watchkeeper knows, as `blocks zstd host`.
ours=()
# config LAYOUT COMPRESSION ACCESS: its jobs.toml. Before there was a choice, it was gzip.
config() {
  local at=$folder/store/$1-$2-$3 level
  level=LEVEL_${2^^}
  mkdir -p "$at/backups"
  cat <<CONFIG
state_dir  = "$at/state"
backup_dir = "$at/backups"
[prometheus.main]
url       = "$url"
container = "$name"
[[job]]
name        = "bench"
kind        = "prometheus-snapshot"
prometheus  = "main"
keep        = { last = 7 }
layout      = "$1"
access      = "$3"
${4-compression = \"$2\"}
${!level:+level = ${!level}}
CONFIG
}
# accepts FILE: 3 is an acceptable warning, such as that no schedule is given.
accepts() {
  local code=0
  "$watchkeeper" --config "$1" check >>"$log" 2>&1 || code=$?
  [ "$code" = 0 ] || [ "$code" = 3 ]
}
find_ours() {
  local layout compression access file
  mkdir -p "$folder/config"
  for layout in archive blocks; do
    for compression in gzip zstd; do
      for access in docker host; do
        file=$folder/config/$layout-$compression-$access.toml
        config $layout $compression $access >"$file"
        accepts "$file" || { [ $compression = gzip ] && config $layout $compression $access '' >"$file" && accepts "$file"; } ||
          { say "This watchkeeper does not know layout = $layout, compression = $compression, access = $access" && continue; }
        ours+=("$layout $compression $access")
      done
    done
  done
  [ "${#ours[@]}" -gt 0 ] || die "It knows none: $(tail -n 20 "$log")"
}
# Those whose next backup is cheap. Before there were any: all.
incremental() {
  local found
  found=$(printf '%s\n' "${ours[@]}" | grep '^blocks' || true)
  printf '%s\n' "${found:-$(printf '%s\n' "${ours[@]}")}"
}

store_of() { echo "$folder/store/${1// /-}"; }
# us SCENARIO "LAYOUT COMPRESSION ACCESS" PREPARE ARGUMENT…
us() {
  local scenario=$1 subject=$2 prepare=$3
  shift 3
  store=$(store_of "$subject")
  measure "$scenario" "watchkeeper $subject" "$runs" "$store/backups" "$prepare" \
    "$watchkeeper" --quiet --config "$folder/config/${subject// /-}.toml" "$@"
}
# other SCENARIO NAME WHAT PREPARE [RUNS]
other() {
  store=$folder/store/$2
  export URL=$url CONTAINER=$name VOLUME=$volume STABLE=$folder/stable INTO=$folder/into STORE=$store
  measure "$1" "$2" "${5:-$runs}" "$store" "$4" scripts/bench/other.sh "$3"
}
# What the comparison is with: name, and how often, at most, it is patient to run it.
others=("runbook's script" "restic" "restic --ignore-ctime" "borg" "docker cp | pigz" "tar | pigz" "docker cp | zstd -T0" "tar | zstd -T0")
verb() {
  case $1 in
  runbook*) echo runbook ;;
  restic\ *) echo restic-ctime ;;
  restic | borg) echo "$1" ;;
  docker*pigz) echo docker-pigz ;;
  tar*pigz) echo host-pigz ;;
  docker*zstd*) echo docker-zstd ;;
  tar*zstd*) echo host-zstd ;;
  esac
}
times() { case $1 in runbook* | *pigz | borg) echo "$slow_runs" ;; *) echo "$runs" ;; esac; }

# ── How a run is prepared ─────────────────────────────────────────────────────────────────────────────────────────

# What the script and a failed run leave on the server.
no_snapshots() { rm -rf "${volume:?}"/snapshots/*; }
nothing() { no_snapshots; }
empty_store() {
  no_snapshots
  rm -rf "$store"
  case $store in
  */restic*) scripts/bench/other.sh restic-init ;;
  */borg) scripts/bench/other.sh borg-init ;;
  */archive-* | */blocks-*) mkdir -p "$store/backups" ;;
  esac
}
store_as_before() {
  no_snapshots
  rm -rf "$store"
  cp -a "$store.before" "$store"
}
empty_folder() {
  rm -rf "$folder/into"
  mkdir "$folder/into"
}
no_old_data() {
  empty_folder
  rm -rf "$volume"/snapshot_*
  if compgen -G "$volume/.watchkeeper-restore-*" >/dev/null; then
    config=$folder/config/$(basename "$store").toml
    [ -e "$config" ] || config=$(ls "$folder"/config/*.toml | head -n 1)
    "$watchkeeper" --config "$config" restore bench --discard-old --yes
  fi
}
# Its proof ends with watching Prometheus's first reload, a minute after its start: what comes before is noted on its own.
note_ready() {
  local proof
  proof=$(sed -n '/^{/,$p' "$folder/output" | jq '[.. | objects | select(.name? == "prove the restore") | .millis] | add / 1000')
  tail -n 1 "$results" | awk -F'\t' -v OFS='\t' -v proof="$proof" '{ $1 = "server ready"; $3 -= proof; print }' >>"$results"
}

# ── The parts ─────────────────────────────────────────────────────────────────────────────────────────────────────

part_full() {
  for subject in "${ours[@]}"; do us "full backup" "$subject" empty_store run-now bench; done
  for subject in "${others[@]}"; do
    other "full backup" "$subject" "$(verb "$subject")" empty_store "$(times "$subject")"
  done
}
another() {
  while read -r subject; do us "$1" "$subject" "$2" run-now bench; done < <(incremental)
  for subject in restic "restic --ignore-ctime" borg; do other "$1" "$subject" "$(verb "$subject")" "$2"; done
}
part_again() { another "nothing new" nothing; }
part_block() {
  local at
  # What a restore has brought has new times: everybody has read it once before it is measured.
  runs=1 another "settled" nothing
  for at in "$folder"/store/*; do cp -a "$at" "$at.before"; done
  add_a_block
  another "one new block" store_as_before
  rm -rf "$folder"/store/*.before
}
part_live() {
  live_head
  # Each has seen all but the head, and one head.
  while read -r subject; do RUNS=1 us "live head, first" "$subject" nothing run-now bench; done < <(incremental)
  another "live head" nothing
  other "live head" "runbook's script" runbook nothing "$slow_runs"
}
part_restore() {
  for subject in "${ours[@]}"; do
    [[ $subject == *host ]] || continue
    us "restore into a folder" "$subject" empty_folder restore bench --into "$folder/into/there"
  done
  for subject in "${others[@]}"; do
    [[ $subject == docker* ]] || other "restore into a folder" "$subject" "$(verb "$subject")-into" empty_folder "$(times "$subject")"
  done
  after_run=note_ready
  for subject in "${ours[@]}"; do
    # A minute each: how the files are compressed and reached matters little beside it.
    [[ $subject == *zstd* || $subject == blocks*host ]] && continue
    runs=$slow_runs us "restore the server" "$subject" no_old_data --json restore bench --yes
  done
  after_run=
  no_old_data >>"$log" 2>&1
  other "server ready" "runbook's script" runbook-restore no_old_data "$slow_runs"
  no_old_data >>"$log" 2>&1
  empty_folder
}
part_check() {
  for subject in "${ours[@]}"; do
    [[ $subject == *host ]] || continue
    # One backup, as the others have it that are measured here.
    us "check everything" "$subject" nothing verify bench/"$(newest "$subject")" --deep
  done
  for subject in "${others[@]}"; do
    [[ $subject == docker* ]] || other "check everything" "$subject" "$(verb "$subject")-check" nothing "$(times "$subject")"
  done
}
newest() { basename "$(ls "$(store_of "$1")"/backups/bench/*Z*.json | grep -v state | tail -n 1)" .json; }

make_data_set "$set" "$layout" "$series"
raw_bytes=$(bytes_of "$data/blocks") later_bytes=$(bytes_of "$data/later")
create_server
find_ours
mkdir "$folder/stable"
start_server
for part in full again restore check block live; do
  if wanted $part; then pause; part_$part; fi
done
report | tee "$report"
