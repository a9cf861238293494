# The application that Prometheus watches beside itself: examples/memory-server, in a container where Prometheus is in
# one, else as a plain process. Sourced after scene.sh; its database is in $folder/app. tidy_application removes it.

# Before Prometheus is started: sets $network and $scraped_too.
prepare_application() {
  application=${application:-$name-app}
  application_port=${application_port:-$(free_port $((port + 1)))}
  mkdir "$folder/app"
  rustc --edition 2024 -O -o "$folder/memory-server" examples/memory-server.rs
  local seen_at=127.0.0.1:$application_port
  if engine_answers; then
    network=$name
    docker network create "$network" >/dev/null
    seen_at=$application:8080
  fi
  scraped_too="- { job_name: memory-server, static_configs: [ { targets: ['$seen_at'] } ] }
"
}

# Sets $application_target: how jobs.toml names it beside its url.
start_application() {
  if [ -n "${network:-}" ]; then
    make_image "$application" watchkeeper.scene="$$" "$folder/memory-server" sqlite3
    # The first process of a container is not ended by a signal that it does not handle: the shell handles it.
    docker run -d --name "$application" --network "$network" --restart unless-stopped --user "$(id -u):$(id -g)" \
      -p "127.0.0.1:$application_port:8080" -v "$folder/app:/app/data" --entrypoint /bin/sh "$application" \
      -c 'trap exit TERM; memory-server 0.0.0.0:8080 /app/data/memory.db & wait' >/dev/null
    application_target="container = \"$application\"
database  = \"/app/data/memory.db\""
  else
    as_service application "$folder/memory-server" "127.0.0.1:$application_port" "$folder/app/memory.db"
    application_target="database  = \"$folder/app/memory.db\"
service   = { stop = [\"$folder/application\", \"stop\"], start = [\"$folder/application\", \"start\"] }"
  fi
  wait_for 30 application_is_well || die "The application does not get well"
}
application_is_well() { curl -fs -o /dev/null "http://127.0.0.1:$application_port/health"; }

lose_the_database() {
  if [ -n "${network:-}" ]; then show docker stop "$application" >/dev/null; else show "$folder/application" stop; fi
  typed "rm $folder/app/*"
  rm "$folder"/app/*
}

tidy_application() {
  if [ -n "${network:-}" ]; then
    docker rm -f -v "$application" >/dev/null 2>&1 || true
    docker rmi -f "$application" >/dev/null 2>&1 || true
    docker network rm "$network" >/dev/null 2>&1 || true
  elif [ -x "$folder/application" ]; then
    "$folder/application" kill || true
  fi
}
