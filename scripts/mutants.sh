#!/usr/bin/env bash
# Changes the code of a room in one place at a time (cargo-mutants) and sees whether its tests notice.
#
#   scripts/mutants.sh [ROOM…]
#
# ROOM: schedule, retention, store, or the restore of files, sqlite, prometheus, grafana; all if none is named. SAMPLE: so
# many changes of each room, drawn by SEED (1); all if it is empty. ONLY: a regular expression that a change must match.
#
# The whole crate takes minutes to build. A room is built here with the rooms that it needs and no others, in
# target/mutants, and its own unit tests run: what only tests/it would notice counts as missed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# The rooms that a room needs, with itself: what its files name, and what those name. (Of the configuration a little is
# enough, see make_crate.)
needs() {
  local todo=("$1") seen=" config " room
  [ -f "src/$1.rs" ] || die "No room $1: schedule, retention, store, files, sqlite, prometheus or grafana"
  while [ ${#todo[@]} -gt 0 ]; do
    room=${todo[0]} todo=("${todo[@]:1}")
    if [[ $seen == *" $room "* || ! -f src/$room.rs ]]; then continue; fi
    seen+="$room "
    mapfile -t -O ${#todo[@]} todo < <(grep -rshoE 'crate::[a-z_]+' "src/$room.rs" "src/$room/" | sed 's/.*:://' | sort -u)
  done
  echo "${seen# config }"
}

# The files of a room that are changed.
files() {
  case $1 in
    schedule | retention | store) printf '%s\n' --file "src/$1.rs" --file "src/$1/**" ;;
    prometheus) printf "%s\n" --file src/prometheus/restore.rs --file "src/prometheus/restore/**" ;;
    *) printf '%s\n' --file "src/$1/restore.rs" --file "src/$1/restore/**" ;;
  esac
}

# The unit tests that are run. Those of all of Prometheus's folder operations take minutes, for each change.
tests() {
  if [ "$1" = prometheus ]; then echo prometheus::restore; else echo "$1::"; fi
}

# make_crate ROOM: that room and what it needs as a crate of their own.
make_crate() {
  local crate=target/mutants/$1 room
  rm -rf "$crate" && mkdir -p "$crate/tests"
  cp -r src "$crate/src" && rm "$crate/src/main.rs"
  cp -r docs "$crate/docs" && cp -r tests/fixtures "$crate/tests/fixtures"
  cp Cargo.lock "$crate/"
  # Dependencies are built as ever, the crate without what only a debugger reads.
  awk '/^\[/ { keep = $0 ~ /^\[(package|dependencies|dev-dependencies|profile\.dev.*)\]$/ }
    $0 ~ /^debug = "line/ { $0 = "debug = false" }
    keep' Cargo.toml >"$crate/Cargo.toml"
  printf '[lib]\ndoctest = false\n[workspace]\n' >>"$crate/Cargo.toml"
  {
    echo '#![allow(warnings)]'
    echo 'pub mod config { pub mod duration; pub mod sessions; pub mod values; }'
    for room in $(needs "$1"); do echo "pub mod $room;"; done
  } >"$crate/src/lib.rs"
}

# draw ROOM: names of changes, one in a line.
draw() {
  mapfile -t chosen < <(files "$1")
  (cd "target/mutants/$1" && cargo mutants --list --line-col=true "${chosen[@]}") | grep -e "${ONLY:-}" |
    shuf --random-source=<(openssl enc -aes-256-ctr -pass "pass:${SEED:-1}" -nosalt </dev/zero 2>/dev/null) |
    awk -v most="${SAMPLE:-1000000}" 'NR <= most'
}

# count ROOM LIST: how many of what was drawn are in a list of outcomes. (--re lets all deletions of fields through.)
count() { grep -cFxf "target/mutants/$1.drawn" "target/mutants/$1-out/mutants.out/$2.txt" || true; }

try() {
  local room=$1 out=target/mutants/$1-out of drawn caught missed unviable slow
  make_crate "$room"
  of=$(SAMPLE='' draw "$room" | wc -l)
  draw "$room" >"target/mutants/$room.drawn"
  drawn=$(wc -l <"target/mutants/$room.drawn")
  say "$room: $drawn of $of changes"
  mapfile -t chosen < <(files "$room")
  # A name as a regular expression that matches nothing else.
  mapfile -t wanted < <(sed 's/[][\.*^$(){}?+|/]/\\&/g; s/\\\//\//g; s/.*/--re\n^&$/' "target/mutants/$room.drawn")
  rm -rf "$out"
  # It ends with 2 where a change was missed, and with 3 where one took too long.
  CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/mutants/target} cargo mutants --in-place --dir "target/mutants/$room" --output "$out" \
    --colors never --timeout-multiplier 2 --minimum-test-timeout 60 "${chosen[@]}" "${wanted[@]}" -- --lib "$(tests "$room")" >&2 || [ $? -le 3 ]
  caught=$(count "$room" caught) missed=$(count "$room" missed)
  unviable=$(count "$room" unviable) slow=$(count "$room" timeout)
  [ $((caught + missed + slow)) -gt 0 ] || die "$room: nothing was tried"
  grep -Fxf "target/mutants/$room.drawn" "$out/mutants.out/missed.txt" >&2 || true
  printf 'figure | mutants: %s | %s %% of %s: %s noticed, %s without end, %s missed; %s did not build; drawn from %s |\n' \
    "$room" $((100 * (caught + slow) / (caught + slow + missed))) $((caught + slow + missed)) \
    "$caught" "$slow" "$missed" "$unviable" "$of"
}

have cargo-mutants || cargo mutants --version >/dev/null 2>&1 ||
  die "cargo-mutants is not installed: cargo install --locked cargo-mutants"
have openssl || die "openssl is not installed, which draws the sample"
[ $# -gt 0 ] || set -- schedule retention store files sqlite prometheus grafana
for room in "$@"; do try "$room"; done
