use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datatrack::subscriber::Epoch;
use datatrack_media::Sections;
use tokio::time::Sleep;

use super::linger::Lingers;
use super::pump::Pump;
use super::reach::Reach;
use super::surroundings::{Surroundings, since_boot};
use super::tracks::Tracks;
use super::{
    Command, ConnectionEvent, ConnectionMode, ConnectionOptions, ConnectionStats, Delivery, DescriptionKind,
    PeerState, Shared, Target, lock,
};
use crate::Link;
use crate::hearing::Hearing;
use crate::peer::{
    ChannelKind, LocalCandidate, Peer, PeerError, PeerEvent, PeerStats, Protocol, RemoteCandidate,
};
use crate::proxy::Proxy;
use crate::relay::Relays;
use crate::sockets::{MayUse, SocketEvent, Sockets, route_to};

/// Datagrams that are taken from a socket before packets are sent and others have their turn.
const RECEIVE_BUDGET: usize = 128;

/// Addresses of the server that wait to be dialled. A path has one or two of them, and the first ones are enough.
const MAX_DIALS: usize = 16;

/// Most addresses of the server that relays have to let through. The last ones are those that count.
const MAX_RELAY_PEERS: usize = 16;

/// How long the paths that were prepared while a path was suspected are kept after that path has come back.
const SPARES_KEPT: Duration = Duration::from_secs(30);

/// How long to wait when nothing has a deadline.
const IDLE: Duration = Duration::from_secs(3_600);

/// The task of a connection. [`turn`](Self::turn) does all of its work and never waits.
pub(super) struct Task {
    shared: Arc<Shared>,
    link: Arc<Link>,
    epoch: Epoch,
    options: ConnectionOptions,
    reach: Reach,
    relaying: Relaying,
    publisher: Side,
    subscriber: Option<Side>,
    offers: u32,
    sections: Sections,
    pump: Pump,
    lingers: Lingers,
    stats: ConnectionStats,
    packets: Vec<Bytes>,
    closing: bool,
    ended: bool,
}

/// The relays, and which addresses they may have.
#[derive(Default)]
struct Relaying {
    relays: Relays,
    may_use: Option<MayUse>,
}

impl Relaying {
    /// Whether only relays may be used.
    fn only(&self) -> bool {
        self.relays.only
    }
}

/// A peer connection with its sockets.
struct Side {
    target: Target,
    peer: Peer,
    sockets: Sockets,
    /// Addresses to dial, each with the time to dial it.
    dials: VecDeque<(SocketAddr, Instant)>,
    /// The addresses of the server that can be dialled.
    dialable: Vec<SocketAddr>,
    /// When the relays are opened.
    relay_at: Option<Instant>,
    /// The other side's addresses that relays have to let through.
    relay_peers: Vec<SocketAddr>,
    /// The time by which the peer connection has to be connected.
    connect_by: Option<Instant>,
    surroundings: Surroundings,
    /// Whether the path was lost by silence, so UDP does not get its time alone.
    hurried: bool,
    /// How often the other side had begun an ICE session when the sockets last followed.
    ice_sessions: u32,
    /// Until when paths are kept that were prepared while the path was suspected.
    spares_until: Option<Instant>,
    tracks: Tracks,
    state: Option<PeerState>,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<Link>,
        epoch: Epoch,
        options: ConnectionOptions,
    ) -> Self {
        let now = Instant::now();
        let publisher = Side::new(Target::Publisher, Peer::offering(now), Arc::clone(&options.hearing));
        let subscriber = (options.mode == ConnectionMode::Dual)
            .then(|| Side::new(Target::Subscriber, Peer::answering(now), Arc::clone(&options.hearing)));
        Self {
            shared,
            link,
            epoch,
            reach: Reach::to(options.server),
            options,
            relaying: Relaying::default(),
            publisher,
            subscriber,
            offers: 0,
            sections: Sections::default(),
            pump: Pump::new(),
            lingers: Lingers::default(),
            stats: ConnectionStats::default(),
            packets: Vec::new(),
            closing: false,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut timer = Box::pin(tokio::time::sleep(IDLE));
        loop {
            let more = self.turn(Instant::now());
            if self.closing {
                break;
            }
            if more {
                tokio::task::yield_now().await;
            } else {
                let deadline = self.deadline();
                self.wait(deadline, timer.as_mut()).await;
            }
        }
        self.end(PeerState::Closed);
    }

    /// Waits until the link or a caller wakes the task, a socket is ready, or the deadline comes.
    async fn wait(&mut self, deadline: Instant, mut timer: Pin<&mut Sleep>) {
        let deadline = tokio::time::Instant::from_std(deadline);
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        let signal = self.shared.signal.clone();
        let mut notified = pin!(signal.0.notified());
        poll_fn(|cx| {
            let mut ready = notified.as_mut().poll(cx).is_ready();
            ready |= self.publisher.sockets.poll_ready(cx).is_ready();
            if let Some(subscriber) = &mut self.subscriber {
                ready |= subscriber.sockets.poll_ready(cx).is_ready();
            }
            ready |= timer.as_mut().poll(cx).is_ready();
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Does all the work that can be done now, in bounded portions. Returns whether some may be left.
    fn turn(&mut self, now: Instant) -> bool {
        self.take_commands(now);
        self.renegotiate(now);
        let mut more = false;
        for side in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            more |= side.receive(now);
            side.handle_timeouts(now, &self.options, &self.relaying, &self.shared);
            side.look_around(now, &self.options, &self.shared);
            let (stats, packets) = (&mut self.stats, &mut self.packets);
            take_events(side, &self.shared, &self.options, &self.relaying, stats, packets, now);
        }
        // What waits in the sockets has arrived in time, even if this task was late.
        self.options.hearing.handle_timeouts(now);
        if !self.packets.is_empty() {
            // A caller that has received a frame must find its packets counted.
            *lock(&self.shared.stats) = self.stats;
            self.link.handle_packets(self.packets.drain(..), self.epoch);
        }
        if self.link.poll_timeout().is_some_and(|deadline| deadline <= self.link.clock().now()) {
            self.link.handle_timeout();
        }
        self.speak(now);
        more |= self.pump(now);
        self.linger(now);
        for side in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            side.transmit(now);
            // Writing may have caused events.
            let (stats, packets) = (&mut self.stats, &mut self.packets);
            take_events(side, &self.shared, &self.options, &self.relaying, stats, packets, now);
        }
        more |= !self.packets.is_empty();
        // Handling those events may have made datagrams. The checks of a candidate that has just come must not wait.
        more |= self.publisher.peer.has_transmits();
        more |= self.subscriber.as_ref().is_some_and(|side| side.peer.has_transmits());
        self.report(now);
        more
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = self.lingers.deadline().map_or(now + IDLE, |due| due.min(now + IDLE));
        for side in [Some(&self.publisher), self.subscriber.as_ref()].into_iter().flatten() {
            deadline = side.deadline().map_or(deadline, |side| deadline.min(side));
        }
        deadline = self.options.hearing.poll_timeout().map_or(deadline, |due| due.min(deadline));
        match self.link.poll_timeout() {
            Some(link) => deadline.min(now + link.saturating_duration_since(self.link.clock().now())),
            None => deadline,
        }
    }

    // Commands.

    fn take_commands(&mut self, now: Instant) {
        loop {
            let Some(command) = lock(&self.shared.commands).pop_front() else { return };
            match command {
                Command::CreateOffer => self.create_offer(now),
                Command::Answer { sdp, id } => self.handle_answer(&sdp, id, now),
                Command::Offer { sdp, id } => self.handle_offer(&sdp, id, now),
                Command::RequireSections { audios, videos } => self.sections.require(audios, videos),
                Command::RecoverSections { missing } => {
                    self.sections.recover(missing, self.publisher.tracks.len());
                }
                Command::SetSending { cids } => {
                    let tracks = self.options.speaking.tracks(&cids);
                    self.sections.change_sending(self.publisher.peer.set_sending(tracks));
                }
                Command::Tracks { target, tracks } => self.side(target).tracks.set(tracks),
                Command::ServerAddress(address) => self.reach = Reach::to(address),
                Command::Relays(relays) => self.set_relays(relays, now),
                Command::Proxy(proxy) => self.set_proxy(proxy.map(Arc::new)),
                Command::Candidate { candidate, .. } if !self.reach.takes(&candidate) => {}
                Command::Candidate { target, candidate } => {
                    // An error is ignored: ICE uses the candidates that it can use.
                    let _ = self.side(target).peer.add_remote_candidate(&candidate, now);
                }
                Command::Linger { id, what } => self.lingers.start(id, what, now),
                Command::Close => self.closing = true,
            }
        }
    }

    /// The peer connection of that name; in single mode there is only one.
    fn side(&mut self, target: Target) -> &mut Side {
        match (target, &mut self.subscriber) {
            (Target::Subscriber, Some(subscriber)) => subscriber,
            _ => &mut self.publisher,
        }
    }

    fn set_relays(&mut self, relays: Relays, now: Instant) {
        let reach = self.reach;
        let anywhere = relays.anywhere;
        let may_use: MayUse = Arc::new(move |address| anywhere || reach.includes(address));
        self.relaying = Relaying { relays, may_use: Some(may_use) };
        for side in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            side.handle_relays(&self.relaying, now);
        }
    }

    fn set_proxy(&mut self, proxy: Option<Arc<Proxy>>) {
        for side in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            side.sockets.set_proxy(proxy.clone());
        }
    }

    fn create_offer(&mut self, now: Instant) {
        let side = &mut self.publisher;
        side.refresh_sockets(&self.options, &self.relaying, now, &self.shared);
        let Some(plan) = self.sections.replace_offer() else {
            return side.set_state(PeerState::Failed, &self.shared);
        };
        side.peer.set_audio_sections(plan.audio);
        match side.peer.create_offer(now) {
            Ok(sdp) => {
                side.connect_by = Some(now + self.options.connect_timeout);
                self.tell_offer(sdp);
            }
            Err(_) => side.set_state(PeerState::Failed, &self.shared),
        }
    }

    /// Makes the offer that the sections for audio need, if there is one.
    fn renegotiate(&mut self, now: Instant) {
        let side = &mut self.publisher;
        // The first offer opens the channels, and carries the sections that are wanted by then.
        if !side.peer.is_started() {
            return;
        }
        let Some(plan) = self.sections.poll_offer() else { return };
        side.peer.set_audio_sections(plan.audio);
        match side.peer.renegotiate(now) {
            Ok(Some(sdp)) => self.tell_offer(sdp),
            // Nothing to agree on.
            Ok(None) => self.sections.handle_nothing_new(),
            Err(_) => side.set_state(PeerState::Failed, &self.shared),
        }
    }

    fn tell_offer(&mut self, sdp: String) {
        self.offers += 1;
        let (target, kind) = (Target::Publisher, DescriptionKind::Offer);
        self.shared.tell(ConnectionEvent::LocalDescription { target, kind, sdp, id: self.offers });
    }

    fn handle_answer(&mut self, sdp: &str, id: u32, now: Instant) {
        // An answer to an offer that a later one replaced is of no use.
        if id != 0 && id != self.offers {
            return;
        }
        let side = &mut self.publisher;
        // The tracks of the answer are set already.
        let filled = side.peer.offered_sections().filter(|&section| side.tracks.has(section)).count();
        match side.peer.handle_answer(&self.reach.filter(sdp), now) {
            Ok(()) => {
                side.follow_restart(now);
                self.sections.handle_answered(filled);
            }
            Err(error) => self.shared.tell(ConnectionEvent::DescriptionRejected {
                target: Target::Publisher,
                id,
                error,
            }),
        }
    }

    fn handle_offer(&mut self, sdp: &str, id: u32, now: Instant) {
        let target = Target::Subscriber;
        let Some(side) = &mut self.subscriber else {
            let error = PeerError::BadDescription;
            return self.shared.tell(ConnectionEvent::DescriptionRejected { target, id, error });
        };
        side.refresh_sockets(&self.options, &self.relaying, now, &self.shared);
        match side.peer.handle_offer(&self.reach.filter(sdp), now) {
            Ok(sdp) => {
                side.follow_restart(now);
                if !side.peer.is_connected() {
                    side.connect_by = Some(now + self.options.connect_timeout);
                }
                let kind = DescriptionKind::Answer;
                self.shared.tell(ConnectionEvent::LocalDescription { target, kind, sdp, id });
            }
            Err(error) => self.shared.tell(ConnectionEvent::DescriptionRejected { target, id, error }),
        }
    }

    // Channels.

    /// Writes messages and packets to the channels, up to their limits. Returns whether the turn's portion is used up.
    fn pump(&mut self, now: Instant) -> bool {
        let Side { peer, sockets, .. } = &mut self.publisher;
        if !peer.is_connected() || sockets.is_clogged() {
            return false;
        }
        self.pump.run(peer, &self.link, &self.shared.outgoing, &mut self.stats, now)
    }

    /// Sends the packets of audio tracks. While there is no path, they are lost: what was said is of no use later.
    fn speak(&mut self, now: Instant) {
        let peer = &mut self.publisher.peer;
        let connected = peer.is_connected();
        let ready = RefCell::new(peer);
        self.options.speaking.take(
            |cid| !connected || ready.borrow().is_agreed(cid),
            |cid, speech| {
                ready.borrow_mut().write_audio(cid, speech, now);
            },
        );
    }

    fn linger(&mut self, now: Instant) {
        if self.lingers.is_empty() {
            return;
        }
        let mut over = Vec::new();
        {
            let mut outgoing = lock(&self.shared.outgoing);
            let peer = &mut self.publisher.peer;
            self.lingers.turn(peer, &self.link, &mut outgoing, &self.stats, now, &mut over);
        }
        for id in over {
            self.shared.tell(ConnectionEvent::Lingered { id });
        }
    }

    fn report(&mut self, now: Instant) {
        let mut low = [None; 3];
        let mut acknowledged = 0;
        {
            let mut outgoing = lock(&self.shared.outgoing);
            outgoing.set_reliable_limit(self.pump.reliable_limit());
            for (channel, low) in ChannelKind::ALL.into_iter().zip(&mut low) {
                let buffered = self.publisher.peer.buffered(channel);
                acknowledged += self.publisher.peer.written(channel).saturating_sub(buffered as u64);
                if outgoing.set_in_channel(channel, buffered) {
                    *low = Some(channel);
                }
                self.stats.channel(channel).buffered = outgoing.buffered(channel);
            }
        }
        self.lingers.note(acknowledged, now);
        for channel in low.into_iter().flatten() {
            self.shared.tell(ConnectionEvent::BufferedAmountLow { channel });
        }
        self.stats.publisher = self.publisher.stats();
        self.stats.subscriber = self.subscriber.as_ref().map(Side::stats);
        self.stats.data_track_limit = self.pump.limit();
        *lock(&self.shared.stats) = self.stats;
    }

    fn end(&mut self, state: PeerState) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        lock(&self.shared.outgoing).close();
        let now = Instant::now();
        for side in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            side.peer.close(now);
            side.transmit(now);
            side.sockets.release_relays(now);
            side.set_state(state, &self.shared);
        }
    }
}

impl Drop for Task {
    /// Reports a task that ends without [`Connection::close`](super::Connection::close): it panicked, or its runtime is
    /// being shut down. The owner has to be told.
    fn drop(&mut self) {
        self.end(PeerState::Failed);
    }
}

impl Side {
    fn new(target: Target, peer: Peer, hearing: Arc<Hearing>) -> Self {
        Self {
            target,
            peer,
            sockets: Sockets::default(),
            dials: VecDeque::new(),
            dialable: Vec::new(),
            relay_at: None,
            relay_peers: Vec::new(),
            connect_by: None,
            surroundings: Surroundings::default(),
            hurried: false,
            ice_sessions: 0,
            spares_until: None,
            tracks: Tracks::new(hearing),
            state: None,
        }
    }

    fn set_state(&mut self, state: PeerState, shared: &Shared) {
        // `Connected` may follow `Connected`: a restart may lose nothing.
        let terminal = matches!(self.state, Some(PeerState::Failed | PeerState::Closed));
        if (!terminal && self.state != Some(state))
            || (state == PeerState::Closed && self.state != Some(state))
        {
            self.state = Some(state);
            shared.tell(ConnectionEvent::State { target: self.target, state });
        }
    }

    /// Checks the machine's addresses before a description is made.
    fn refresh_sockets(
        &mut self,
        options: &ConnectionOptions,
        relaying: &Relaying,
        now: Instant,
        shared: &Shared,
    ) {
        for gone in self.sockets.close_gone() {
            self.peer.remove_local_candidate(gone, now);
        }
        // The path is lost: a relay on it may have forgotten this side.
        if (!self.peer.is_connected() || self.state == Some(PeerState::Silent))
            && let Some(local) = self.peer.stats().local
            && self.sockets.close_relay(local, now)
        {
            self.peer.remove_local_candidate(LocalCandidate::Relayed(local), now);
        }
        if options.udp && !relaying.only() {
            for &ip in &options.local_addresses {
                if let Some(local) = self.sockets.bind(ip) {
                    self.peer.add_local_candidate(LocalCandidate::Host(Protocol::Udp, local), now);
                }
            }
            if !options.tcp && self.sockets.lacks_udp() {
                self.set_state(PeerState::NoUdpSocket, shared);
            }
        }
    }

    /// A description was taken. If the other side has restarted ICE with it, the TCP connections are replaced.
    fn follow_restart(&mut self, now: Instant) {
        let sessions = self.peer.ice_sessions();
        if std::mem::replace(&mut self.ice_sessions, sessions) != sessions {
            for gone in self.sockets.restart() {
                self.peer.remove_local_candidate(gone, now);
            }
        }
    }

    fn receive(&mut self, now: Instant) -> bool {
        let Self { peer, sockets, .. } = self;
        sockets.receive(RECEIVE_BUDGET, now, |protocol, local, remote, bytes| {
            peer.handle_datagram(protocol, local, remote, bytes, now);
        })
    }

    /// What was measured.
    fn stats(&self) -> PeerStats {
        let stats = self.peer.stats();
        let path = stats.protocol.zip(stats.local);
        PeerStats {
            relay: stats.local.and_then(|local| self.sockets.relay_transport(local)),
            proxied: path.is_some_and(|(protocol, local)| self.sockets.is_proxied(protocol, local)),
            ..stats
        }
    }

    /// There are other relays, or other rules for them.
    fn handle_relays(&mut self, relaying: &Relaying, now: Instant) {
        if relaying.only() {
            self.dials.clear();
            for gone in self.sockets.close_direct() {
                self.peer.remove_local_candidate(gone, now);
            }
            if !self.relay_peers.is_empty() {
                self.relay_at = Some(now);
            }
        }
    }

    fn take_socket_events(&mut self, now: Instant, relaying: &Relaying, shared: &Shared) {
        while let Some(event) = self.sockets.poll_event() {
            match event {
                SocketEvent::TcpConnected(local) => {
                    self.peer.add_local_candidate(LocalCandidate::Host(Protocol::Tcp, local), now);
                }
                SocketEvent::TcpClosed(local) => {
                    self.peer.remove_local_candidate(LocalCandidate::Host(Protocol::Tcp, local), now);
                }
                SocketEvent::Relayed(relayed) => {
                    self.peer.add_local_candidate(LocalCandidate::Relayed(relayed), now);
                }
                SocketEvent::RelayFailed { relayed, error } => {
                    tracing::info!("a relay cannot be used: {error}");
                    if let Some(relayed) = relayed {
                        self.peer.remove_local_candidate(LocalCandidate::Relayed(relayed), now);
                    }
                    let last = relaying.only() && !self.sockets.has_relays();
                    shared.tell(ConnectionEvent::RelayFailed { target: self.target, error, last });
                }
            }
        }
    }

    fn handle_timeouts(
        &mut self,
        now: Instant,
        options: &ConnectionOptions,
        relaying: &Relaying,
        shared: &Shared,
    ) {
        self.sockets.handle_timeout(now);
        self.take_socket_events(now, relaying, shared);
        if self.peer.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.peer.handle_timeout(now);
        }
        if self.peer.is_connected() {
            // Addresses that wait to be dialled are no longer needed. After the next loss the server names its
            // candidates again.
            self.dials.clear();
            self.relay_at = None;
        }
        self.drop_spares(now);
        if self.relay_at.is_some_and(|at| at <= now) {
            self.relay_at = None;
            if let Some(may_use) = &relaying.may_use {
                self.sockets.open_relays(&relaying.relays, may_use, &self.relay_peers, now);
            }
        }
        while let Some(&(remote, at)) = self.dials.front()
            && at <= now
        {
            self.dials.pop_front();
            if options.tcp {
                self.sockets.dial(remote);
            }
        }
    }

    /// The path is suspected: other paths are prepared, so that a restart finds one at once. ICE does not learn of the
    /// TCP connections before the restart.
    fn prepare_spares(&mut self, options: &ConnectionOptions, relaying: &Relaying, now: Instant) {
        self.spares_until = None;
        if options.tcp && !relaying.only() {
            for &remote in &self.dialable {
                self.sockets.dial_held(remote);
            }
        }
        if options.relay
            && let Some(may_use) = &relaying.may_use
        {
            self.sockets.open_relays(&relaying.relays, may_use, &self.relay_peers, now);
        }
    }

    /// Closes what was prepared for a path that has come back since.
    fn drop_spares(&mut self, now: Instant) {
        if self.spares_until.is_some_and(|until| until <= now) {
            self.spares_until = None;
            for gone in self.sockets.close_spares(self.peer.stats().local, now) {
                self.peer.remove_local_candidate(gone, now);
            }
        }
    }

    /// Checks whether the machine moved to another network or slept. If so, the path is lost, although ICE has not
    /// noticed it yet.
    fn look_around(&mut self, now: Instant, options: &ConnectionOptions, shared: &Shared) {
        if self.peer.is_connected() && self.surroundings.next().is_some_and(|next| now < next) {
            return;
        }
        // If the caller named local addresses, the connection stays on them.
        let remote = self.peer.stats().remote.filter(|_| options.local_addresses.is_empty());
        match remote {
            Some(remote) if self.peer.is_connected() => {
                // The path's first part is the way to its relay, if it has one.
                let relay = self.peer.stats().local.and_then(|local| self.sockets.relay_address(local));
                let route = |remote| route_to(relay.unwrap_or(remote)).ok();
                if self.surroundings.look(remote, now, since_boot(), route) {
                    self.set_state(PeerState::Disconnected, shared);
                }
            }
            _ => self.surroundings.forget(),
        }
    }

    fn take_candidate(
        &mut self,
        candidate: RemoteCandidate,
        options: &ConnectionOptions,
        relaying: &Relaying,
        now: Instant,
        shared: &Shared,
    ) {
        let only = relaying.only();
        if candidate.protocol == Protocol::Udp && options.relay {
            self.take_relay_peer(candidate.addr, options, only, now);
        }
        match candidate.protocol {
            _ if only => {}
            Protocol::Udp if options.udp && options.local_addresses.is_empty() => {
                if let Some(local) = self.sockets.bind_towards(candidate.addr) {
                    self.peer.add_local_candidate(LocalCandidate::Host(Protocol::Udp, local), now);
                } else if !options.tcp && self.sockets.lacks_udp() && !Sockets::can_bind_udp() {
                    // Another candidate cannot help either: no path will be found.
                    self.set_state(PeerState::NoUdpSocket, shared);
                }
            }
            Protocol::Tcp if options.tcp && self.dials.len() < MAX_DIALS => {
                keep_newest(&mut self.dialable, candidate.addr, MAX_DIALS);
                let at = if options.udp { now + self.alone(options) } else { now };
                self.dials.push_back((candidate.addr, at));
            }
            _ => {}
        }
    }

    /// How long UDP is tried alone.
    fn alone(&self, options: &ConnectionOptions) -> Duration {
        if self.hurried { Duration::ZERO } else { options.tcp_delay }
    }

    /// An address of the server that relays have to let through.
    fn take_relay_peer(&mut self, addr: SocketAddr, options: &ConnectionOptions, only: bool, now: Instant) {
        keep_newest(&mut self.relay_peers, addr, MAX_RELAY_PEERS);
        self.sockets.permit(addr, now);
        if self.relay_at.is_none() && !self.peer.is_connected() {
            self.relay_at = Some(if only { now } else { now + self.alone(options) });
        }
    }

    fn transmit(&mut self, now: Instant) {
        while let Some(datagram) = self.peer.poll_transmit() {
            self.sockets.send(&datagram, now);
        }
        self.sockets.flush();
    }

    fn deadline(&self) -> Option<Instant> {
        let dial = self.dials.front().map(|&(_, at)| at);
        let look = self.surroundings.next();
        let (sockets, relay) = (self.sockets.poll_timeout(), self.relay_at);
        let own = [dial, self.connect_by, look, relay, self.spares_until];
        own.into_iter().chain([self.peer.poll_timeout(), sockets]).flatten().min()
    }
}

/// Adds an address that is not there yet. If there are `most` already, it replaces the oldest one.
fn keep_newest(addresses: &mut Vec<SocketAddr>, addr: SocketAddr, most: usize) {
    if !addresses.contains(&addr) {
        if addresses.len() >= most {
            addresses.remove(0);
        }
        addresses.push(addr);
    }
}

fn take_events(
    side: &mut Side,
    shared: &Shared,
    options: &ConnectionOptions,
    relaying: &Relaying,
    stats: &mut ConnectionStats,
    packets: &mut Vec<Bytes>,
    now: Instant,
) {
    while let Some(event) = side.peer.poll_event() {
        match event {
            // ICE looks for a path although there is no socket for one.
            PeerEvent::Checking if !options.tcp && side.sockets.lacks_udp() => {}
            PeerEvent::Checking => side.set_state(PeerState::Connecting, shared),
            PeerEvent::Connected => {
                side.connect_by = None;
                side.hurried = false;
                side.set_state(PeerState::Connected, shared);
            }
            PeerEvent::PathSuspected => side.prepare_spares(options, relaying, now),
            PeerEvent::PathDead => {
                side.hurried = true;
                side.set_state(PeerState::Silent, shared);
            }
            PeerEvent::PathAlive => {
                side.hurried = false;
                side.spares_until = Some(now + SPARES_KEPT);
                if side.state == Some(PeerState::Silent) {
                    side.set_state(PeerState::Connected, shared);
                }
            }
            PeerEvent::Disconnected => side.set_state(PeerState::Disconnected, shared),
            PeerEvent::Closed => side.set_state(PeerState::Failed, shared),
            PeerEvent::LocalCandidate(candidate) => {
                shared.tell(ConnectionEvent::LocalCandidate { target: side.target, candidate });
            }
            PeerEvent::Audio { section, packet } => side.tracks.handle_packet(section, &packet, now),
            PeerEvent::RemoteCandidate(candidate) => {
                side.take_candidate(candidate, options, relaying, now, shared);
            }
            PeerEvent::Message { channel, data } => {
                let stats = stats.channel(channel);
                stats.count_received(data.len());
                if channel == ChannelKind::DataTrack {
                    packets.push(data.into());
                    continue;
                }
                match shared.tell_message(channel, data) {
                    Delivery::Queued => {}
                    Delivery::Dropped => stats.dropped += 1,
                    Delivery::Impossible => {
                        side.peer.close(now);
                        side.set_state(PeerState::Failed, shared);
                    }
                }
            }
        }
    }
    if side.connect_by.is_some_and(|by| by <= now) {
        side.connect_by = None;
        side.set_state(PeerState::TimedOut, shared);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::{ConnectionHost, WorkSignal};
    use super::*;
    use crate::peer::PathKind;

    struct SilentHost;

    impl ConnectionHost for SilentHost {
        fn events_ready(&self) {}
    }

    #[test]
    fn addresses_that_wait_to_be_dialled_or_relayed_are_bounded() {
        let now = Instant::now();
        let mut side = Side::new(Target::Publisher, Peer::offering(now), Arc::default());
        let options = ConnectionOptions::new(ConnectionMode::Single);
        let shared = Shared {
            signal: WorkSignal::new(),
            host: Arc::new(SilentHost),
            commands: Mutex::default(),
            events: Mutex::default(),
            outgoing: Mutex::default(),
            stats: Mutex::default(),
        };
        for port in 1..=1_000 {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let candidate = RemoteCandidate { protocol: Protocol::Tcp, addr, kind: PathKind::Host };
            side.take_candidate(candidate, &options, &Relaying::default(), now, &shared);
        }
        assert_eq!((side.dials.len(), side.dialable.len()), (MAX_DIALS, MAX_DIALS));
        for port in 1..=1_000 {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let candidate = RemoteCandidate { protocol: Protocol::Udp, addr, kind: PathKind::Host };
            // Without sockets of its own: only relays are used.
            let relaying = Relaying { relays: Relays { only: true, ..Relays::default() }, may_use: None };
            side.take_candidate(candidate, &options, &relaying, now, &shared);
        }
        assert_eq!(side.relay_peers.len(), MAX_RELAY_PEERS);
    }
}
