use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::{DelayedTransmitBuild as _, TurnClientApi as _};
use turn_client_proto::stun;
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::frames::{Method, Request, error_code, request};
use super::{RelayError, RelayServer};

/// The most addresses of the LiveKit server that are reached through one allocation. A server has a handful.
pub(crate) const MAX_PEERS: usize = 16;

/// The most requests that are kept to compare answers with. The client has a few unanswered ones at a time, and keeps
/// 50 ms between two requests.
const MAX_REQUESTS: usize = 64;

/// The most steps of the client in one call. Further steps wait for the next call.
const MAX_STEPS: usize = 32;

/// How long the steps that one call did not do wait for the next call.
const PAUSE: Duration = Duration::from_millis(10);

/// How a request is repeated. It is sent five times, with 0.5, 1, 2 and 2 s in between. 2 s after the last time, which
/// is 7.5 s after the first time, it counts as unanswered.
const FIRST_TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(2);
const TRANSMISSIONS: u32 = 5;

const BAD_REQUEST: u16 = 400;
const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const STALE_NONCE: u16 = 438;
const FAMILY_NOT_SUPPORTED: u16 = 440;
const WRONG_CREDENTIALS: u16 = 441;

/// An allocation on a TURN server. It makes the requests and refreshes, and wraps and unwraps datagrams. It takes and
/// gives whole messages, also if a stream carries them.
pub(crate) struct Allocation {
    client: TurnClientUdp,
    config: TurnConfig,
    /// The family of the relayed address. It reaches no peer of the other family.
    family: AddressFamily,
    /// Whether the server does not support the other family.
    family_settled: bool,
    local: SocketAddr,
    server: SocketAddr,
    /// The client counts time from here.
    start: Instant,
    relayed: Option<SocketAddr>,
    peers: Vec<(SocketAddr, Peer)>,
    requests: VecDeque<Request>,
    messages: VecDeque<Vec<u8>>,
    events: VecDeque<AllocationEvent>,
    /// The code of the server's last error response to a request for a peer.
    refused: Option<u16>,
    usable: bool,
    /// If the allocation is not usable by then, it has failed.
    usable_by: Instant,
    failed: bool,
    deadline: Instant,
}

/// The state of a peer: of an address of the LiveKit server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    New,
    Asked,
    Permitted,
    Refused,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocationEvent {
    /// The relayed address can be used as a candidate.
    Usable(SocketAddr),
    /// It cannot be used, or no longer.
    Failed(RelayError),
}

impl Allocation {
    /// Asks the TURN server at `address` for a relayed address, of the family of the TURN server's own address. If the
    /// LiveKit server has no address of that family among `peers`, asks for one of the other family. The peers are let
    /// through. If no data can go through the relayed address by `usable_by`, the allocation has failed.
    pub(crate) fn new(
        server: &RelayServer,
        address: SocketAddr,
        local: SocketAddr,
        peers: &[SocketAddr],
        usable_by: Instant,
        now: Instant,
    ) -> Self {
        let mut families = peers.iter().map(|&peer| family_of(peer));
        let family =
            families.clone().find(|&family| family == family_of(address)).or_else(|| families.next());
        let family = family.unwrap_or(AddressFamily::IPV4);
        let credentials = TurnCredentials::new(&server.username, &server.credential);
        let mut config = TurnConfig::new(credentials);
        config.set_request_retransmits(FIRST_TIMEOUT, LONGEST_TIMEOUT, TRANSMISSIONS, LONGEST_TIMEOUT);
        config.set_address_family(family);
        let peers = peers.iter().take(MAX_PEERS).map(|&peer| (peer, Peer::New)).collect();
        Self {
            client: TurnClientUdp::allocate(local, address, config.clone()),
            config,
            family,
            family_settled: false,
            local,
            server: address,
            start: now,
            relayed: None,
            peers,
            requests: VecDeque::new(),
            messages: VecDeque::new(),
            events: VecDeque::new(),
            refused: None,
            usable: false,
            usable_by,
            failed: false,
            deadline: now,
        }
    }

    /// Asks the TURN server to let this peer send to the relayed address. After that, [`wrap`](Self::wrap) takes data
    /// for the peer.
    pub(crate) fn permit(&mut self, peer: SocketAddr, now: Instant) {
        let known = self.peers.iter().any(|(known, _)| *known == peer);
        if !known && self.peers.len() < MAX_PEERS {
            self.peers.push((peer, Peer::New));
            self.handle_timeout(now);
        }
    }

    /// Takes a message of the TURN server. If it has data of a peer, `take` gets the relayed address, the peer and the
    /// data.
    pub(crate) fn handle_message(
        &mut self,
        message: &[u8],
        now: Instant,
        take: impl FnOnce(SocketAddr, SocketAddr, &[u8]),
    ) {
        if self.failed {
            return;
        }
        if let Some((id, code)) = error_code(message)
            && let Some(request) = self.requests.iter().find(|request| request.id == id).copied()
        {
            self.handle_error(request, code);
        }
        let transmit = Transmit::new(message, TransportType::Udp, self.server, self.local);
        match self.client.recv(transmit, self.time(now)) {
            TurnRecvRet::PeerData(data) => {
                if let Some(relayed) = self.relayed {
                    take(relayed, data.peer, data.data());
                }
            }
            _ => self.handle_timeout(now),
        }
    }

    /// Handles an error response. The client itself ignores error responses without a signature, and does not tell the
    /// code of the others.
    fn handle_error(&mut self, request: Request, code: u16) {
        match (request.method, code) {
            // A TURN server answers the first request, which has no credentials, in this way.
            (Method::Allocate, UNAUTHORIZED) if !request.signed => {}
            (_, STALE_NONCE) => {}
            // livekit-server answers with 400 if the credentials are wrong or have expired. The request itself is not
            // bad: without credentials, the server answered it with 401.
            (Method::Allocate, BAD_REQUEST | UNAUTHORIZED | WRONG_CREDENTIALS) => {
                self.fail(RelayError::Unauthorized);
            }
            (Method::Allocate, FAMILY_NOT_SUPPORTED) if self.takes_other_family() => {}
            (Method::Allocate, code) => self.fail(RelayError::Refused(code)),
            (Method::Permit, code) if !self.usable => {
                self.refused = Some(code);
                if let Some(peer) = request.peer {
                    self.set(peer, Peer::Refused);
                }
                self.fail_if_refused();
            }
            _ => {}
        }
    }

    /// Asks for a relayed address of the other family, unless that was done or reaches no peer.
    fn takes_other_family(&mut self) -> bool {
        let other = self.peers.iter().map(|&(peer, _)| family_of(peer)).find(|&family| family != self.family);
        let Some(family) = other.filter(|_| !self.family_settled) else { return false };
        self.family_settled = true;
        self.family = family;
        self.config.set_address_family(family);
        self.client = TurnClientUdp::allocate(self.local, self.server, self.config.clone());
        self.requests.clear();
        true
    }

    fn fail_if_refused(&mut self) {
        let mut reached = self.peers.iter().filter(|(peer, _)| family_of(*peer) == self.family).peekable();
        let refused = reached.peek().is_some() && reached.all(|(_, state)| *state == Peer::Refused);
        if refused && !self.usable {
            self.fail(match self.refused {
                // livekit-server says 401 if it forbids the address. The credentials are not wrong: it took them a
                // moment ago.
                Some(FORBIDDEN | UNAUTHORIZED) => RelayError::Forbidden,
                Some(code) => RelayError::Refused(code),
                None => RelayError::Unreachable,
            });
        }
    }

    fn fail(&mut self, error: RelayError) {
        if !std::mem::replace(&mut self.failed, true) {
            self.events.push_back(AllocationEvent::Failed(error));
        }
    }

    /// Wraps a datagram for a peer into a message for the TURN server. `None`: there is no permission for that peer.
    pub(crate) fn wrap(&mut self, peer: SocketAddr, contents: &[u8], now: Instant) -> Option<Vec<u8>> {
        let now = self.time(now);
        let wrapped = self.client.send_to(TransportType::Udp, peer, contents, now).ok().flatten()?;
        Some(wrapped.data.build())
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.usable && self.usable_by <= now {
            self.fail(RelayError::Unreachable);
        }
        for _ in 0..MAX_STEPS {
            if self.failed {
                return;
            }
            while let Some(event) = self.client.poll_event() {
                self.take_event(event);
            }
            self.ask(now);
            let time = self.time(now);
            while self.messages.len() < MAX_STEPS
                && let Some(transmit) = self.client.poll_transmit(time)
            {
                self.push_message(transmit.data.to_vec());
            }
            match self.client.poll(time) {
                TurnPollRet::WaitUntil(at) if at > time => {
                    self.deadline = now + at.saturating_duration_since(time);
                    return;
                }
                TurnPollRet::WaitUntil(_) => {}
                // The client has ended, and does not tell why.
                _ => {
                    while let Some(event) = self.client.poll_event() {
                        self.take_event(event);
                    }
                    self.fail(RelayError::Unreachable);
                }
            }
        }
        self.deadline = now + PAUSE;
    }

    fn push_message(&mut self, message: Vec<u8>) {
        if let Some(request) = request(&message) {
            if self.requests.len() >= MAX_REQUESTS {
                self.requests.pop_front();
            }
            if !self.requests.contains(&request) {
                self.requests.push_back(request);
            }
        }
        self.messages.push_back(message);
    }

    fn take_event(&mut self, event: TurnEvent) {
        match event {
            TurnEvent::AllocationCreated(_, relayed) => self.relayed = Some(relayed),
            TurnEvent::AllocationCreateFailed(_) => self.fail(RelayError::Unreachable),
            TurnEvent::ChannelCreated(_, peer) => {
                self.set(peer, Peer::Permitted);
                if let Some(relayed) = self.relayed
                    && !std::mem::replace(&mut self.usable, true)
                {
                    self.events.push_back(AllocationEvent::Usable(relayed));
                }
            }
            TurnEvent::ChannelCreateFailed(_, peer) => {
                self.set(peer, Peer::Refused);
                self.fail_if_refused();
            }
            _ => {}
        }
    }

    fn set(&mut self, peer: SocketAddr, state: Peer) {
        if let Some((_, known)) = self.peers.iter_mut().find(|(known, _)| *known == peer) {
            *known = state;
        }
    }

    /// Asks for a channel to each new peer. A channel includes the permission.
    fn ask(&mut self, now: Instant) {
        if self.relayed.is_none() {
            return;
        }
        let time = self.time(now);
        let Self { client, peers, family, .. } = self;
        let reached = |peer: SocketAddr| family_of(peer) == *family;
        for (peer, state) in peers.iter_mut().filter(|(peer, state)| *state == Peer::New && reached(*peer)) {
            *state = match client.bind_channel(TransportType::Udp, *peer, time) {
                Ok(()) => Peer::Asked,
                Err(_) => Peer::Refused,
            };
        }
    }

    /// The next message for the server.
    pub(crate) fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<AllocationEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = if self.usable { self.deadline } else { self.deadline.min(self.usable_by) };
        (!self.failed).then_some(deadline)
    }

    /// Gives the relayed address back. The messages are polled as usual.
    pub(crate) fn release(&mut self, now: Instant) {
        // An error means that there is no allocation.
        if self.client.delete(self.time(now)).is_ok() {
            // The client would wait 50 ms between two requests. There is no time for that here.
            let later = self.time(now + Duration::from_millis(50));
            while let Some(transmit) = self.client.poll_transmit(later) {
                self.messages.push_back(transmit.data.to_vec());
            }
        }
    }

    fn time(&self, now: Instant) -> stun::Instant {
        let since = now.saturating_duration_since(self.start).as_nanos();
        stun::Instant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

const fn family_of(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::IPV4 } else { AddressFamily::IPV6 }
}

#[cfg(test)]
mod tests;
