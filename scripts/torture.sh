#!/usr/bin/env bash
# Kills the release build over and over at each call by which it changes something, lets these calls fail, and writes what
# was tried into docs/RELIABILITY.md. Fails where a step was never hit, or where something did not hold.
#
#   scripts/torture.sh [--print]
#
# --print: the table goes to the standard output only. MINUTES: how long it may kill (25). WATCHKEEPER_SEED: begins with
# these numbers by chance, as a run before has printed them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/figures.sh

figures_begin "$@"
export WATCHKEEPER_FIGURES=yes WATCHKEEPER_TORTURE_MINUTES=${MINUTES:-25}
# All at once: they mostly wait, for servers and for each other's disk.
take 32 torture::
WATCHKEEPER_SWEEP=all take 4 grafana_cut::
figures_end
