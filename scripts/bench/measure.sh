# Measures commands; sourced by bench.sh and scale.sh. Needs $folder, a scratch folder.

results=$folder/results.tsv
: >"$results"
log=$folder/log

# CPU seconds of the Docker engine and the children it has waited for; nothing where it is not on this host.
engine_cpu() {
  local pid
  pid=$(pidof -s dockerd || true)
  [ -n "$pid" ] && sed 's/.*) //' "/proc/$pid/stat" | awk '{ print ($12 + $13 + $14 + $15) / 100 }' || echo 0
}
# CPU seconds that this machine was busy with anything, which includes Prometheus and helper containers.
machine_cpu() { awk '$1 == "cpu" { print ($2 + $3 + $4 + $7 + $8) / 100 }' /proc/stat; }
# Of files, each of which counts once however many names it has.
bytes_of() { { find "$1" -type f -printf '%i %s\n' 2>/dev/null || true; } | sort -u | awk '{ sum += $2 } END { printf "%.0f\n", sum }'; }
# Microseconds.
now() { echo "${EPOCHREALTIME/./}"; }

# pause: notes what share of the cores, in percent, is busy while nothing is measured: other people's work.
pauses=$folder/pauses
pause() {
  local busy start
  busy=$(machine_cpu) start=$(now)
  sleep 4
  awk -v b0="$busy" -v b1="$(machine_cpu)" -v micros=$(($(now) - start)) -v cores="$(nproc)" \
    'BEGIN { printf "%.0f\n", (b1 - b0) * 1e8 / micros / cores }' >>"$pauses"
}

# after_run: a command that is run after each run, and finds what was printed in $folder/output.
after_run=

# measure SCENARIO SUBJECT RUNS FOLDER PREPARE COMMAND…: runs PREPARE (not measured) and COMMAND so many times, and
# notes for each run: seconds, CPU seconds of it and its children, of the engine, of the machine, peak RSS in KiB of
# its largest process, and by how many bytes FOLDER grew.
measure() {
  local scenario=$1 subject=$2 runs=$3 grows=$4 prepare=$5 run code start end engine machine bytes user system rss
  shift 5
  printf '%-24s %-34s' "$scenario" "$subject" >&2
  for ((run = 1; run <= runs; run++)); do
    $prepare >>"$log" 2>&1 || die "cannot prepare $subject for $scenario: $(tail -n 20 "$log")"
    sync
    bytes=$(bytes_of "$grows")
    engine=$(engine_cpu) machine=$(machine_cpu)
    code=0
    start=$(now)
    /usr/bin/time -q -o "$folder/time" -f '%U %S %M' "$@" >"$folder/output" 2>&1 </dev/null || code=$?
    end=$(now)
    cat "$folder/output" >>"$log"
    # 3: done, with warnings, such as that the backups lie on the disk of the data.
    [ "$code" = 0 ] || { [ "$code" = 3 ] && [[ $1 == *watchkeeper ]]; } ||
      die "$* ended with $code: $(tail -n 20 "$folder/output")"
    read -r user system rss < <(tail -n 1 "$folder/time")
    awk -v OFS='\t' -v scenario="$scenario" -v subject="$subject" -v micros=$((end - start)) -v u="$user" \
      -v s="$system" -v e0="$engine" -v e1="$(engine_cpu)" -v m0="$machine" -v m1="$(machine_cpu)" \
      -v rss="$rss" -v grown=$(($(bytes_of "$grows") - bytes)) \
      'BEGIN { print scenario, subject, micros / 1e6, u + s, e1 - e0, m1 - m0, rss, grown }' >>"$results"
    printf ' %s' "$(tail -n 1 "$results" | cut -f3)" >&2
    ${after_run:-:}
  done
  printf '\n' >&2
}

# medians: reads results, prints for each scenario and subject in the order they came: runs, then the median, least
# and most of the seconds, and the medians of the rest.
medians() {
  awk -F'\t' -v OFS='\t' '
    function median(key, column, n,  i, j, t, list) {
      for (i = 1; i <= n; i++) list[i] = value[key, column, i]
      for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
        t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
      }
      least = list[1]; most = list[n]
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    { key = $1 OFS $2; if (!(key in runs)) order[++keys] = key
      n = ++runs[key]; for (c = 3; c <= 8; c++) value[key, c, n] = $c + 0 }
    END { for (k = 1; k <= keys; k++) { key = order[k]; n = runs[key]
      wall = median(key, 3, n); low = least; high = most
      line = key OFS n OFS wall OFS low OFS high
      for (c = 4; c <= 8; c++) line = line OFS median(key, c, n)
      print line } }' "$results"
}

# What a person needs to know to judge the figures.
machine() {
  local version
  printf '* %s, %s on %s\n' "$(hardware)" \
    "$(. /etc/os-release && echo "$PRETTY_NAME")" "$(df --output=fstype "$folder" | tail -n 1)"
  printf '* watchkeeper %s, commit %s%s, %s\n' "$("$watchkeeper" --version | cut -d' ' -f2)" \
    "$(git rev-parse --short HEAD)" "$([ -z "$(git status --porcelain -- src Cargo.lock)" ] || echo ' with changes')" \
    "$(rustc --version | cut -d' ' -f1,2)"
  printf '* Prometheus %s' "$(prometheus --version 2>&1 | sed -n '1s/.*version \([^ ]*\).*/\1/p')"
  if engine_answers; then printf ', Docker %s' "$(docker version --format '{{.Server.Version}}')"; fi
  printf ', %s' "$(tar --version | sed -n '1s/.*) /tar /p')" "$(gzip --version | sed -n 1p)"
  for version in 'pigz --version' 'restic version' 'borg --version' 'zstd --version'; do
    have "${version%% *}" || continue
    printf ', %s' "$($version 2>&1 | sed -E 's/.*(pigz|restic|borg|v)[ ]?([0-9]+(\.[0-9]+)+).*/\1 \2/; s/^v /zstd /; q')"
  done
  printf '\n* %s; load before the run %s; while nothing was measured, other work (Prometheus included) took %s of the cores\n' \
    "$(date -u '+%Y-%m-%d %H:%M UTC')" "$load" "$(sort -n "$pauses" | awk '{ v[NR] = $1 } END { print v[1] " to " v[NR] " %" }')"
}
