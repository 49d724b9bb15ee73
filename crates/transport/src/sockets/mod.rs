//! The sockets of one peer connection: a UDP socket for each local address, dialled TCP connections, and relays.
//!
//! Nothing here blocks. [`Sockets::poll_ready`] tells the owner when there is something to do. Data that a full socket
//! does not take stays queued, and [`Sockets::is_clogged`] tells the owner to make no more.

mod dial;
mod relay;
mod stream;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

pub(crate) use relay::MayUse;
use relay::{RelayEvent, RelayPort};
use tcp::{TcpEvent, TcpPort};
use udp::UdpPort;

use crate::peer::{Datagram, LocalCandidate, Protocol};
use crate::proxy::Proxy;
use crate::relay::{MAX_RELAYS, RelayError, RelayTransport, Relays};

/// Most UDP sockets of one peer: local addresses from which the server is reached.
const MAX_UDP: usize = 8;

/// Most TCP connections of one peer. A server has one or two addresses.
const MAX_TCP: usize = 8;

/// The sockets of a peer. See the [module](self).
#[derive(Default)]
pub(crate) struct Sockets {
    udp: Vec<UdpPort>,
    /// Whether a UDP socket could not be had.
    udp_failed: bool,
    tcp: Vec<TcpPort>,
    relays: Vec<RelayPort>,
    /// The proxy for TCP connections to the server.
    proxy: Option<Arc<Proxy>>,
}

/// What the owner has to tell the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketEvent {
    /// A dialled connection is open. It is a local candidate.
    TcpConnected(SocketAddr),
    /// An open connection ended.
    TcpClosed(SocketAddr),
    /// A relay gave this address. It is a local candidate.
    Relayed(SocketAddr),
    /// A relay ended, with its address if it gave one.
    RelayFailed {
        /// The relayed address.
        relayed: Option<SocketAddr>,
        /// The reason.
        error: RelayError,
    },
}

impl Sockets {
    /// Makes sure that there is a UDP socket for `remote`, bound to the local address from which the system would send
    /// there. Returns the local address if the socket is new.
    ///
    /// So there are only sockets and candidates that can be used, the loopback is used if the server is there, and no
    /// server learns an address of another network.
    pub(crate) fn bind_towards(&mut self, remote: SocketAddr) -> Option<SocketAddr> {
        match find_route(remote) {
            Ok(ip) => self.bind(ip),
            Err(RouteError::NoSocket(error)) => {
                self.warn_without_udp(&error);
                None
            }
            // A destination without a route cannot be used as a candidate. That is no error.
            Err(RouteError::Unreachable(_)) => None,
        }
    }

    /// Binds a UDP socket to that address, unless there is one. Returns the socket's address if it is new.
    pub(crate) fn bind(&mut self, ip: IpAddr) -> Option<SocketAddr> {
        if self.udp.len() >= MAX_UDP || self.udp.iter().any(|port| port.local().ip() == ip) {
            return None;
        }
        let port = match UdpPort::bind(ip) {
            Ok(port) => port,
            Err(error) => {
                self.warn_without_udp(&error);
                return None;
            }
        };
        let local = port.local();
        self.udp.push(port);
        Some(local)
    }

    /// Whether a UDP socket was needed and there is none.
    pub(crate) fn lacks_udp(&self) -> bool {
        self.udp_failed && self.udp.is_empty()
    }

    /// Whether the system gives UDP sockets at all, of IPv4 or of IPv6.
    pub(crate) fn can_bind_udp() -> bool {
        [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
            .into_iter()
            .any(|any| UdpSocket::bind(SocketAddr::new(any, 0)).is_ok())
    }

    /// Logs the first failure of the peer, without the address: logs carry no addresses.
    fn warn_without_udp(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.udp_failed, true) {
            tracing::warn!("the system gives no UDP socket: {error}");
        }
    }

    /// Closes the UDP sockets and relays whose local address the machine no longer has, and returns what was a candidate.
    /// Relays that have failed may be opened again.
    pub(crate) fn close_gone(&mut self) -> Vec<LocalCandidate> {
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.udp)
            .into_iter()
            .partition(|port| UdpSocket::bind(SocketAddr::new(port.local().ip(), 0)).is_ok());
        self.udp = kept;
        let mut gone: Vec<_> =
            gone.iter().map(|port| LocalCandidate::Host(Protocol::Udp, port.local())).collect();
        self.relays.retain(|port| {
            let local = port.way().map(|(local, _)| SocketAddr::new(local.ip(), 0));
            let is_gone = local.is_some_and(|local| UdpSocket::bind(local).is_err());
            gone.extend(port.relayed().filter(|_| is_gone).map(LocalCandidate::Relayed));
            !is_gone && !port.is_closed()
        });
        gone
    }

    /// Sets the proxy for later TCP connections to the server.
    pub(crate) fn set_proxy(&mut self, proxy: Option<Arc<Proxy>>) {
        self.proxy = proxy;
    }

    /// Starts a TCP connection, unless there is one to that address.
    pub(crate) fn dial(&mut self, remote: SocketAddr) {
        if self.tcp.len() < MAX_TCP && !self.tcp.iter().any(|port| port.remote() == remote) {
            self.tcp.push(TcpPort::dial(remote, self.proxy.clone()));
        }
    }

    /// Dials an address, and holds the connection back until [`restart`](Self::restart).
    pub(crate) fn dial_held(&mut self, remote: SocketAddr) {
        let known = self.tcp.iter().any(|port| port.is_held() && port.remote() == remote);
        if self.tcp.len() < MAX_TCP && !known {
            self.tcp.push(TcpPort::hold(remote, self.proxy.clone()));
        }
    }

    /// The other side has restarted ICE. It assigns a TCP connection to the ICE session that the first message belongs
    /// to, so the connections that were used until now serve no longer. Those that were held back take their place.
    /// Returns what was a candidate.
    pub(crate) fn restart(&mut self) -> Vec<LocalCandidate> {
        let (mut held, used): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.tcp).into_iter().partition(TcpPort::is_held);
        held.iter_mut().for_each(TcpPort::release);
        self.tcp = held;
        let used = used.iter().filter_map(TcpPort::local);
        used.map(|local| LocalCandidate::Host(Protocol::Tcp, local)).collect()
    }

    /// Closes the connections that are held back, and the relays that `path` does not use. Returns what was a
    /// candidate.
    pub(crate) fn close_spares(&mut self, path: Option<SocketAddr>, now: Instant) -> Vec<LocalCandidate> {
        self.tcp.retain(|port| !port.is_held());
        let mut gone = Vec::new();
        self.relays.retain_mut(|port| {
            let used = port.relayed().is_some() && port.relayed() == path;
            if !used {
                gone.extend(port.relayed().map(LocalCandidate::Relayed));
                port.release(now);
            }
            used
        });
        gone
    }

    /// Opens those relays to which there is no way yet. A relay that has failed is not opened again before
    /// [`close_gone`](Self::close_gone): a server that names candidates without end would have it dialled without end.
    pub(crate) fn open_relays(
        &mut self,
        relays: &Relays,
        may_use: &MayUse,
        peers: &[SocketAddr],
        now: Instant,
    ) {
        for server in relays.servers.iter().take(MAX_RELAYS as usize) {
            // Fresh credentials are for new allocations only.
            let open = self.relays.iter().any(|port| {
                let known = port.server();
                (&known.host, known.port, known.transport) == (&server.host, server.port, server.transport)
            });
            if !open && self.relays.len() < MAX_RELAYS as usize {
                let trust = relays.trust.clone();
                let mut port = RelayPort::open(server.clone(), trust, may_use.clone(), now);
                for &peer in peers {
                    port.permit(peer, now);
                }
                self.relays.push(port);
            }
        }
    }

    /// Lets an address of the other side through the relays.
    pub(crate) fn permit(&mut self, peer: SocketAddr, now: Instant) {
        for port in &mut self.relays {
            port.permit(peer, now);
        }
    }

    /// Closes a relay that no longer works, and returns whether there was one with that relayed address.
    pub(crate) fn close_relay(&mut self, relayed: SocketAddr, now: Instant) -> bool {
        let Some(at) = self.relays.iter().position(|port| port.relayed() == Some(relayed)) else {
            return false;
        };
        self.relays.swap_remove(at).release(now);
        true
    }

    /// Whether a relay may still become or is usable.
    pub(crate) fn has_relays(&self) -> bool {
        self.relays.iter().any(|port| !port.is_closed())
    }

    /// How the relay with that relayed address is reached.
    pub(crate) fn relay_transport(&self, relayed: SocketAddr) -> Option<RelayTransport> {
        self.relays.iter().find(|port| port.relayed() == Some(relayed)).map(RelayPort::transport)
    }

    /// Whether the path from that local address goes through the proxy.
    pub(crate) fn is_proxied(&self, protocol: Protocol, local: SocketAddr) -> bool {
        match protocol {
            Protocol::Tcp => self.tcp.iter().any(|port| port.local() == Some(local) && port.is_proxied()),
            Protocol::Udp => {
                self.relays.iter().any(|port| port.relayed() == Some(local) && port.is_proxied())
            }
        }
    }

    /// The address of the relay with that relayed address.
    pub(crate) fn relay_address(&self, relayed: SocketAddr) -> Option<SocketAddr> {
        let port = self.relays.iter().find(|port| port.relayed() == Some(relayed))?;
        port.way().map(|(_, address)| address)
    }

    /// Gives all relayed addresses back.
    pub(crate) fn release_relays(&mut self, now: Instant) {
        for mut port in self.relays.drain(..) {
            port.release(now);
        }
    }

    /// Closes all sockets but the relays, and returns what was a candidate.
    pub(crate) fn close_direct(&mut self) -> Vec<LocalCandidate> {
        let udp = self.udp.drain(..).map(|port| LocalCandidate::Host(Protocol::Udp, port.local()));
        let open = self.tcp.drain(..).filter_map(|port| port.local());
        let tcp = open.map(|local| LocalCandidate::Host(Protocol::Tcp, local));
        udp.chain(tcp).collect()
    }

    /// Does what is due at the relays.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for port in &mut self.relays {
            port.handle_timeout(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.relays.iter().filter_map(RelayPort::poll_timeout).min()
    }

    /// Ready when data arrived, a dialled connection opened or failed, or a clogged socket can take bytes again.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        // Each socket is polled, so that each one wakes the task.
        for port in &mut self.udp {
            ready |= port.poll_ready(cx).is_ready();
        }
        for port in &mut self.tcp {
            ready |= port.poll_ready(cx).is_ready();
        }
        for port in &mut self.relays {
            ready |= port.poll_ready(cx).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Gives the datagrams that arrived to `take` (protocol, local, remote, bytes): about `budget` of each socket at
    /// most. Returns whether some may be left.
    pub(crate) fn receive(
        &mut self,
        budget: usize,
        now: Instant,
        mut take: impl FnMut(Protocol, SocketAddr, SocketAddr, &[u8]),
    ) -> bool {
        let mut more = false;
        for port in &mut self.udp {
            let local = port.local();
            more |= port.receive(budget, |remote, bytes| take(Protocol::Udp, local, remote, bytes));
        }
        for port in &mut self.tcp {
            let remote = port.remote();
            more |= port.receive(budget, |local, bytes| take(Protocol::Tcp, local, remote, bytes));
        }
        for port in &mut self.relays {
            // For the other side, a relay speaks UDP, however it is reached.
            more |=
                port.receive(budget, now, |local, remote, bytes| take(Protocol::Udp, local, remote, bytes));
        }
        more
    }

    /// The next event of the TCP connections and relays.
    pub(crate) fn poll_event(&mut self) -> Option<SocketEvent> {
        let mut event = self.relays.iter_mut().find_map(RelayPort::poll_event).map(|event| match event {
            RelayEvent::Usable(relayed) => SocketEvent::Relayed(relayed),
            RelayEvent::Failed { relayed, error } => SocketEvent::RelayFailed { relayed, error },
        });
        self.tcp.retain_mut(|port| {
            if event.is_some() {
                return true;
            }
            match port.poll_event() {
                None => true,
                Some(TcpEvent::Connected(local)) => {
                    event = Some(SocketEvent::TcpConnected(local));
                    true
                }
                Some(TcpEvent::Closed(local)) => {
                    event = local.map(SocketEvent::TcpClosed);
                    false
                }
            }
        });
        event
    }

    /// Queues a datagram. A datagram for a socket that is gone is lost, as any datagram may be.
    pub(crate) fn send(&mut self, datagram: &Datagram, now: Instant) {
        match datagram.protocol {
            Protocol::Udp => {
                let relay = self.relays.iter_mut().find(|port| port.relayed() == Some(datagram.local));
                if let Some(port) = relay {
                    port.send(datagram.remote, &datagram.contents, now);
                } else if let Some(port) = self.udp.iter_mut().find(|port| port.local() == datagram.local) {
                    port.send(datagram.remote, &datagram.contents);
                }
            }
            Protocol::Tcp => {
                let port = self
                    .tcp
                    .iter_mut()
                    .find(|port| port.local() == Some(datagram.local) && port.remote() == datagram.remote);
                if let Some(port) = port {
                    port.send(&datagram.contents);
                }
            }
        }
    }

    /// Hands the queued datagrams to the system, as far as it takes them.
    pub(crate) fn flush(&mut self) {
        for port in &mut self.udp {
            port.flush();
        }
        for port in &mut self.tcp {
            port.flush();
        }
        for port in &mut self.relays {
            port.flush();
        }
    }

    /// Whether a socket did not take everything.
    pub(crate) fn is_clogged(&self) -> bool {
        self.udp.iter().any(UdpPort::is_clogged)
            || self.tcp.iter().any(TcpPort::is_clogged)
            || self.relays.iter().any(RelayPort::is_clogged)
    }
}

/// The address from which the system sends to `remote`. Nothing is sent.
pub(crate) fn route_to(remote: SocketAddr) -> io::Result<IpAddr> {
    find_route(remote).map_err(|error| match error {
        RouteError::NoSocket(error) | RouteError::Unreachable(error) => error,
    })
}

/// Why no route was found.
enum RouteError {
    /// The system gave no socket to ask with.
    NoSocket(io::Error),
    /// There is no route to the destination.
    Unreachable(io::Error),
}

fn find_route(remote: SocketAddr) -> Result<IpAddr, RouteError> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(RouteError::NoSocket)?;
    let connected = socket.connect(remote).and_then(|()| socket.local_addr());
    connected.map(|local| local.ip()).map_err(RouteError::Unreachable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;

    use tokio::net::TcpListener;

    use super::*;
    use crate::relay::RelayServer;

    #[tokio::test]
    async fn a_relay_that_failed_is_dialled_once_for_each_description() {
        // Nothing listens there any more.
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let server = RelayServer {
            proxy: None,
            host: address.ip().to_string(),
            port: address.port(),
            transport: RelayTransport::Tcp,
            username: String::new(),
            credential: String::new(),
        };
        let relays = Relays { servers: vec![server], ..Relays::default() };
        let may_use: MayUse = Arc::new(|_| true);
        let mut sockets = Sockets::default();
        for _description in 0..3 {
            let mut failed = 0;
            for _candidate in 0..5 {
                let now = Instant::now();
                sockets.open_relays(&relays, &may_use, &[], now);
                while sockets.has_relays() {
                    poll_fn(|cx| sockets.poll_ready(cx)).await;
                }
                while let Some(event) = sockets.poll_event() {
                    assert!(matches!(event, SocketEvent::RelayFailed { relayed: None, .. }));
                    failed += 1;
                }
            }
            assert_eq!(failed, 1);
            assert_eq!(sockets.close_gone(), []);
        }
    }

    /// The address of the next connection that opens.
    async fn connected(sockets: &mut Sockets) -> SocketAddr {
        loop {
            poll_fn(|cx| sockets.poll_ready(cx)).await;
            if let Some(SocketEvent::TcpConnected(local)) = sockets.poll_event() {
                return local;
            }
        }
    }

    #[tokio::test]
    async fn a_restart_of_ice_takes_new_tcp_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = listener.local_addr().unwrap();
        let mut sockets = Sockets::default();
        sockets.dial(remote);
        let first = connected(&mut sockets).await;
        // The connection in use stays while another one is prepared, and the same address is not dialled twice.
        sockets.dial_held(remote);
        sockets.dial_held(remote);
        sockets.dial(remote);
        assert_eq!(sockets.tcp.len(), 2);
        assert_eq!(sockets.restart(), [LocalCandidate::Host(Protocol::Tcp, first)]);
        let second = connected(&mut sockets).await;
        assert_ne!(first, second);
        // Without one that was prepared, the next candidate is dialled.
        assert_eq!(sockets.restart(), [LocalCandidate::Host(Protocol::Tcp, second)]);
        sockets.dial(remote);
        assert_ne!(connected(&mut sockets).await, second);
    }
}
