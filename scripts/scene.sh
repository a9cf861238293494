# A real Prometheus with hours of data, and how it loses them: what the scripts that tell its story share. Sourced
# after lib.sh, by a script that has set $name: that of the container, its volume and its image. An application beside
# it is in application.sh, a Grafana in grafana.sh.
#
# Everything else is in $folder. tidy removes all of it: `at_end tidy`.

folder=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
where=
tidy() {
  if [ "$where" = container ]; then
    docker rm -f -v "$name" >/dev/null 2>&1 || true
    docker volume rm -f "$name" >/dev/null 2>&1 || true
    docker rmi -f "$name" >/dev/null 2>&1 || true
  elif [ -x "$folder/prometheus" ]; then
    "$folder/prometheus" kill || true
  fi
  if declare -F tidy_grafana >/dev/null; then tidy_grafana; fi
  # Last: its network is Prometheus's too.
  if declare -F tidy_application >/dev/null; then tidy_application; fi
  stop_engine "$folder"
  rm -rf "$folder" || $SUDO rm -rf "$folder"
}
# The commands that a story shows, as a person would type them.
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold= dim= plain=; fi
typed() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }
# Prints a command and runs it.
show() {
  typed "$@"
  "$@"
}
# The same, where a warning (exit code 3) is no end.
show_warning() { show "$@" || [ $? = 3 ]; }

window=7200
windows=9
shops=${shops:-5}
# Two free windows before now: no block touches the live head.
end=$((($(date +%s) / window - 1) * window))
start=$((end - windows * window))

# One call for each window: promtool reads its whole input again for every block that it writes.
make_blocks() {
  local at
  for ((at = start; at < end; at += window)); do
    awk -v from="$at" -v to="$((at + window))" -v shops="$shops" 'BEGIN {
      print "# TYPE shop_orders counter"
      for (shop = 1; shop <= shops; shop++) for (t = from; t < to; t += 15)
        printf "shop_orders_total{shop=\"%d\"} %d %d\n", shop, (t - 1.7e9) / (9 + shop), t
      print "# TYPE shop_temperature_celsius gauge"
      for (shop = 1; shop <= shops; shop++) for (t = from; t < to; t += 15)
        printf "shop_temperature_celsius{shop=\"%d\"} %.2f %d\n", shop, 18 + shop + 4 * sin(t / 9000), t
      print "# EOF"
    }' >"$folder/window.om"
    promtool tsdb create-blocks-from --quiet openmetrics "$folder/window.om" "$folder/blocks" >/dev/null
  done
}

# configure PORT FOLDER: what Prometheus reads, with what is scraped beside itself in $scraped_too.
configure() {
  {
    printf 'global: { scrape_interval: 1s }\nrule_files: [rules.yml]\nscrape_configs:\n'
    printf -- "- { job_name: prometheus, static_configs: [ { targets: ['127.0.0.1:%s'] } ] }\n" "$1"
    printf '%s' "${scraped_too:-}"
  } >"$2/prometheus.yml"
  printf 'groups:\n- name: shops\n  rules:\n  - { record: shop:orders:rate5m, expr: "rate(shop_orders_total[5m])" }\n' \
    >"$2/rules.yml"
}

# Both set $target: how jobs.toml names it beside its url.
start_container() {
  where=container
  make_image "$name" watchkeeper.scene="$$"
  docker volume create "$name" >/dev/null
  # shellcheck disable=SC2086 # none, or two words
  docker create --name "$name" ${network:+--network $network} --restart unless-stopped -p "127.0.0.1:$port:9090" -v "$name:/prometheus" "$name" \
    --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus \
    --storage.tsdb.retention.time=1y --web.enable-admin-api >/dev/null
  configure 9090 "$folder"
  tar --owner=0 --group=0 -C "$folder" -c prometheus.yml rules.yml | docker cp - "$name:/etc/prometheus" >/dev/null
  tar --owner=65534 --group=65534 -C "$folder/blocks" -c . | docker cp - "$name:/prometheus" >/dev/null
  docker start "$name" >/dev/null
  target="container = \"$name\""
}

start_process() {
  where=process
  mkdir "$folder/data"
  mv "$folder"/blocks/* "$folder/data/"
  mkdir "$folder/config"
  configure "$port" "$folder/config"
  as_service prometheus prometheus --config.file=config/prometheus.yml --storage.tsdb.path="$folder/data" \
    --web.enable-admin-api --web.listen-address=127.0.0.1:"$port" --storage.tsdb.retention.time=1y
  target="data_dir = \"$folder/data\"
service = { stop = [\"$folder/prometheus\", \"stop\"], start = [\"$folder/prometheus\", \"start\"] }"
}

# as_service NAME COMMAND…: makes $folder/NAME, which starts, stops and kills it, and starts it.
as_service() {
  local script=$folder/$1 service=$1
  shift
  cat >"$script" <<SCRIPT
#!/bin/sh
set -eu
cd "$folder"
pid=\$(cat $service.pid 2>/dev/null || echo none)
alive() { [ -e /proc/\$pid/stat ] && ! grep -q ') Z ' /proc/\$pid/stat; }
gone() { while alive; do sleep 0.05; done; rm -f $service.pid; }
case \$1 in
start) alive && exit 0
  setsid $* >>$service.log 2>&1 </dev/null &
  echo \$! >$service.pid ;;
stop) if alive; then kill -TERM \$pid; fi; gone ;;
kill) if alive; then kill -KILL \$pid; fi; gone ;;
esac
SCRIPT
  chmod +x "$script"
  "$script" start
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
wait_until_it_serves() {
  wait_for 60 ready || die "Prometheus does not get ready"
  wait_for 60 scraped || die "Prometheus does not scrape"
}
