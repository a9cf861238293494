# Words the results of bench.sh; sourced.

# table SCENARIO: one line for each subject. The line to compare with is the runbook's script in the same scenario,
# else (it knows no other) its full backup.
table() {
  medians | awk -F'\t' -v scenario="$1" -v raw="$raw_bytes" '
    function seconds(s) { return sprintf(s < 0.1 ? "%.3f" : s < 10 ? "%.2f" : "%.1f", s) }
    function bytes(b) { return sprintf(b < 1e5 ? "%.1f KB" : b < 1e8 ? "%.2f MB" : "%.1f MB", b < 1e5 ? b / 1e3 : b / 1e6) }
    $2 ~ /^runbook/ { if ($1 == scenario || !(base)) { if ($1 == scenario || $1 == "full backup") { base = $4; size = $11 } } }
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
}
