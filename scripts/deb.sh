#!/usr/bin/env bash
# `make deb`: a Debian package of the built program, from what `make install` puts.
#
#   scripts/deb.sh [FOLDER]    default: target/debian
#
# BINARY as in install.sh. Needs dpkg-deb alone, and nothing of cargo: what is in the package is what is installed by hand.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
have dpkg-deb || die "No dpkg-deb: a Debian package is built on Debian or Ubuntu"

folder=${1:-target/debian}
BINARY=${BINARY:-target/release/watchkeeper}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

DESTDIR=$root PREFIX=/usr SYSCONFDIR=/etc BINARY=$BINARY scripts/install.sh 2>/dev/null
gzip -9 -n "$root"/usr/share/man/man1/*.1 "$root/usr/share/doc/watchkeeper/CHANGELOG.md"
mv "$root/usr/share/doc/watchkeeper/LICENSE" "$root/usr/share/doc/watchkeeper/copyright"

# The oldest C library that has what the program asks for.
libc=$(objdump -T "$BINARY" 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1 | sed 's/GLIBC_//' || true)
install -d "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: watchkeeper
Version: $version
Architecture: $architecture
Maintainer: Watchkeeper <watchkeeper@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: libc6${libc:+ (>= $libc)}, libgcc-s1, tzdata
Recommends: systemd
Suggests: docker.io, prometheus, polkitd
Section: admin
Priority: optional
Description: $(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)
 Backs up Prometheus, Grafana, SQLite databases and files, on a schedule or by
 hand, proves that what was backed up restores, and takes a restore back that
 cannot be proven. Nothing is started by the installation.
CONTROL
echo /etc/watchkeeper/jobs.toml >"$root/DEBIAN/conffiles"
install -m 755 packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN/"
(cd "$root" && find etc usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

mkdir -p "$folder"
package=$folder/watchkeeper_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
