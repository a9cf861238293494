#!/usr/bin/env bash
# What else a person could do: one call does one thing, so that it can be measured as one process tree.
#
#   scripts/bench/other.sh WHAT
#
# Reads from the environment: URL and CONTAINER of Prometheus, VOLUME (its data on this host), STORE (a folder),
# STABLE (an empty folder), INTO (where to unpack).
set -euo pipefail

snapshot() { curl -fsS -X POST "$URL/api/v1/admin/tsdb/snapshot" | jq -r '.data.name'; }

# As the runbook has it, but for the folder, the address and the name of the container.
runbook() {
  BACKUP_DIR=$STORE
  DATE=$(date +%Y%m%d_%H%M%S)
  mkdir -p "$BACKUP_DIR"
  curl -s -X POST "$URL/api/v1/admin/tsdb/snapshot"
  SNAPSHOT=$(curl -s -X POST "$URL/api/v1/admin/tsdb/snapshot" | jq -r '.data.name')
  docker cp "$CONTAINER:/prometheus/snapshots/$SNAPSHOT" "$BACKUP_DIR/snapshot_$DATE"
  tar -czf "$BACKUP_DIR/snapshot_$DATE.tar.gz" -C "$BACKUP_DIR" "snapshot_$DATE"
  rm -rf "$BACKUP_DIR/snapshot_$DATE"
  ls -t "$BACKUP_DIR"/snapshot_*.tar.gz | tail -n +8 | xargs -r rm -f
}

# pack SOURCE COMMAND…: one snapshot as one file, and away with it.
pack() {
  local source=$1 name
  shift
  name=$(snapshot)
  mkdir -p "$STORE"
  case $source in
  docker) docker cp "$CONTAINER:/prometheus/snapshots/$name" - ;;
  host) tar -C "$VOLUME/snapshots" -c "$name" ;;
  esac | "$@" >"$STORE/$name.tar"
  rm -rf "${VOLUME:?}/snapshots/$name"
}

# Both look for what they know by its path: so a snapshot is put at one that stays the same.
at_stable_path() {
  local name
  name=$(snapshot)
  mount --bind "$VOLUME/snapshots/$name" "$STABLE"
  trap 'umount "$STABLE"' EXIT
  "$@"
  umount "$STABLE"
  trap - EXIT
  rm -rf "${VOLUME:?}/snapshots/$name"
}

export RESTIC_REPOSITORY=$STORE/repo RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$STORE/cache
export BORG_REPO=$STORE/repo BORG_BASE_DIR=$STORE/base BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
export BORG_RELOCATED_REPO_ACCESS_IS_OK=yes

case $1 in
runbook) runbook ;;
docker-pigz) pack docker pigz ;;
docker-zstd) pack docker zstd -q -T0 ;;
host-pigz) pack host pigz ;;
host-zstd) pack host zstd -q -T0 ;;
restic-init) mkdir -p "$STORE" && restic init ;;
restic) at_stable_path restic backup --quiet "$STABLE" ;;
# A hard link changes the ctime of the file: without this option, restic reads everything again.
restic-ctime) at_stable_path restic backup --quiet --ignore-ctime "$STABLE" ;;
borg-init) mkdir -p "$STORE" && borg init --encryption none ;;
borg) at_stable_path borg create --files-cache mtime,size "::{now:%Y%m%dT%H%M%S.%f}" "$STABLE" ;;

# Everything back into a folder.
runbook-into | host-pigz-into | docker-pigz-into) tar -xzf "$(ls -t "$STORE"/*.tar* | head -n 1)" -C "$INTO" ;;
docker-zstd-into | host-zstd-into) zstd -q -d -c "$(ls -t "$STORE"/*.tar | head -n 1)" | tar -xf - -C "$INTO" ;;
restic-into | restic-ctime-into) restic restore latest --quiet --target "$INTO" ;;
borg-into) cd "$INTO" && borg extract "::$(borg list --last 1 --format '{archive}')" ;;

# The runbook's restore, without its command that fails and its ten seconds of sleep: Prometheus does not find the
# data where it leaves them.
runbook-restore)
  docker stop "$CONTAINER"
  temporary=$(mktemp -d -p "$INTO")
  tar -xzf "$(ls -t "$STORE"/*.tar.gz | head -n 1)" -C "$temporary"
  docker cp "$temporary"/snapshot_* "$CONTAINER:/prometheus"
  docker start "$CONTAINER"
  until curl -fs -o /dev/null "$URL/-/ready"; do sleep 0.1; done
  ;;

# Every byte read and compared with its checksum.
runbook-check | host-pigz-check | docker-pigz-check) gzip -t <"$(ls -t "$STORE"/*.tar* | head -n 1)" ;;
host-zstd-check | docker-zstd-check) zstd -q -t <"$(ls -t "$STORE"/*.tar | head -n 1)" ;;
restic-check | restic-ctime-check) restic check --quiet --read-data ;;
borg-check) borg check --verify-data ;;
*) exit 2 ;;
esac
