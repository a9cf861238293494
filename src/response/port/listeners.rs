//! The sockets that listen in a network, as `/proc/…/net/tcp` has them.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener {
    address: IpAddr,
    pub(super) port: u16,
    inode: u64,
}

impl Listener {
    /// Nobody outside its network reaches it.
    pub(super) fn is_own_only(&self) -> bool {
        self.address.is_loopback()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// All of a network, whose folder is `/proc/PID/net`.
pub(super) fn read(net: &Path) -> io::Result<Vec<Listener>> {
    let mut all = parse(&fs::read_to_string(net.join("tcp"))?);
    // There is none where the kernel does without IPv6.
    all.extend(parse(&fs::read_to_string(net.join("tcp6")).unwrap_or_default()));
    all.sort_by_key(|listener| (listener.port, listener.address));
    Ok(all)
}

fn parse(table: &str) -> Vec<Listener> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// `0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …`
fn listener(line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    if *state != LISTENS {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: inode.parse().ok()?,
    })
}

/// Words of four bytes in the order of the machine.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return word(0).map(Ipv4Addr::from).map(IpAddr::V4);
    }
    let mut bytes = [0; 16];
    for (part, at) in bytes.chunks_mut(4).zip((0..32).step_by(8)) {
        part.copy_from_slice(&word(at)?);
    }
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// The process that has one of these sockets: `python3 (12)`. Nothing where this user may not see it.
pub(super) fn owner(listeners: &[Listener]) -> Option<String> {
    let wanted: Vec<String> =
        listeners.iter().map(|listener| format!("socket:[{}]", listener.inode)).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut processes =
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    processes.find_map(|process| {
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        let has = open.flatten().any(|file| {
            let target = fs::read_link(file.path());
            target.is_ok_and(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
        });
        let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        has.then(|| format!("{} ({})", program.trim(), process.file_name().display()))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_listens_is_read_with_its_address() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
            1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
            2: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 20 4 30 10 -1\n\
            3: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4714 1 0 100\n";
        let all = parse(table);
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:8080", "0.0.0.0:80", "[::1]:8081"]);
        assert_eq!(all.iter().map(Listener::is_own_only).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_owner() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        let all = read(Path::new("/proc/self/net")).unwrap();
        let found: Vec<Listener> = all.into_iter().filter(|listener| listener.port == port).collect();
        assert!(owner(&found).unwrap().ends_with(&format!("({})", std::process::id())));
    }
}
