#!/usr/bin/env bash
# The whole story, for real: a Prometheus with hours of data is backed up, loses everything, and has it back.
# In a container where a Docker engine answers or can be started, else with plain processes. Nothing stays.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
have cargo || die "No cargo: install Rust from your distribution or https://rustup.rs"

folder=$(mktemp -d "${TMPDIR:-/tmp}/watchkeeper-demo.XXXXXX")
name=watchkeeper-demo-$$
where=
finish() {
  local code=$?
  trap - EXIT INT TERM
  if [ "$where" = container ]; then
    docker rm -f -v "$name" >/dev/null 2>&1 || true
    docker volume rm -f "$name" >/dev/null 2>&1 || true
    docker rmi -f "$name" >/dev/null 2>&1 || true
  elif [ -x "$folder/prometheus" ]; then
    "$folder/prometheus" kill || true
  fi
  stop_engine "$folder"
  rm -rf "$folder" || $SUDO rm -rf "$folder"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold= dim= plain=; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
typed() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }
# Prints a command and runs it, as a person would type it.
show() {
  typed "$@"
  "$@"
}
# The same, where a warning (exit code 3) is no end.
show_warning() { show "$@" || [ $? = 3 ]; }

free_port() {
  local port
  for port in $(seq $((20000 + $$ % 10000)) 32000); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
}

window=7200
windows=9
# Two free windows before now: no block touches the live head.
end=$((($(date +%s) / window - 1) * window))
start=$((end - windows * window))

# One call for each window: promtool reads its whole input again for every block that it writes.
make_blocks() {
  local at
  for ((at = start; at < end; at += window)); do
    awk -v from="$at" -v to="$((at + window))" 'BEGIN {
      print "# TYPE shop_orders counter"
      for (shop = 1; shop <= 5; shop++) for (t = from; t < to; t += 15)
        printf "shop_orders_total{shop=\"%d\"} %d %d\n", shop, (t - 1.7e9) / (9 + shop), t
      print "# TYPE shop_temperature_celsius gauge"
      for (shop = 1; shop <= 5; shop++) for (t = from; t < to; t += 15)
        printf "shop_temperature_celsius{shop=\"%d\"} %.2f %d\n", shop, 18 + shop + 4 * sin(t / 9000), t
      print "# EOF"
    }' >"$folder/window.om"
    promtool tsdb create-blocks-from --quiet openmetrics "$folder/window.om" "$folder/blocks" >/dev/null
  done
}

scrape_config() {
  printf 'global: { scrape_interval: 1s }\nscrape_configs:\n'
  printf -- "- { job_name: prometheus, static_configs: [ { targets: ['127.0.0.1:%s'] } ] }\n" "$1"
}

start_container() {
  make_image "$name" watchkeeper.demo="$$"
  docker volume create "$name" >/dev/null
  docker create --name "$name" --restart unless-stopped -p "127.0.0.1:$port:9090" -v "$name:/prometheus" "$name" \
    --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus \
    --storage.tsdb.retention.time=1y --web.enable-admin-api >/dev/null
  scrape_config 9090 >"$folder/prometheus.yml"
  tar --owner=0 --group=0 -C "$folder" -c prometheus.yml | docker cp - "$name:/etc/prometheus" >/dev/null
  tar --owner=65534 --group=65534 -C "$folder/blocks" -c . | docker cp - "$name:/prometheus" >/dev/null
  docker start "$name" >/dev/null
  target="container = \"$name\""
}

start_process() {
  mkdir "$folder/data"
  mv "$folder"/blocks/* "$folder/data/"
  scrape_config "$port" >"$folder/prometheus.yml"
  cat >"$folder/prometheus" <<SCRIPT
#!/bin/sh
set -eu
cd "$folder"
pid=\$(cat pid 2>/dev/null || echo none)
alive() { [ -e /proc/\$pid/stat ] && ! grep -q ') Z ' /proc/\$pid/stat; }
gone() { while alive; do sleep 0.05; done; rm -f pid; }
case \$1 in
start) alive && exit 0
  setsid prometheus --config.file=prometheus.yml --storage.tsdb.path="$folder/data" --web.enable-admin-api \\
    --web.listen-address=127.0.0.1:$port --storage.tsdb.retention.time=1y >>log 2>&1 </dev/null &
  echo \$! >pid ;;
stop) if alive; then kill -TERM \$pid; fi; gone ;;
kill) if alive; then kill -KILL \$pid; fi; gone ;;
esac
SCRIPT
  chmod +x "$folder/prometheus"
  "$folder/prometheus" start
  target="data_dir = \"$folder/data\"
service = { stop = [\"$folder/prometheus\", \"stop\"], start = [\"$folder/prometheus\", \"start\"] }"
}

lose_the_data() {
  if [ "$where" = container ]; then
    typed docker stop "$name"
    docker stop "$name" >/dev/null
    typed "docker run --rm --user 0 --volumes-from $name --entrypoint /bin/sh $name -c 'rm -rf /prometheus/*'"
    docker run --rm --user 0 --volumes-from "$name" --entrypoint /bin/sh "$name" -c 'rm -rf /prometheus/*'
    typed docker start "$name"
    docker start "$name" >/dev/null
  else
    show "$folder/prometheus" stop
    typed "rm -rf $folder/data/*"
    rm -rf "${folder:?}/data/"*
    show "$folder/prometheus" start
  fi
}

ready() { curl -fs -o /dev/null "http://127.0.0.1:$port/-/ready"; }
value() { curl -fsG "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // 0'; }
scraped() { [ "$(value 'count_over_time(up[10m])')" -ge 8 ]; }
# What the server answers for the two-hour windows of the past, one line each: time, samples, temperature.
count_query='sum(count_over_time(shop_orders_total[2h]))'
value_query='avg(avg_over_time(shop_temperature_celsius[2h]))'
answers() {
  per_window "$count_query" >"$folder/counts"
  per_window "$value_query" >"$folder/values"
  join "$folder/counts" "$folder/values"
}
per_window() {
  curl -fsG "http://127.0.0.1:$port/api/v1/query_range" --data "start=$((start + window))" --data "end=$end" \
    --data "step=$window" --data-urlencode "query=$1 or vector(0)" |
    jq -r '.data.result[0].values[] | "\(.[0]) \(.[1] | tonumber * 1000 | round / 1000)"'
}
live_samples() { value "sum(count_over_time(up[1h] @ $live_until))"; }

title "Getting ready"
CI= scripts/setup.sh "$folder"
cargo build --release --locked
PATH="$(realpath "${CARGO_TARGET_DIR:-target}/release"):$PATH"
port=$(free_port)
make_blocks
if engine_answers; then
  where=container
  start_container
  echo "A Prometheus runs in the container $name, its data in a volume."
else
  where=process
  start_process
  echo "No Docker engine: Prometheus runs as a plain process."
fi
wait_for 60 ready || die "Prometheus does not get ready"
wait_for 60 scraped || die "Prometheus does not scrape"
echo "It holds $windows blocks, $((windows * 2)) hours of two metrics, and scrapes itself every second."

mkdir "$folder/state" "$folder/backups"
cat >"$folder/jobs.toml" <<CONFIG
state_dir  = "$folder/state"
backup_dir = "$folder/backups"

[prometheus.main]
url = "http://127.0.0.1:$port"
$target

[[job]]
name       = "prometheus-snapshot"
kind       = "prometheus-snapshot"
prometheus = "main"
schedule   = "0 2 * * *"
keep       = { last = 7 }
CONFIG
export WATCHKEEPER_CONFIG=$folder/jobs.toml
typed "cat jobs.toml"
cat "$folder/jobs.toml"

title "1. Is everything as it has to be?"
show_warning watchkeeper check --online

title "2. A backup"
live_until=$(($(date +%s) - 2))
answers >"$folder/before"
awk '$2 == 0 { exit 1 }' "$folder/before" || die "The blocks do not answer: there is nothing to lose."
live_before=$(live_samples)
show_warning watchkeeper run-now prometheus-snapshot
show_warning watchkeeper backups

title "3. The data is lost"
lose_the_data
wait_for 60 ready || die "Prometheus does not get ready"
answers >"$folder/lost"
echo "Samples of the shops it still has: $(awk '{ n += $2 } END { print n + 0 }' "$folder/lost")"

title "4. The restore"
show_warning watchkeeper restore prometheus-snapshot --yes
wait_for 60 ready || die "Prometheus does not get ready"
answers >"$folder/after"
live_after=$(live_samples)

title "5. The same queries before and after"
typed "$count_query"
typed "$value_query"
printf '%-15s%20s%20s%20s\n' "two hours until" "before" "lost" "restored"
paste -d ' ' "$folder/before" "$folder/lost" "$folder/after" | while read -r at n1 v1 _ n2 v2 _ n3 v3; do
  printf '%-15s%10s%10s%10s%10s%10s%10s\n' "$(date -d "@$at" +'%a %H:%M')" "$n1" "$v1" "$n2" "$v2" "$n3" "$v3"
done
printf '%-15s%10s%40s\n' "live head" "$live_before" "$live_after"
echo
cmp -s "$folder/before" "$folder/lost" && die "The data was never lost: this demo proved nothing."
cmp -s "$folder/before" "$folder/after" || die "DIFFERENT: the answers after the restore are not those from before."
[ "$live_before" = "$live_after" ] || die "DIFFERENT: the live head had $live_before samples and has $live_after."
echo "${bold}Equal.${plain} Every answer is as it was before the loss."
