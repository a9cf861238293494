#!/usr/bin/env bash
# Everything that has to hold before a change is taken: dependencies, format, lints, documentation, all tests. Installs
# and starts what they need, and stops what it started on every way out.
#
#   scripts/test.sh [ARGUMENTS FOR cargo test]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
have cargo || die "No cargo: install Rust from your distribution or https://rustup.rs"

folder=$(mktemp -d "${TMPDIR:-/tmp}/watchkeeper-test.XXXXXX")
summary=()
finish() {
  scripts/sweep.sh || true
  stop_engine "$folder"
  rm -rf "$folder"
  printf '\n' >&2
  printf '%s\n' "${summary[@]}" >&2
  if [ "$code" = 0 ]; then say "All passed."; else say "FAILED (exit code $code)"; fi
}
at_end finish

# step NAME COMMAND…
step() {
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$name" >&2
  # As if it had failed, until it has not: a signal leaves through the trap.
  summary+=("$(printf '%-14s FAILED' "$name")")
  "$@"
  summary[-1]=$(printf '%-14s ok  %4d s' "$name" $((SECONDS - start)))
}

step setup scripts/setup.sh "$folder"
step dependencies scripts/deny.sh
step format cargo fmt --check
step lints cargo clippy --locked --all-targets -- -D warnings
step documentation env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
# The tests against servers mostly wait: more at a time than there are cores.
step tests cargo test --locked "$@" -- --test-threads 8
