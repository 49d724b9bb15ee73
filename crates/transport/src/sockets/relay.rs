use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};

use super::dial::dial as dial_through;
use super::route_to;
use super::stream::RelayStream;
use super::udp::UdpPort;
use crate::relay::{Allocation, AllocationEvent, MAX_PEERS, RelayError, RelayServer, RelayTransport, Trust};

/// How long it may take until a relay lets data through. The time begins with the look-up of its name.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the look-up of a name may take if the proxy can look it up, too. A network behind a proxy may have no DNS
/// server that answers.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The most addresses of a relay's host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Whether a relay may have that address.
pub(crate) type MayUse = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// A relay: the socket that carries its messages, and the allocation on it.
pub(super) struct RelayPort {
    server: RelayServer,
    state: State,
    /// Addresses of the LiveKit server that became known before there was an allocation.
    peers: Vec<SocketAddr>,
    relayed: Option<SocketAddr>,
    events: VecDeque<RelayEvent>,
    open_by: Instant,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelayEvent {
    /// There is a relayed address. It is a candidate.
    Usable(SocketAddr),
    /// The relay cannot be used, or no longer. `relayed`: the relayed address, if there was one.
    Failed { relayed: Option<SocketAddr>, error: RelayError },
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<Opened, RelayError>> + Send>>),
    Open(Box<Opened>, Box<Allocation>),
    Closed,
}

/// The socket that carries the messages, both its addresses, and whether it goes through the proxy.
struct Opened {
    carrier: Carrier,
    local: SocketAddr,
    address: SocketAddr,
    proxied: bool,
}

enum Carrier {
    Udp(Box<UdpPort>),
    Stream(Box<RelayStream>),
}

impl RelayPort {
    pub(super) fn open(server: RelayServer, trust: Arc<Trust>, may_use: MayUse, now: Instant) -> Self {
        let to = server.clone();
        let opening = Box::pin(async move { open(&to, &trust, &may_use).await });
        Self {
            server,
            state: State::Opening(opening),
            peers: Vec::new(),
            relayed: None,
            events: VecDeque::new(),
            open_by: now + OPEN_TIMEOUT,
        }
    }

    pub(super) const fn server(&self) -> &RelayServer {
        &self.server
    }

    pub(super) const fn transport(&self) -> RelayTransport {
        self.server.transport
    }

    /// The relayed address, while it can be used.
    pub(super) const fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// The local address from which the relay is reached, and the address of the relay itself.
    pub(super) fn way(&self) -> Option<(SocketAddr, SocketAddr)> {
        match &self.state {
            State::Open(opened, _) => Some((opened.local, opened.address)),
            _ => None,
        }
    }

    /// Whether the relay is reached through the proxy.
    pub(super) fn is_proxied(&self) -> bool {
        matches!(&self.state, State::Open(opened, _) if opened.proxied)
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn permit(&mut self, peer: SocketAddr, now: Instant) {
        match &mut self.state {
            State::Opening(_) if self.peers.len() < MAX_PEERS => self.peers.push(peer),
            State::Opening(_) => {}
            State::Open(_, allocation) => allocation.permit(peer, now),
            State::Closed => {}
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.events.is_empty() {
            return Poll::Ready(());
        }
        match &mut self.state {
            State::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(opened) => {
                    self.opened(opened);
                    Poll::Ready(())
                }
            },
            State::Open(opened, _) => match &mut opened.carrier {
                Carrier::Udp(port) => port.poll_ready(cx),
                Carrier::Stream(stream) => stream.poll_ready(cx),
            },
            State::Closed => Poll::Pending,
        }
    }

    fn opened(&mut self, opened: Result<Opened, RelayError>) {
        match opened {
            Ok(opened) => {
                let now = Instant::now();
                let (peers, by) = (std::mem::take(&mut self.peers), self.open_by);
                let mut allocation =
                    Allocation::new(&self.server, opened.address, opened.local, &peers, by, now);
                allocation.handle_timeout(now);
                self.state = State::Open(Box::new(opened), Box::new(allocation));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Calls `take` with each datagram that came from the LiveKit server: the relayed address, the server's address and
    /// the bytes. Returns whether some may be left.
    pub(super) fn receive(
        &mut self,
        budget: usize,
        now: Instant,
        mut take: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> bool {
        let State::Open(opened, allocation) = &mut self.state else { return false };
        let Opened { carrier, address, .. } = &mut **opened;
        let more = match carrier {
            Carrier::Udp(port) => Ok(port.receive(budget, |from, message| {
                if from == *address {
                    allocation.handle_message(message, now, &mut take);
                }
            })),
            Carrier::Stream(stream) => {
                stream.receive(budget, |message| allocation.handle_message(message, now, &mut take))
            }
        };
        more.unwrap_or_else(|error| {
            self.fail(error);
            false
        })
    }

    /// Sends a datagram to that address of the LiveKit server, through the relay.
    pub(super) fn send(&mut self, remote: SocketAddr, contents: &[u8], now: Instant) {
        let State::Open(opened, allocation) = &mut self.state else { return };
        if let Some(message) = allocation.wrap(remote, contents, now) {
            opened.send(message);
        }
    }

    pub(super) fn flush(&mut self) {
        let State::Open(opened, _) = &mut self.state else { return };
        if let Err(error) = opened.flush() {
            self.fail(error);
        }
    }

    pub(super) fn is_clogged(&self) -> bool {
        let State::Open(opened, _) = &self.state else { return false };
        match &opened.carrier {
            Carrier::Udp(port) => port.is_clogged(),
            Carrier::Stream(stream) => stream.is_clogged(),
        }
    }

    /// Does what is due, and queues the messages for the relay.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Opening(_) if self.open_by <= now => return self.fail(RelayError::Unreachable),
            State::Opening(_) | State::Closed => {}
            State::Open(opened, allocation) => {
                if allocation.poll_timeout().is_some_and(|due| due <= now) {
                    allocation.handle_timeout(now);
                }
                while let Some(message) = allocation.poll_message() {
                    opened.send(message);
                }
                while let Some(event) = allocation.poll_event() {
                    match event {
                        AllocationEvent::Usable(relayed) => {
                            self.relayed = Some(relayed);
                            self.events.push_back(RelayEvent::Usable(relayed));
                        }
                        AllocationEvent::Failed(error) => return self.fail(error),
                    }
                }
            }
        }
        self.flush();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Opening(_) => Some(self.open_by),
            State::Open(_, allocation) => allocation.poll_timeout(),
            State::Closed => None,
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<RelayEvent> {
        self.events.pop_front()
    }

    fn fail(&mut self, error: RelayError) {
        self.state = State::Closed;
        self.events.push_back(RelayEvent::Failed { relayed: self.relayed.take(), error });
    }

    /// Gives the relayed address back. The message that says so is lost if the socket does not take it at once.
    pub(super) fn release(&mut self, now: Instant) {
        if let State::Open(opened, allocation) = &mut self.state {
            allocation.release(now);
            while let Some(message) = allocation.poll_message() {
                opened.send(message);
            }
            let _ = opened.flush();
        }
        self.state = State::Closed;
    }
}

impl Opened {
    fn send(&mut self, message: Vec<u8>) {
        match &mut self.carrier {
            Carrier::Udp(port) => port.send(self.address, &message),
            Carrier::Stream(stream) => stream.send(message),
        }
    }

    fn flush(&mut self) -> Result<(), RelayError> {
        match &mut self.carrier {
            Carrier::Udp(port) => {
                port.flush();
                Ok(())
            }
            Carrier::Stream(stream) => stream.flush(),
        }
    }
}

async fn open(server: &RelayServer, trust: &Trust, may_use: &MayUse) -> Result<Opened, RelayError> {
    let (socket, proxied) = match &server.proxy {
        _ if server.transport == RelayTransport::Udp => return bind(&resolve(server, may_use).await?),
        None => (dial(&resolve(server, may_use).await?).await?, false),
        Some(proxy) => {
            let addresses = resolve_behind(server, may_use).await?;
            let direct = async { dial(&addresses).await.ok().map(|socket| (socket, false)) };
            dial_through(proxy, &server.host, server.port, |tunnel| (tunnel, true), direct).await?
        }
    };
    let address = socket.peer_addr().map_err(|_| RelayError::Unreachable)?;
    let local = socket.set_nodelay(true).and_then(|()| socket.local_addr());
    let local = local.map_err(|_| RelayError::Unreachable)?;
    let tls = match server.transport {
        RelayTransport::Tls => Some((trust.config().ok_or(RelayError::Untrusted)?, server.host.as_str())),
        _ => None,
    };
    let carrier = Carrier::Stream(Box::new(RelayStream::new(socket, tls)?));
    Ok(Opened { carrier, local, address, proxied })
}

/// The addresses of a relay that may be used.
async fn resolve(server: &RelayServer, may_use: &MayUse) -> Result<Vec<SocketAddr>, RelayError> {
    let addresses = lookup_host((server.host.as_str(), server.port)).await;
    let addresses = addresses.map_err(|_| RelayError::Unresolved)?;
    let usable: Vec<_> = addresses.filter(|address| may_use(address.ip())).take(MAX_ADDRESSES).collect();
    if usable.is_empty() { Err(RelayError::Unresolved) } else { Ok(usable) }
}

/// The same for a relay behind a proxy. Here, there may be none: a name that only the proxy can look up is not one of
/// this machine or its network.
async fn resolve_behind(server: &RelayServer, may_use: &MayUse) -> Result<Vec<SocketAddr>, RelayError> {
    let looking_up = lookup_host((server.host.as_str(), server.port));
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, looking_up).await.is_ok_and(|found| found.is_ok());
    if found { resolve(server, may_use).await } else { Ok(Vec::new()) }
}

/// Binds a UDP socket towards the first address that has a route.
fn bind(addresses: &[SocketAddr]) -> Result<Opened, RelayError> {
    for &address in addresses {
        if let Ok(port) = route_to(address).and_then(UdpPort::bind) {
            let local = port.local();
            let carrier = Carrier::Udp(Box::new(port));
            return Ok(Opened { carrier, local, address, proxied: false });
        }
    }
    Err(RelayError::Unreachable)
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, RelayError> {
    for &address in addresses {
        if let Ok(socket) = TcpStream::connect(address).await {
            return Ok(socket);
        }
    }
    Err(RelayError::Unreachable)
}
