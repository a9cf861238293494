#!/usr/bin/env bash
# `make deb`: a Debian package of the built program, from what `make install` puts.
#
#   scripts/deb.sh [FOLDER]    default: target/debian
#
# By cargo-deb where it is installed (cargo install cargo-deb), else by dpkg-deb alone, which needs nothing of cargo;
# DEB_TOOL names one of them. What the package says of itself stands in Cargo.toml. BINARY as in install.sh.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/lib.sh
have dpkg-deb || die "No dpkg-deb: a Debian package is built on Debian or Ubuntu"

folder=${1:-target/debian}
BINARY=${BINARY:-target/release/watchkeeper}
root=target/debian/root # as Cargo.toml names it
tool=${DEB_TOOL:-$(have cargo-deb && echo cargo-deb || echo dpkg-deb)}
[ "$tool" = cargo-deb ] || {
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  chmod 755 "$root"
}

of_package() { sed -n "1,/^\[lib\]/ s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml; }
of_deb() { sed -n "/^\[package.metadata.deb\]/,/^\[lints/ s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml; }
# What stands below it in Cargo.toml, with the space that dpkg wants.
long_description() { sed -n '/^extended-description/,/"""$/ { /^extended-description/d; s/"""$//; s/^/ /; p }' Cargo.toml; }

# The oldest C library that has what the program asks for.
needs() {
  local libc
  libc=$(objdump -T "$BINARY" 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1 | sed 's/GLIBC_//' || true)
  of_deb depends | sed "s/\$auto/libc6${libc:+ (>= $libc)}, libgcc-s1/"
}

by_dpkg_deb() {
  gzip -9 -n "$root"/usr/share/man/man1/*.1 "$root/usr/share/doc/watchkeeper/CHANGELOG.md"
  mv "$root/usr/share/doc/watchkeeper/LICENSE" "$root/usr/share/doc/watchkeeper/copyright"
  install -d "$root/DEBIAN"
  {
    echo "Package: watchkeeper"
    echo "Version: $version"
    echo "Architecture: $architecture"
    echo "Maintainer: $(of_deb maintainer)"
    echo "Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)"
    echo "Depends: $(needs)"
    echo "Recommends: $(of_deb recommends)"
    echo "Suggests: $(of_deb suggests)"
    echo "Section: $(of_deb section)"
    echo "Priority: $(of_deb priority)"
    echo "Description: $(of_package description)"
    long_description
  } >"$root/DEBIAN/control"
  (cd "$root" && find etc -type f | sed 's|^|/|') >"$root/DEBIAN/conffiles"
  install -m 755 packaging/deb/* "$root/DEBIAN/"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
}

version=$(of_package version)
architecture=$(dpkg --print-architecture)
mkdir -p "$folder"
package=$folder/watchkeeper_${version}_$architecture.deb
rm -rf "$root"
DESTDIR=$(realpath -m "$root") PREFIX=/usr SYSCONFDIR=/etc BINARY=$BINARY scripts/install.sh 2>/dev/null
case $tool in
cargo-deb) cargo deb --no-build --no-strip --offline --locked --quiet --output "$package" >/dev/null ;;
dpkg-deb) by_dpkg_deb ;;
*) die "DEB_TOOL is cargo-deb or dpkg-deb, not $tool" ;;
esac
echo "$package"
