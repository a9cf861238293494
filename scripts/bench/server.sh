# A Prometheus in a container on a volume of generated blocks; sourced by bench.sh. Needs $folder, $name, $port.

generate() { "$target/release/examples/tsdb-blocks" "$@"; }

# The blocks, and one more that comes later. They end where the log of the head will begin, so that Prometheus has
# nothing to compact while it is measured.
make_data_set() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/watchkeeper-bench end=$(($(date +%s) - head_minutes * 60))
  mkdir -p "$cache"
  data=$cache/$1
  rm -rf "$data"
  generate blocks --layout "$2" --series "$3" --end "$end" "$data/blocks" >&2
  mkdir "$data/later"
  mv "$data/blocks/$(ls "$data/blocks" | tail -n 1)" "$data/later/"
}

create_server() {
  make_image "$name" watchkeeper.bench="$$"
  docker volume create "$name" >/dev/null
  volume=$(docker volume inspect --format '{{.Mountpoint}}' "$name")
  [ -d "$volume" ] || die "The engine's volumes are not on this host: $volume"
  docker create --name "$name" -p "127.0.0.1:$port:9090" -v "$name:/prometheus" \
    --add-host host.docker.internal:host-gateway "$name" \
    --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus --web.enable-admin-api \
    --storage.tsdb.retention.time=10y --storage.tsdb.max-block-duration=2h >/dev/null
  scrape_nothing
  own "$data/blocks/."
}

# own FOLDER/.: copies into the volume what Prometheus's user shall own.
own() {
  cp -r "$1" "$volume/"
  chown -R 65534:65534 "$volume"
}

configure() {
  cat >"$folder/prometheus.yml"
  tar --owner=0 --group=0 --mode=644 -C "$folder" -c prometheus.yml | docker cp - "$name:/etc/prometheus" >/dev/null
}
scrape_nothing() { echo 'global: {}' | configure; }
scrape_live() {
  configure <<CONFIG
global: { scrape_interval: 15s }
scrape_configs:
- { job_name: live, honor_labels: true, static_configs: [ { targets: ['host.docker.internal:$exporter_port'] } ] }
CONFIG
}

ready() { curl -fs -o /dev/null "$url/-/ready"; }
start_server() {
  docker start "$name" >/dev/null
  wait_for 120 ready || die "Prometheus does not get ready: $(docker logs --tail 5 "$name" 2>&1)"
  # So that it is not read from the disk for the first time by whoever comes first.
  find "$volume" -type f -exec cat {} + >/dev/null
}
stop_server() { docker stop "$name" >/dev/null; }

head_series() { curl -fs "$url/metrics" | awk '$1 == "prometheus_tsdb_head_series" { print $2 + 0 }'; }
blocks_loaded() { curl -fs "$url/metrics" | awk '$1 == "prometheus_tsdb_blocks_loaded" { print $2 + 0 }'; }
scraped() { curl -fs "$url/api/v1/targets" | jq -e '.data.activeTargets[0].health == "up"' >/dev/null; }

add_a_block() {
  stop_server
  own "$data/later/."
  start_server
}

# From an empty head to one that 20,000 series have filled for an hour and a half, and go on to.
live_head() {
  stop_server
  rm -rf "$volume/wal" "$volume/chunks_head"
  generate wal --minutes "$head_minutes" --series 20000 "$folder/head" >&2
  own "$folder/head/."
  generate serve --series 20000 "$exporter_port" >>"$log" 2>&1 &
  exporter=$!
  scrape_live
  start_server
  wait_for 60 scraped || die "Prometheus does not reach the exporter on port $exporter_port of this host"
  [ "$(head_series)" -ge 20000 ] || die "The head has $(head_series) series"
}

remove_server() {
  docker rm -f -v "$name" >/dev/null 2>&1 || true
  docker volume rm -f "$name" >/dev/null 2>&1 || true
  docker rmi -f "$name" >/dev/null 2>&1 || true
  if [ -n "${exporter:-}" ]; then kill "$exporter" 2>/dev/null || true; fi
}
