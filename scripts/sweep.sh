#!/usr/bin/env bash
# Removes what killed test processes have left: servers, containers, volumes, images and folders. The process ID
# in each name says whose it was; what belongs to a process that still runs is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# The names on standard input whose owner is gone.
of_the_dead() {
  local name pid
  while read -r name; do
    pid=${name#wk-it-}
    pid=${pid%%-*}
    case $pid in '' | *[!0-9]*) continue ;; esac
    alive "$pid" || echo "$name"
  done
}

for folder in "${CARGO_TARGET_DIR:-target}"/tmp/wk-it-*; do
  [ -d "$folder" ] && [ -n "$(basename "$folder" | of_the_dead)" ] || continue
  folder=$(realpath "$folder")
  for file in "$folder"/*/prometheus.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    if grep -q "$folder" "/proc/$pid/cmdline" 2>/dev/null; then kill -KILL "$pid"; fi
  done
  # Programs that a failed test has left running.
  for line in /proc/[0-9]*/cmdline; do
    if { tr "\0" "\n" <"$line"; } 2>/dev/null | grep -q "^$folder/"; then
      kill -KILL "$(basename "$(dirname "$line")")" 2>/dev/null || true
    fi
  done
  rm -rf "$folder"
done

engine_answers || exit 0
mine=(--filter label=watchkeeper.test)
docker ps -a "${mine[@]}" --format '{{.Names}}' | of_the_dead | xargs -r docker rm -f -v >/dev/null
docker volume ls "${mine[@]}" --format '{{.Name}}' | of_the_dead | xargs -r docker volume rm -f >/dev/null
docker images "${mine[@]}" --format '{{.Repository}}' | of_the_dead | xargs -r docker rmi -f >/dev/null
