//! Which of the server's candidates are tried.
//!
//! A server may name any address. An address of this machine or of its local link belongs to the server only if the
//! server is there, too. Otherwise the server could make the client connect to services that are closed to the outside.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sockets::route_to;

/// The prefix of a candidate's line in a description.
const LINE: &str = "a=candidate:";

/// Where the server is, as far as that decides about candidates.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    /// The server is on this machine.
    here: bool,
    /// The server was reached at a link-local address.
    on_link: bool,
}

impl Reach {
    /// For a server that signalling reached at that address. `None` if the address is not known.
    pub(super) fn to(server: Option<IpAddr>) -> Self {
        let Some(server) = server.map(|server| server.to_canonical()) else { return Self::default() };
        // The machine reaches an address of its own from that same address.
        let own = || route_to(SocketAddr::new(server, 9)).is_ok_and(|local| local == server);
        Self { here: server.is_loopback() || own(), on_link: is_link_local(server) }
    }

    /// Whether the server may be at that address.
    pub(super) fn includes(&self, candidate: IpAddr) -> bool {
        let candidate = candidate.to_canonical();
        if candidate.is_multicast() || candidate == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return false;
        }
        if candidate.is_loopback() || is_this_host(candidate) {
            return self.here;
        }
        !is_link_local(candidate) || self.here || self.on_link
    }

    /// Whether the candidate may be tried. A text that is no candidate passes: the peer rejects it.
    pub(super) fn takes(&self, candidate: &str) -> bool {
        address(candidate).is_none_or(|address| self.includes(address))
    }

    /// Removes the candidates that may not be tried from a description.
    pub(super) fn filter<'a>(&self, sdp: &'a str) -> Cow<'a, str> {
        let taken = |line: &str| !line.starts_with(LINE) || self.takes(line);
        if sdp.lines().all(taken) {
            return Cow::Borrowed(sdp);
        }
        sdp.split_inclusive('\n').filter(|line| taken(line)).collect::<String>().into()
    }
}

/// The address of `candidate:<foundation> <component> <transport> <priority> <address> …`.
fn address(candidate: &str) -> Option<IpAddr> {
    candidate.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// 0.0.0.0/8 and `::`: systems treat them as the machine itself.
fn is_this_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 0,
        IpAddr::V6(address) => address == Ipv6Addr::UNSPECIFIED,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LOOPBACK: [&str; 6] = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"];
    const LINK: [&str; 4] = ["169.254.169.254", "fe80::1", "febf::9", "::ffff:169.254.0.1"];
    const NO_HOST: [&str; 3] = ["224.0.0.1", "255.255.255.255", "ff02::1"];
    /// A server in a private network has addresses of that network.
    const OTHERS: [&str; 4] = ["10.0.0.1", "192.168.1.9", "203.0.113.9", "2001:db8::1"];

    fn taken<'a>(reach: &Reach, addresses: &[&'a str]) -> Vec<&'a str> {
        let candidate =
            |address: &str| format!("candidate:1 1 tcp 1 {address} 7881 typ host tcptype passive");
        addresses.iter().copied().filter(|address| reach.takes(&candidate(address))).collect()
    }

    fn reach(server: &str) -> Reach {
        Reach::to(Some(server.parse().unwrap()))
    }

    #[test]
    fn what_is_on_the_machine_is_tried_if_the_server_is_there() {
        for server in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let reach = reach(server);
            assert_eq!(taken(&reach, &LOOPBACK), LOOPBACK, "{server}");
            assert_eq!(taken(&reach, &LINK), LINK, "{server}");
        }
        for reach in [Reach::to(None), reach("203.0.113.9"), reach("10.0.0.1"), reach("fe80::5")] {
            assert!(taken(&reach, &LOOPBACK).is_empty(), "{reach:?}");
        }
    }

    #[test]
    fn what_is_on_the_link_is_tried_if_the_server_is_there() {
        assert_eq!(taken(&reach("169.254.3.3"), &LINK), LINK);
        assert_eq!(taken(&reach("fe80::5"), &LINK), LINK);
        for reach in [Reach::to(None), reach("203.0.113.9")] {
            assert!(taken(&reach, &LINK).is_empty(), "{reach:?}");
        }
    }

    #[test]
    fn all_else_but_what_is_no_host_is_tried_from_everywhere() {
        for reach in [Reach::to(None), reach("127.0.0.1"), reach("203.0.113.9")] {
            assert_eq!(taken(&reach, &OTHERS), OTHERS);
            assert!(taken(&reach, &NO_HOST).is_empty());
        }
    }

    #[test]
    fn a_description_loses_those_candidates_and_nothing_else() {
        let kept = "v=0\r\na=candidate:1 1 udp 1 203.0.113.9 7882 typ host\r\n";
        let sdp = format!(
            "{kept}a=candidate:1 1 tcp 1 127.0.0.1 22 typ host tcptype passive\r\na=end-of-candidates\r\n"
        );
        let away = Reach::to(None);
        assert_eq!(away.filter(&sdp), format!("{kept}a=end-of-candidates\r\n"));
        assert!(matches!(reach("127.0.0.1").filter(&sdp), Cow::Borrowed(same) if same == sdp));
        for text in ["", "candidate:", "a=candidate:1 1 udp", "candidate:1 1 udp 1 host.local 9 typ host"] {
            assert!(away.takes(text) && away.filter(text) == text, "{text}");
        }
    }
}
