#!/usr/bin/env bash
# Takes the figures of the scheduler in full, with the release build, and writes them into docs/RELIABILITY.md.
#
#   scripts/reliability.sh [--print]
#
# --print: the table goes to the standard output only. ORACLE: so many patterns in each zone (1,000).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/figures.sh

figures_begin "$@"
# One after another: they measure time.
export TESTS_TOO=yes
WATCHKEEPER_FIGURES=yes take 1 reliability::
WATCHKEEPER_ORACLE_PATTERNS=${ORACLE:-1000} take 1 calendar::
figures_end
