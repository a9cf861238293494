#!/usr/bin/env bash
# Makes the output that README.md and docs/RUNBOOK.md show, by doing what they say: README's own jobs.toml, in pieces, a
# real Prometheus with hours of data in the container `prometheus`, an application in `memory-server`, and each command
# that stands in a marker, from the first to the last. In place of a Grafana stands the tests' stand-in for one.
#
#   scripts/readme.sh [DOCUMENT…]      both unless told
#
#   <!-- output: COMMAND -->      what is between them is made anew
#   <!-- /output -->
#   <!-- then: the data is lost -->
#   <!-- then: the Grafana is lost -->
#   <!-- then: somebody is told -->      by two notifiers, one of which takes nothing, of a job that fails; no other job is there
#   <!-- then: all jobs are there again -->
#   <!-- then: the daemon runs -->
#   <!-- then: there is a rule to be added -->     in /etc/prometheus/rules.yml of this host
#   <!-- then: there is a dashboard to be changed -->     in /etc/watchkeeper/sessions.json
#   <!-- then: the application is stopped -->
#   <!-- then: the application was watched -->     by Prometheus for long enough to say how often something happens
#   <!-- then: the phone is on -->     what is sent to it is put into /etc/watchkeeper/phone
#   <!-- then: the engineer on call is told -->
#   <!-- then: an alert fires -->     as an Alertmanager tells the daemon, whose response has ended
#
# In a mount namespace of its own, so that the folders have the names they have for a user and whatever lies there on
# this host is not seen. Needs root for that, ports 9090, 8080, 3000, 8081, 8082 and 9469, and an engine without anything of those names.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

folders=(/etc/watchkeeper /etc/prometheus /var/lib/watchkeeper /var/backups/watchkeeper)

# The namespace needs somewhere to mount: folders that are not there are made, and removed again.
outside() {
  have cargo || die "No cargo: install Rust from your distribution or https://rustup.rs"
  cargo build --release --locked --bin watchkeeper --example grafana-stand-in
  engine=$(mktemp -d "${TMPDIR:-/tmp}/watchkeeper-readme.XXXXXX") made=()
  at_end leave
  CI=true scripts/setup.sh "$engine"
  local folder
  for folder in "${folders[@]}"; do
    [ -d "$folder" ] || { $SUDO mkdir "$folder" && made+=("$folder"); }
  done
  PATH="$(realpath "${CARGO_TARGET_DIR:-target}/release"):$PATH"
  local document
  for document in "$@"; do
    $SUDO unshare --mount --propagation private env "PATH=$PATH" scripts/readme.sh inside "$document" >"$engine/document"
    cat "$engine/document" >"$document"
  done
}
leave() {
  [ "${#made[@]}" = 0 ] || $SUDO rmdir "${made[@]}"
  stop_engine "$engine"
  rm -rf "$engine"
}

inside() {
  name=prometheus port=9090 shops=200 application=memory-server application_port=8080 grafana_port=3000
  local kind taken
  for kind in container volume image network; do
    for taken in "$name" "$application"; do
      ! docker "$kind" inspect "$taken" >/dev/null 2>&1 || die "There is a Docker $kind called $taken already."
    done
  done
  for taken in "$port" "$application_port" "$grafana_port" 8081 8082 9469; do
    ! (: <"/dev/tcp/127.0.0.1/$taken") 2>/dev/null || die "Somebody listens on port $taken already."
  done
  . scripts/scene.sh
  . scripts/application.sh
  . scripts/grafana.sh
  at_end tidy_all
  for place in "${folders[@]}"; do mount -t tmpfs -o mode=755 watchkeeper "$place"; done
  cat README.md $([ "$1" = README.md ] || echo "$1") | sed -n '/^```toml$/,/^```$/{/^```/!p}' >/etc/watchkeeper/jobs.toml
  make_blocks
  prepare_application
  start_container
  start_application
  start_grafana >&2
  export GRAFANA_PASSWORD=admin
  wait_until_it_serves
  # Not from here: a jobs.toml of the current folder would come first.
  document=$(realpath "$1")
  cd /
  retell
}

started=()
tidy_all() {
  [ "${#started[@]}" = 0 ] || kill "${started[@]}" 2>/dev/null || true
  tidy
}

# A chat that says `ok`, and a hook that takes nothing.
tell_somebody() {
  export SLACK_URL=http://127.0.0.1:8081/services/T0000/B0000/key
  python3 - <<'SERVERS' &
import http.server
import threading


def serve(port, status, said):
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", port), Answers).serve_forever()


threading.Thread(target=serve, args=(8082, 503, b"try later")).start()
serve(8081, 200, b"ok")
SERVERS
  started+=("$!")
  wait_for 30 answers 8081 && wait_for 30 answers 8082 || die "The receivers do not answer"
  mv /etc/watchkeeper/jobs.toml /etc/watchkeeper/all
  cat >/etc/watchkeeper/jobs.toml <<'JOBS'
state_dir  = "/var/lib/watchkeeper/told"
backup_dir = "/var/backups/watchkeeper"

[[job]]
name    = "disk"
kind    = "command"
command = ["df", "/mnt/backups"]
retries = { max = 0 }

[notify.chat]
type = "slack"
url  = { env = "SLACK_URL" }

[notify.hook]
type = "webhook"
url  = "http://127.0.0.1:8082/hook"
JOBS
}
# Keeps the last message that came.
listen_as_phone() {
  python3 - <<'SERVER' &
import http.server
import json


class Phone(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/etc/watchkeeper/phone", "w") as phone:
            phone.write(f"{said['title']}\n\n{said['message']}")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", 8081), Phone).serve_forever()
SERVER
  started+=("$!")
  wait_for 30 answers 8081 || die "The phone does not answer"
}
answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

make_rule() {
  cat >/etc/prometheus/rules.yml <<'RULES'
groups:
- name: shops
  rules:
  - { record: shop:orders:rate5m, expr: "rate(shop_orders_total[5m])" }
- name: memory-server
  rules:
  - alert: ServiceDown
    expr: up{job="memory-server"} == 0
    for: 1m
    labels: { severity: critical }
RULES
}
make_dashboard() {
  cat >/etc/watchkeeper/sessions.json <<'DASHBOARD'
{ "uid": "sessions", "title": "Sessions", "panels": [ { "id": 1, "type": "stat", "title": "Open sessions" } ] }
DASHBOARD
}

# What an Alertmanager posts.
fire() {
  local began
  began=$(date -u -d '-2 minutes' +%FT%TZ)
  curl -fsS -H 'Authorization: Bearer secret' -H 'Content-Type: application/json' --data @- \
    localhost:9469/webhook/alertmanager <<ALERT
{ "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "watchkeeper", "groupLabels": {}, "commonLabels": {},
  "commonAnnotations": {}, "externalURL": "http://localhost:9093", "truncatedAlerts": 0, "alerts": [ { "status": "firing",
  "labels": { "alertname": "ServiceDown", "severity": "critical", "job": "memory-server" },
  "annotations": { "summary": "MCP Memory Server is unreachable" }, "startsAt": "$began", "endsAt": "0001-01-01T00:00:00Z",
  "generatorURL": "", "fingerprint": "5ef77f1f8a3ecf8d" } ] }
ALERT
  wait_for 60 responded || die "The response to the alert does not end"
}
responded() { watchkeeper --json incidents | jq -e '.incidents[0].response == "done"' >/dev/null; }

# Has a rate of failed sessions above nothing.
counted() {
  curl -fsS "localhost:$port/api/v1/query" --data-urlencode \
    'query=sum(rate(mcp_journal_sessions_total{status="failed"}[5m])) > 0' | jq -e '.data.result != []' >/dev/null
}

run_daemon() {
  export WEBHOOK_TOKEN=secret
  watchkeeper run >/dev/null 2>&1 &
  started+=("$!")
  wait_for 60 curl -fsS -o /dev/null localhost:9469/metrics || die "The daemon serves no metrics"
}

# The document with every output made anew.
retell() {
  local line command old=
  while IFS= read -r line <&3; do
    if [ "$line" = '<!-- /output -->' ]; then old=; fi
    [ -n "$old" ] || printf '%s\n' "$line"
    case $line in
    '<!-- output: '*' -->')
      command=${line#<!-- output: }
      show_output "${command% -->}"
      old=yes
      ;;
    '<!-- then: the data is lost -->')
      lose_the_data >&2
      wait_for 60 ready || die "Prometheus does not get ready"
      ;;
    '<!-- then: the Grafana is lost -->') lose_grafana >&2 ;;
    '<!-- then: somebody is told -->') tell_somebody >&2 ;;
    '<!-- then: all jobs are there again -->') mv /etc/watchkeeper/all /etc/watchkeeper/jobs.toml ;;
    '<!-- then: the daemon runs -->') run_daemon >&2 ;;
    '<!-- then: there is a rule to be added -->') make_rule ;;
    '<!-- then: there is a dashboard to be changed -->') make_dashboard ;;
    '<!-- then: the application is stopped -->') docker stop "$application" >&2 ;;
    '<!-- then: an alert fires -->') fire >&2 ;;
    '<!-- then: the application was watched -->') wait_for 90 counted || die "Prometheus does not count failed sessions" ;;
    '<!-- then: the phone is on -->') listen_as_phone >&2 ;;
    '<!-- then: the engineer on call is told -->') wait_for 90 test -s /etc/watchkeeper/phone || die "Nobody was told" ;;
    '<!-- then: '*) die "$document: nobody knows how: $line" ;;
    esac
  done 3<"$document"
  [ -z "$old" ] || die "$document: an output has no end"
}

# As a terminal would show it; a warning (exit code 3) is no end, nor is what fails as the document says, and status with
# it.
show_output() {
  local code=0 said
  said=$(bash -c "$1" 2>&1 </dev/null) || code=$?
  say "\$ $1: exit code $code"
  case $code:$1 in 0:* | 3:* | 1:*" release" | 1:*" disk" | 1:*" status" | 1:*" notify-test" | 1:*" diagnose "*) ;; *) die "$said" ;; esac
  printf '```console\n$ %s\n%s\n```\n' "$1" "$said"
}

case ${1:-} in
inside) inside "$2" ;;
'') outside README.md docs/RUNBOOK.md ;;
*) outside "$@" ;;
esac
