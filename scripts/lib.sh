# Shared by the scripts; sourced, not run. Says nothing by itself and changes nothing.

# One name for root's rights: empty when we have them.
SUDO=
[ "$(id -u)" = 0 ] || SUDO=sudo

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
engine_answers() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
# A process that nobody reaps is a zombie, and gone for our purposes.
alive() { [ -e "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat" 2>/dev/null; }

# wait_for SECONDS COMMAND…: polls a foreign process until the command works.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# at_end COMMAND: runs it on every way out, after a signal too; the script then ends with $code, as it would have.
at_end() {
  ending=$1
  trap 'code=$?; trap - EXIT INT TERM; "$ending"; exit "$code"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# What a machine is, for whoever judges figures.
hardware() {
  local cpu memory
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  memory=$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)
  printf '%s, %s cores, %s of memory, Linux %s' "${cpu:-unknown processor}" "$(nproc)" "$memory" "$(uname -r)"
}

# free_port [FROM]
free_port() {
  local port
  for port in $(seq "${1:-$((20000 + $$ % 10000))}" 32000); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
}

# stop_engine FOLDER: stops the dockerd that setup.sh has started with this folder, and no other.
stop_engine() {
  local file=$1/dockerd.pid pid
  [ -s "$file" ] || return 0
  pid=$(cat "$file")
  if alive "$pid" && [ "$(cat "/proc/$pid/comm")" = dockerd ]; then
    $SUDO kill -TERM "$pid"
    wait_for 30 not alive "$pid" || $SUDO kill -KILL "$pid"
  fi
  rm -f "$file"
}
not() { ! "$@"; }

# make_image NAME LABEL [PROGRAM…]: an image that behaves as prom/prometheus does, without a registry: the installed
# binaries, or these programs, the libraries they name, and busybox.
make_image() {
  local name=$1 label=$2 root program library applet
  shift 2
  [ $# -gt 0 ] || set -- prometheus promtool
  root=$(mktemp -d)
  mkdir -p "$root"/{bin,etc/prometheus,lib,lib64,prometheus,tmp}
  for program in "$@"; do
    cp "$(command -v $program)" "$root/bin/"
    # A static program names none.
    for library in $({ ldd "$(command -v $program)" || true; } 2>/dev/null | grep -o '/[^ ]*'); do
      mkdir -p "$root$(dirname "$library")"
      cp -L "$library" "$root$library"
    done
  done
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in sh ls mv rm cat tar cp find mkdir chown sleep wget; do ln -s busybox "$root/bin/$applet"; done
  echo 'nobody:x:65534:65534::/:/bin/sh' >"$root/etc/passwd"
  echo 'nobody:x:65534:' >"$root/etc/group"
  tar --owner=0 --group=0 -cf "$root/image.tar" -C "$root" bin etc lib lib64
  tar --owner=65534 --group=65534 -rf "$root/image.tar" -C "$root" prometheus tmp
  docker import -c "LABEL $label" -c 'USER nobody' -c 'VOLUME ["/prometheus"]' -c 'WORKDIR /prometheus' \
    -c 'ENTRYPOINT ["/bin/prometheus"]' "$root/image.tar" "$name" >/dev/null
  rm -rf "$root"
}
