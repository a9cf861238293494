#!/usr/bin/env bash
# `make install` and `make uninstall`: puts the built program, its units, manual and completions in their places, or
# takes them away again.
#
#   DESTDIR=… PREFIX=/usr/local SYSCONFDIR=/etc scripts/install.sh [--remove]
#
# BINARY names another program than target/release/watchkeeper. Neither starts nor stops anything. jobs.toml is put as an
# example where there is none, and is never overwritten or removed.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/lib.sh

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
BINARY=${BINARY:-target/release/watchkeeper}
case $PREFIX$SYSCONFDIR in /*) ;; *) die "PREFIX and SYSCONFDIR are folders from / on, not $PREFIX and $SYSCONFDIR" ;; esac

bin=$DESTDIR$PREFIX/bin
units=$DESTDIR$PREFIX/lib/systemd/system
sysusers=$DESTDIR$PREFIX/lib/sysusers.d
tmpfiles=$DESTDIR$PREFIX/lib/tmpfiles.d
man=$DESTDIR$PREFIX/share/man/man1
doc=$DESTDIR$PREFIX/share/doc/watchkeeper
bash_completions=$DESTDIR$PREFIX/share/bash-completion/completions
zsh_completions=$DESTDIR$PREFIX/share/zsh/site-functions
fish_completions=$DESTDIR$PREFIX/share/fish/vendor_completions.d
etc=$DESTDIR$SYSCONFDIR/watchkeeper

# data SOURCE TARGET
data() { install -D -m 644 "$1" "$2"; }

# A unit names the program and the configuration where they are.
unit() {
  data "systemd/$1" "$units/$1"
  sed -i "s|/usr/bin/watchkeeper|$PREFIX/bin/watchkeeper|; s|/etc/watchkeeper/|$SYSCONFDIR/watchkeeper/|" "$units/$1"
}

completions() {
  install -d "$(dirname "$2")"
  "$BINARY" completions "$1" >"$2"
  chmod 644 "$2"
}

put() {
  [ -x "$BINARY" ] || die "There is no $BINARY: make build"
  install -D -m 755 "$BINARY" "$bin/watchkeeper"
  unit watchkeeper.service
  unit watchkeeper-job@.service
  data systemd/sysusers.d/watchkeeper.conf "$sysusers/watchkeeper.conf"
  data systemd/tmpfiles.d/watchkeeper.conf "$tmpfiles/watchkeeper.conf"
  install -d "$man"
  "$BINARY" man "$man"
  chmod 644 "$man"/watchkeeper*.1
  completions bash "$bash_completions/watchkeeper"
  completions zsh "$zsh_completions/_watchkeeper"
  completions fish "$fish_completions/watchkeeper.fish"
  local file
  for file in README.md CHANGELOG.md LICENSE jobs.toml; do data $file "$doc/$file"; done
  for file in systemd/drop-ins/*; do data "$file" "$doc/drop-ins/${file##*/}"; done
  [ -e "$etc/jobs.toml" ] || data jobs.toml "$etc/jobs.toml"
}

# Folders that others use, too, go only where nothing is left in them, and never PREFIX or DESTDIR itself.
empty_folders() {
  local folder top=$DESTDIR$PREFIX
  for folder; do
    while [ "$folder" != "$top" ] && [ "$folder" != / ]; do
      rmdir "$folder" 2>/dev/null || break
      folder=$(dirname "$folder")
    done
  done
}

remove() {
  rm -f "$bin/watchkeeper" "$units/watchkeeper.service" "$units/watchkeeper-job@.service" \
    "$sysusers/watchkeeper.conf" "$tmpfiles/watchkeeper.conf" "$man"/watchkeeper.1 "$man"/watchkeeper-*.1 \
    "$bash_completions/watchkeeper" "$zsh_completions/_watchkeeper" "$fish_completions/watchkeeper.fish"
  rm -rf "$doc"
  empty_folders "$bin" "$units" "$sysusers" "$tmpfiles" "$man" "$(dirname "$doc")" "$bash_completions" \
    "$zsh_completions" "$fish_completions"
}

case ${1:-} in
"")
  put
  say "Installed below $DESTDIR$PREFIX; the configuration is $etc/jobs.toml."
  [ -n "$DESTDIR" ] || say "Next, as root: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload"
  ;;
--remove)
  remove
  say "Removed. $etc, the state and the backups stay."
  ;;
*) die "usage: scripts/install.sh [--remove]" ;;
esac
