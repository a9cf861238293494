# The Grafana of the demo and of README: a stand-in that answers as a recorded Grafana 7.5.5 does
# (examples/grafana-stand-in.rs), which has to be built already. Sourced after scene.sh; tidy_grafana ends it.

# Sets $grafana_port. One that holds one of everything, as a user has it.
start_grafana() {
  grafana_stand_in=$(realpath "${CARGO_TARGET_DIR:-target}/release/examples/grafana-stand-in")
  grafana_port=${grafana_port:-$(free_port $((port + 2)))}
  serve_grafana 0 sample
}
serve_grafana() {
  "$grafana_stand_in" "127.0.0.1:$grafana_port" 7.5.5 "$@" >>"$folder/grafana.log" 2>&1 &
  grafana_pid=$!
  wait_for 30 grafana_is_well || die "The stand-in for Grafana does not answer: $(cat "$folder/grafana.log")"
}
grafana_is_well() { curl -fs -o /dev/null "http://127.0.0.1:$grafana_port/api/health"; }

# A new one in its place, empty, whose numbers are others.
lose_grafana() {
  tidy_grafana
  serve_grafana 1000
}
tidy_grafana() {
  [ -n "${grafana_pid:-}" ] || return 0
  kill "$grafana_pid" 2>/dev/null || true
  wait "$grafana_pid" 2>/dev/null || true
  grafana_pid=
}
