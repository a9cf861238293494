# How much a backup job stores for each hour of data, because Prometheus merges its blocks: simulates the blocks that
# Prometheus 2.42 has at each hour (tsdb/compact.go, LeveledCompactor.selectDirs) and counts those that a backup has
# not seen before.
#
#   awk -f amplification.awk -v retention=360 -v every=24 -v keep=7      hours, hours, backups
#
# Prints, tab-separated: the levels; hours of blocks stored for each hour of data; the same with the head; hours held
# by the last `keep` backups for each hour of the newest; backups.

# Merges blocks until there is no more to merge. start[] and stop[] are sorted, 1 to n.
function merge(  iv, r, i, first, last, high, m) {
  for (;;) {
    # The newest block is left alone.
    m = n - 1; if (m < 2) return
    high = start[m]; first = 0
    for (r = 2; r <= levels && !first; r++) {
      iv = range[r]
      for (i = 1; i <= m; i = last + 1) {
        last = i
        while (last < m && int(start[last + 1] / iv) == int(start[i] / iv)) last++
        if (stop[last] > (int(start[i] / iv) + 1) * iv) continue
        if (last > i && (stop[last] - start[i] == iv || stop[last] <= high)) { first = i; break }
      }
    }
    if (!first) return
    stop[first] = stop[last]
    for (i = last + 1; i <= n; i++) { start[first + i - last] = start[i]; stop[first + i - last] = stop[i] }
    n -= last - first
  }
}
# Deletes what retention deletes.
function forget(  i, gone) {
  for (gone = 0; gone < n && stop[n] - stop[gone + 1] >= retention; gone++);
  if (gone) for (i = 1; i <= n - gone; i++) { start[i] = start[i + gone]; stop[i] = stop[i + gone] }
  n -= gone
}
BEGIN {
  most = retention / 10 < 744 ? retention / 10 : 744
  for (hours = 2; levels == 0 || (hours <= most && levels < 10); hours *= 3) range[++levels] = hours
  end = retention * 3; n = 0
  for (now = 3; now <= end; now++) {
    # Every two hours the head, then three hours long, gives its oldest two to a block.
    if (now % 2 == 1) { n++; start[n] = now - 3; stop[n] = now - 1; merge(); forget() }
    if (now % every) continue
    backups++
    counted = now > retention * 2
    delete held
    hours_now = 0
    for (i = 1; i <= n; i++) {
      key = start[i] "-" stop[i]
      hours_now += stop[i] - start[i]
      if (counted && !(key in seen)) stored += stop[i] - start[i]
      seen[key] = 1; used[key] = backups
    }
    if (counted) { heads += now - stop[n]; of++ }
    if (now + every > end) {
      for (key in used) if (used[key] > backups - keep) { split(key, part, "-"); union += part[2] - part[1] }
    }
  }
  covered = of * every
  printf "%d\t%.2f\t%.2f\t%.2f\t%d\n", levels, stored / covered, (stored + heads) / covered, union / hours_now, of
}
