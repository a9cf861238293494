# Words the results of bench.sh; sourced.

# table SCENARIO: one line for each subject. The line to compare with is the runbook's script in the same scenario,
# else, for another backup (it knows no other), its full backup.
table() {
  medians | awk -F'\t' -v scenario="$1" -v raw="$raw_bytes" '
    function seconds(s) { return sprintf(s < 0.1 ? "%.3f" : s < 10 ? "%.2f" : "%.1f", s) }
    function bytes(b) { return sprintf(b < 1e5 ? "%.1f KB" : b < 1e8 ? "%.2f MB" : "%.1f MB", b < 1e5 ? b / 1e3 : b / 1e6) }
    $2 ~ /^runbook/ { if ($1 == scenario || $1 == "full backup" && scenario !~ /^restore/) { base = $4; size = $11 } }
    $1 == scenario { line[++lines] = $0 }
    END {
      check = scenario == "check everything"; out = scenario ~ /^(check|restore|server)/
      print "| | runs | wall (least – most), s | against the script | CPU s: own / engine / machine | peak RSS |" \
        (check ? " raw MB per CPU s |" : out ? "" : " stored | of the script'"'"'s |")
      print "|---|---|---|---|---|---|" (check ? "---|" : out ? "" : "---|---|")
      for (l = 1; l <= lines; l++) {
        split(line[l], f, "\t")
        gsub(/\|/, "\\|", f[2])
        printf "| %s | %d | %s (%s – %s) | %s | %.2f / %.2f / %.2f | %.1f MB |", f[2], f[3], seconds(f[4]),
          seconds(f[5]), seconds(f[6]), base ? sprintf("%.1f×", base / f[4]) : "", f[7], f[8], f[9], f[10] / 1000 * 1.024
        if (check) printf " %.0f |", raw / 1e6 / (f[7] > 0 ? f[7] : f[4])
        else if (!out) printf " %s | %.3f |", bytes(f[11]), size ? f[11] / size : 0
        print ""
      }
    }'
}

in_mb() { awk "BEGIN { printf \"%.1f\", $1 / 1e6 }"; }

# section SCENARIO TITLE [TEXT]: nothing where it was not measured.
section() {
  cut -f1 "$results" | grep -qx "$1" || return 0
  printf '\n## %s\n\n%s%s\n' "$2" "${3:+$3

}" "$(table "$1")"
}

# targets: what was wanted, and what came out. A line whose parts were not measured is left out.
targets() {
  medians | awk -F'\t' -v raw="$raw_bytes" '
    { wall[$1, $2] = $4; cpu[$1, $2] = $7; stored[$1, $2] = $11
      if ($2 ~ /^watchkeeper/ && $10 * 1.024 / 1000 > most) { most = $10 * 1.024 / 1000; whose = $1 ", " substr($2, 13) } }
    function line(what, least, got) {
      printf "| %s | %s× | %.1f× | %s |\n", what, least, got, (got >= least ? "met" : "missed") }
    # Of one scenario, how many times faster ours is.
    function faster(what, least, scenario, ours, theirs, base) {
      if (!base) base = scenario
      ours = "watchkeeper " ours
      if ((scenario, ours) in wall && (base, theirs) in wall) line(what, least, wall[base, theirs] / wall[scenario, ours]) }
    END {
      script = "runbook'"'"'s script"; full = "full backup"
      print "| target | wanted | measured | |\n|---|---|---|---|"
      faster("Full .tar.gz on the host path, against the script", 8, full, "archive gzip host", script)
      faster("Full .tar.gz through Docker, against the script", 6, full, "archive gzip docker", script)
      if ((full, script) in wall && (full, "watchkeeper archive gzip host") in wall) {
        got = stored[full, "watchkeeper archive gzip host"] / stored[full, script]
        printf "| Its size, of the script'"'"'s | ≤ 1.030 | %.3f | %s |\n", got, (got <= 1.03 ? "met" : "missed") }
      faster("Full with zstd on the host path, against the script", 15, full, "archive zstd host", script)
      for (a = split("host docker", access, " "); a > 0; a--) {
        ours = "blocks gzip " access[a]; way = access[a] == "host" ? "on the host path" : "through Docker"
        faster("Nothing new, empty head, " way ", against the script", 100, "nothing new", ours, script, full)
        faster("Nothing new, empty head, " way ", against restic", 3, "nothing new", ours, "restic")
        faster("Nothing new, empty head, " way ", against restic --ignore-ctime", 3, "nothing new", ours, "restic --ignore-ctime")
        faster("Live head, " way ", against the script", 20, "live head", ours, script)
        faster("Live head, " way ", against restic", 3, "live head", ours, "restic")
        faster("Live head, " way ", against restic --ignore-ctime", 3, "live head", ours, "restic --ignore-ctime")
        faster("Server ready again, archive gzip " way ", against `tar -xzf` and `docker cp`", 3, "server ready", "archive gzip " access[a], script)
      }
      faster("Restore into a folder with all checks, against `tar -xzf` alone", 3, "restore into a folder", "archive gzip host", script)
      for (l = split("archive blocks", layout, " "); l > 0; l--) for (c = split("gzip zstd", codec, " "); c > 0; c--) {
        ours = "watchkeeper " layout[l] " " codec[c] " host"
        if (("check everything", ours) in cpu) { got = raw / 1e6 / cpu["check everything", ours]
          printf "| Deep verify, %s %s, raw MB for each CPU second | ≥ 500 | %.0f | %s |\n", layout[l], codec[c], got, (got >= 500 ? "met" : "missed") } }
      if (most) printf "| Peak RSS of all of them (%s) | < 64 MB | %.1f MB | %s |\n", whose, most, (most < 64 ? "met" : "missed")
    }'
}

report() {
  cat <<TEXT
# Benchmarks

\`make bench\` writes this file; do not edit it. All figures come from one run on one machine:

$(machine)

The data are $(in_mb "$raw_bytes") MB of blocks ($layout_text, $series series every 15 s) in a Docker volume, read before
each part, so that the page cache is warm. Backups lie on the same disk. Walls are medians. *Own* CPU is that of the
process and its children; *engine* is dockerd's; *machine* is all that the machine was busy with meanwhile, and holds
both as well as Prometheus. Peak RSS is that of the largest process. Every backup includes taking the snapshot; all but
the script also remove it. The script is the runbook's: two snapshots, \`docker cp\`, \`tar -czf\`. What is slow has fewer
runs than the rest.

restic and borg get each snapshot bind-mounted at one path, because they look for what they know by its path; without
\`--ignore-ctime\`, restic reads everything again, because a hard link changes the ctime of its file. watchkeeper
brings what it has written to the disk, reads it back, and checks every chunk of it; the script and the pipelines do
none of that.
TEXT
  section "full backup" "Full backup"
  section "nothing new" "Another backup, nothing new, empty head" "The script makes a full backup again."
  section "one new block" "Another backup with one new block of two hours ($(in_mb "$later_bytes") MB), empty head"
  section "live head" "Another backup, nothing new but a live head of 20,000 series" \
    "The head holds $head_minutes minutes of samples every 15 s, and is being scraped."
  section "restore into a folder" "Restore into a folder"
  section "server ready" "Restore of the running server, until it is ready again" \
    "watchkeeper: stage, check, stop, swap, start. The script: stop, \`tar -xzf\`, \`docker cp\`, start; the step of it that
fails and its fixed sleep are left out, and Prometheus does not find what it has copied. CPU and RSS are those of the
whole command."
  section "restore the server" "Restore of the running server, until it is proven" \
    "watchkeeper asks for counts of every block, and once more after Prometheus's first reload, a minute after its start."
  section "check everything" "Check of everything that is stored" \
    "watchkeeper: \`verify --deep\`. The others check their own checksums, and nothing about blocks."
  printf '\n## Against the targets\n\n%s\n' "$(targets)"
  cat scripts/bench/limits.md
}
