#!/usr/bin/env bash
# Takes the figures of the scheduler in full, with the release build, and writes them into docs/RELIABILITY.md.
#
#   scripts/reliability.sh [--print]
#
# --print: the table goes to the standard output only. ORACLE: so many patterns in each zone (1,000).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

to_file=yes
if [ "${1:-}" = --print ]; then to_file=; fi
load=$(cut -d' ' -f1-3 /proc/loadavg)
folder=$(mktemp -d "${TMPDIR:-/tmp}/watchkeeper-figures.XXXXXX")
finish() {
  scripts/sweep.sh || true
  stop_engine "$folder"
  rm -rf "$folder"
}
at_end finish

# One after another: they measure time.
take() { cargo test --release --locked --test it "$1" -- --nocapture --test-threads 1 2>&1 | tee -a "$folder/log" >&2; }

figures() {
  printf 'Taken on %s: %s, load before: %s.\n' "$(date -u +%F)" "$(hardware)" "$load"
  printf '\n| figure | measured |\n|---|---|\n'
  sed -n 's/^figure | /| /p' "$folder/log"
}

scripts/setup.sh "$folder"
WATCHKEEPER_FIGURES=yes take reliability::
WATCHKEEPER_ORACLE_PATTERNS=${ORACLE:-1000} take calendar::
text=$(figures)
if [ -z "$to_file" ]; then printf '%s\n' "$text" && exit; fi
TEXT=$text awk '
  $0 == "<!-- figures: written by scripts/reliability.sh -->" { print $0 "\n\n" ENVIRON["TEXT"] "\n"; skip = 1 }
  $0 == "<!-- end of figures -->" { skip = 0 }
  !skip' docs/RELIABILITY.md >"$folder/document"
cat "$folder/document" >docs/RELIABILITY.md
