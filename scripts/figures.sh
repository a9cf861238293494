# Shared by the scripts that take figures for docs/RELIABILITY.md; sourced after lib.sh. The tests print them as lines of
# the form `figure | what | measured |`.

# figures_begin [--print]: sets things up. --print: the table goes to the standard output only.
figures_begin() {
  to_file=yes
  if [ "${1:-}" = --print ]; then to_file=; fi
  load=$(cut -d' ' -f1-3 /proc/loadavg)
  folder=$(mktemp -d "${TMPDIR:-/tmp}/watchkeeper-figures.XXXXXX")
  at_end figures_finish
  scripts/setup.sh "$folder"
}
figures_finish() {
  scripts/sweep.sh || true
  stop_engine "$folder"
  rm -rf "$folder"
}

# take THREADS TESTS: runs them with the release build of the program; with TESTS_TOO=yes they are built so, too, because
# what they measure is in them.
take() {
  cargo build --release --locked >&2
  program=$(cargo metadata --no-deps --format-version 1 | jq -r .target_directory)/release/watchkeeper
  WATCHKEEPER_PROGRAM=$program cargo test ${TESTS_TOO:+--release} --locked --test it "$2" -- \
    --nocapture --test-threads "$1" 2>&1 | tee -a "$folder/log" >&2
}

# figures_end: writes the table between the marks of this script.
figures_end() {
  local text
  text=$(
    printf 'Taken on %s: %s, load before: %s.\n' "$(date -u +%F)" "$(hardware)" "$load"
    printf '\n| figure | measured |\n|---|---|\n'
    sed -n 's/^figure | /| /p' "$folder/log"
  )
  if [ -z "$to_file" ]; then printf '%s\n' "$text" && return; fi
  TEXT=$text MARK="<!-- figures: written by scripts/${0##*/} -->" awk '
    $0 == ENVIRON["MARK"] { print $0 "\n\n" ENVIRON["TEXT"] "\n"; skip = 1 }
    $0 == "<!-- end of figures -->" { skip = 0 }
    !skip' docs/RELIABILITY.md >"$folder/document"
  cat "$folder/document" >docs/RELIABILITY.md
}
