//! Who listens on a port of this machine.
//!
//! Plain HTTP to 127.0.0.1 proves nothing about the other side: while the panel is stopped, any user of the machine can
//! listen in its place, and would be told the administrator's token or password. The kernel knows whose socket it is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;

/// The user that the panel runs as.
const PANEL: &str = "wcp360:";

/// Where a panel on this machine is expected, in the clear.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    /// `localhost` may be either.
    addresses: Vec<IpAddr>,
    port: u16,
}

impl Listener {
    /// Of an address and a port.
    pub(super) fn new(address: Option<IpAddr>, port: u16) -> Self {
        let both = || vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self { addresses: address.map_or_else(both, |a| vec![a]), port }
    }

    /// The user who listens there, if that is neither root, nor the panel's user, nor whoever runs this program.
    pub(super) fn stranger(&self) -> Option<u32> {
        let mut sockets = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            // Where the kernel does not say, nothing can be checked.
            let Ok(file) = File::open(table) else { continue };
            sockets.extend(BufReader::new(file).lines().map_while(Result::ok).filter_map(|line| parse(&line)));
        }
        let trusted = [Some(0), own_uid(), panel_uid()];
        self.owners(&sockets).into_iter().find(|uid| !trusted.contains(&Some(*uid)))
    }

    /// Whose sockets would be connected to: those bound to the very address, else those bound to all.
    fn owners(&self, sockets: &[(IpAddr, u16, u32)]) -> Vec<u32> {
        let at = |wanted: IpAddr| {
            let fits = move |s: &&(IpAddr, u16, u32)| s.0 == wanted && s.1 == self.port;
            sockets.iter().filter(fits).map(|s| s.2).collect::<Vec<_>>()
        };
        let all = |address: &IpAddr| {
            let ways: &[IpAddr] = match address {
                IpAddr::V4(_) => &[*address, Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
                IpAddr::V6(_) => &[*address, Ipv6Addr::UNSPECIFIED.into()],
            };
            ways.iter().map(|way| at(*way)).find(|found| !found.is_empty()).unwrap_or_default()
        };
        self.addresses.iter().flat_map(all).collect()
    }
}

/// Address, port and owner of a socket that listens, from its line in /proc/net/tcp; see proc(5).
fn parse(line: &str) -> Option<(IpAddr, u16, u32)> {
    let mut words = line.split_ascii_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let (state, owner) = (words.nth(1)?, words.nth(3)?);
    if state != "0A" {
        return None;
    }
    // Words of 32 bits, each in the order of this machine's bytes.
    let mut bytes = Vec::with_capacity(16);
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?, owner.parse().ok()?))
}

fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|facts| facts.uid())
}

fn panel_uid() -> Option<u32> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find(|line| line.starts_with(PANEL))?.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_the_owner_of_the_very_socket_counts() {
        let line =
            "   0: 0100007F:0832 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001  0 5 1 0 100 0 0 10 0";
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(parse(line), Some((here, 2098, 1001)));
            let six = "0: 00000000000000000000000001000000:0832 0:0 0A 0:0 0:0 0 7 0 5 1";
            assert_eq!(parse(six), Some(("::1".parse().unwrap(), 2098, 7)));
        }
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None, "a connection");
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue"), None);

        let all: IpAddr = "0.0.0.0".parse().unwrap();
        let sockets = [(all, 2098, 5), (here, 2098, 6), ("::".parse().unwrap(), 2098, 7), (here, 2099, 8)];
        let owners = |address: Option<IpAddr>, n: usize| Listener::new(address, 2098).owners(&sockets[..n]);
        assert_eq!(owners(Some(here), 4), [6]);
        assert_eq!(owners(Some(here), 1), [5], "bound to all addresses");
        assert_eq!(owners(None, 4), [6, 7], "localhost may be either");
        assert!(owners(Some(here), 0).is_empty());
    }

    #[test]
    fn our_own_socket_is_trusted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(Listener::new(Some(at.ip()), at.port()).stranger(), None);
    }
}
