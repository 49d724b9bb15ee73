//! One WebRTC peer connection without I/O: ICE, DTLS, SCTP, the three data channels that LiveKit uses, and the sections
//! for audio.
//!
//! This is the only module that uses the WebRTC crate (`str0m`). Its interface is small: descriptions, candidates and
//! datagrams go in together with the time; datagrams, messages, states and a deadline come out. So the crate can be
//! replaced. The rule of use is the core's: **after an input, poll until there is nothing left, then ask for the
//! deadline.**
//!
//! Each method that does something takes the time, also [`Peer::write`] and [`Peer::flush`]. An idle peer last learned
//! the time some hundred milliseconds ago. With that old time, a message would count as unacknowledged from too early
//! on.

mod liveness;
mod path_watch;
mod records;
mod remote;
mod sections;
mod types;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use datatrack_media::Speech;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::net::{Receive, TcpType};
use str0m::{Candidate, CandidateKind, Event, IceConnectionState, Input, Output, Rtc};

use liveness::Liveness;
use path_watch::{CHECK_INTERVAL, MAX_CHECKS, PathState, PathWatch};
use records::Records;
use remote::Remote;
pub(crate) use remote::{MAX_CANDIDATE, MAX_DESCRIPTION};
use sections::{AudioSections, Streams};
pub use sections::{Section, Sending};
pub use types::{
    ChannelKind, Datagram, LocalCandidate, PathKind, PeerError, PeerEvent, PeerStats, Protocol,
    RemoteCandidate, SctpStats, Sent,
};

/// Largest message that may be sent, in bytes: the server's `max-message-size`. A larger message ends the receiver's
/// association.
pub const MAX_MESSAGE_SIZE: usize = 65_535;

/// Largest datagram that is sent, in bytes. It fits a path with an MTU of 1,280 bytes, IPv6's minimum.
const MTU: usize = 1_232;

/// What the engine is told. It panics when a datagram of reports on many streams has as many bytes. What else it sends
/// is shorter: it leaves room for more than its protocols need.
const ENGINE_MTU: usize = MTU + 1;

/// Bytes that all channels may hold together, unacknowledged ones included. It is fixed when the peer is made. So it is
/// larger than the sum of the owner's own limits (see `connection/limit.rs`).
pub const TOTAL_BUFFER: usize = 8 << 20;

/// A no-op `DataPacket` of LiveKit: the trailer of a stream that does not exist, addressed to an identity that does not
/// exist. The other side's SCTP acknowledges it.
///
/// It is sent on `_lossy` in two cases. After a restart it shows whether the other side still has its SCTP association,
/// even if the application writes nothing for a long time. And it forces the acknowledgement of a lone message
/// (`connection/pump.rs`).
pub const PROBE: [u8; 5] = [0x2a, 1, 0, 0x7a, 0];

/// The first bytes of DTLS records (RFC 7983). SRTP and SRTCP have 128 to 191.
const FIRST_DTLS: RangeInclusive<u8> = 20..=63;

/// How often the round-trip time is read.
const STATS_INTERVAL: Duration = Duration::from_millis(500);

/// The largest step by which the engine's clock is set ahead to make SCTP retransmit; see [`Peer::hasten`]. ICE gives
/// up a path after some sixteen seconds without an answer.
const MOST_HASTE: Duration = Duration::from_secs(12);

/// The smallest step by which the engine's clock is set ahead.
const LEAST_HASTE: Duration = Duration::from_millis(10);

/// A longer round trip means that the path was stalled.
const LONGEST_RTT: Duration = Duration::from_secs(1);

fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| FIRST_DTLS.contains(first))
}

/// Whether it is a STUN message (RFC 7983).
fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|&first| first < 4)
}

/// Whether the datagram is an ICE check, as opposed to the answer to one.
fn is_check(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0, 1])
}

/// Removes the dialled TCP connections from a local description. The other side sees their source addresses anyway. In
/// the description they would reveal which of the ports that it named are open.
fn without_tcp(sdp: &str) -> String {
    let dialled = |line: &str| {
        line.starts_with("a=candidate:")
            && line
                .split_ascii_whitespace()
                .nth(2)
                .is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
    };
    sdp.split_inclusive('\n').filter(|line| !dialled(line)).collect()
}

/// The candidate as the engine has it. `None`: its address cannot be one.
fn build(candidate: LocalCandidate) -> Option<Candidate> {
    let builder = Candidate::builder();
    match candidate {
        LocalCandidate::Host(Protocol::Udp, addr) => builder.udp().host(addr).build(),
        LocalCandidate::Host(Protocol::Tcp, addr) => {
            builder.tcp().host(addr).tcptype(TcpType::Active).build()
        }
        LocalCandidate::Relayed(addr) => builder.udp().relayed(addr, addr).build(),
    }
    .ok()
}

fn config(channel: ChannelKind) -> ChannelConfig {
    let lossy = channel != ChannelKind::Reliable;
    ChannelConfig {
        label: channel.label().to_owned(),
        ordered: !lossy,
        reliability: if lossy {
            Reliability::MaxRetransmits { retransmits: 0 }
        } else {
            Reliability::Reliable
        },
        ..ChannelConfig::default()
    }
}

/// The certificate and the crypto provider of the process. Making a certificate takes about a millisecond. A
/// certificate for each connection would hide nothing more from an observer: the certificate carries no name.
fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let provider = Arc::new(str0m::crypto::from_feature_flags());
        let certificate = provider.dtls_provider.generate_certificate();
        Identity { provider, certificate }
    })
}

struct Identity {
    provider: Arc<CryptoProvider>,
    certificate: Option<DtlsCert>,
}

/// A peer connection. See the [module](self).
pub struct Peer {
    rtc: Rtc,
    /// Whether this side opens the channels.
    opens_channels: bool,
    offered: bool,
    pending: Option<SdpPendingOffer>,
    channels: [Option<ChannelId>; 3],
    audio: AudioSections,
    streams: Streams,
    /// Bytes that each channel took so far, for [`acknowledged`](Self::acknowledged).
    written: [u64; 3],
    early_candidates: Vec<String>,
    /// TCP connections that the other side has not been told of yet: the local address and the candidate's text.
    unproven: Vec<(SocketAddr, String)>,
    remote: Remote,
    described: bool,
    ice_connected: bool,
    dtls_connected: bool,
    told_connected: bool,
    /// Whether the peer was connected before.
    was_connected: bool,
    closed: bool,
    transmits: VecDeque<Datagram>,
    events: VecDeque<PeerEvent>,
    deadline: Instant,
    /// The latest time that the engine was given. Its time must not go back, so every later input has at least this
    /// time.
    latest: Instant,
    /// How far the engine's clock is ahead of ours.
    ahead: Duration,
    liveness: Liveness,
    path: PathWatch,
    stats: PeerStats,
    records: Records,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl Peer {
    /// A peer that makes the offers and opens the channels.
    #[must_use]
    pub fn offering(now: Instant) -> Self {
        Self::new(true, now)
    }

    /// A peer that answers offers and takes the channels that the other side opens.
    #[must_use]
    pub fn answering(now: Instant) -> Self {
        Self::new(false, now)
    }

    fn new(opens_channels: bool, now: Instant) -> Self {
        let identity = identity();
        let mut config = Rtc::builder()
            .clear_codecs()
            // With RED (RFC 2198): what packets repeat of those before them fills losses.
            .enable_opus(true, true)
            // Packets are put in order by their reader, who knows how long to wait for one.
            .set_reordering_size_audio(0)
            .set_crypto_provider(identity.provider.clone())
            .set_sctp_max_buffered_amount(TOTAL_BUFFER)
            .set_stats_interval(Some(STATS_INTERVAL))
            .set_mtu(ENGINE_MTU..=usize::MAX);
        config.set_max_stun_rto(CHECK_INTERVAL);
        config.set_max_stun_retransmits(MAX_CHECKS);
        if let Some(certificate) = &identity.certificate {
            config = config.set_dtls_cert(certificate.clone());
        }
        Self {
            rtc: config.build(now),
            opens_channels,
            offered: false,
            pending: None,
            channels: [None; 3],
            audio: AudioSections::default(),
            streams: Streams::default(),
            written: [0; 3],
            early_candidates: Vec::new(),
            unproven: Vec::new(),
            remote: Remote::default(),
            described: false,
            ice_connected: false,
            dtls_connected: false,
            told_connected: false,
            was_connected: false,
            closed: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            deadline: now,
            latest: now,
            ahead: Duration::ZERO,
            liveness: Liveness::new(now),
            path: PathWatch::new(now),
            stats: PeerStats::default(),
            records: Records::default(),
        }
    }

    // Descriptions.

    /// Makes an offer. The first offer opens the channels; a later one restarts ICE. A pending offer becomes void.
    pub fn create_offer(&mut self, now: Instant) -> Result<String, PeerError> {
        let now = self.advance(now)?;
        self.audio.assign(&mut self.rtc);
        let mut api = self.rtc.sdp_api();
        let mut channels = [None; 3];
        if self.described {
            api.ice_restart(true);
        } else {
            for kind in ChannelKind::ALL {
                let id = api.add_channel_with_config(config(kind));
                if let Some(channel) = channels.get_mut(kind.index()) {
                    *channel = Some(id);
                }
            }
        }
        self.audio.offer(&mut api);
        let (offer, pending) = api.apply().ok_or(PeerError::Closed)?;
        if !self.described {
            self.channels = channels;
        }
        self.offered = true;
        self.pending = Some(pending);
        self.drain(now);
        Ok(without_tcp(&self.audio.named(&offer.to_sdp_string())))
    }

    /// Sets how many sections for audio the next offers have, at least those that there are.
    pub const fn set_audio_sections(&mut self, count: usize) {
        self.audio.receive(count);
    }

    /// The new sections for receiving in the offer that has no answer yet.
    pub fn offered_sections(&self) -> impl Iterator<Item = Section> {
        self.audio.offered()
    }

    /// Sets the audio tracks that this side sends from the next offer on. Returns how many new sections that offer may
    /// have for them: those of tracks that have ended are used again.
    pub fn set_sending(&mut self, tracks: Vec<Sending>) -> usize {
        self.audio.send(tracks)
    }

    /// Whether the other side has answered the section of a track that this side sends.
    #[must_use]
    pub fn is_agreed(&self, cid: &str) -> bool {
        self.audio.is_agreed(cid)
    }

    /// Writes a packet of a track. Returns whether it is sent.
    pub fn write_audio(&mut self, cid: &str, speech: Speech, now: Instant) -> bool {
        let Ok(now) = self.catch_up(now) else { return false };
        let sent = self.is_connected() && self.audio.write(&mut self.rtc, cid, speech, now + self.ahead);
        // Each packet has to be polled before the next one.
        self.drain(now);
        sent
    }

    /// Makes an offer that leaves ICE and the channels as they are. A pending offer becomes void. `None`: there are no
    /// sections that it could have.
    pub fn renegotiate(&mut self, now: Instant) -> Result<Option<String>, PeerError> {
        let now = self.advance(now)?;
        self.audio.assign(&mut self.rtc);
        let mut api = self.rtc.sdp_api();
        self.audio.offer(&mut api);
        if !api.has_changes() {
            self.audio.touch(&mut api);
        }
        let Some((offer, pending)) = api.apply() else { return Ok(None) };
        self.pending = Some(pending);
        self.drain(now);
        Ok(Some(without_tcp(&self.audio.named(&offer.to_sdp_string()))))
    }

    /// Takes the answer to the last offer.
    pub fn handle_answer(&mut self, sdp: &str, now: Instant) -> Result<(), PeerError> {
        let now = self.advance(now)?;
        let (sdp, candidates) = self.remote.describe(sdp).ok_or(PeerError::BadDescription)?;
        let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|_| PeerError::BadDescription)?;
        let pending = self.pending.take().ok_or(PeerError::UnexpectedAnswer)?;
        self.tell_candidates(&candidates);
        let accepted = self.rtc.sdp_api().accept_answer(pending, answer);
        self.audio.answered(accepted.is_ok());
        if accepted.is_ok() {
            self.streams.described(&mut self.rtc, &sdp);
        }
        self.described(accepted.is_ok(), now);
        accepted.map_err(|_| PeerError::BadDescription)
    }

    /// Takes an offer and makes the answer.
    pub fn handle_offer(&mut self, sdp: &str, now: Instant) -> Result<String, PeerError> {
        let now = self.advance(now)?;
        let (sdp, candidates) = self.remote.describe(sdp).ok_or(PeerError::BadDescription)?;
        let offer = SdpOffer::from_sdp_string(&sdp).map_err(|_| PeerError::BadDescription)?;
        self.tell_candidates(&candidates);
        let answer = self.rtc.sdp_api().accept_offer(offer);
        if answer.is_ok() {
            self.streams.described(&mut self.rtc, &sdp);
        }
        self.described(answer.is_ok(), now);
        answer.map(|answer| without_tcp(&answer.to_sdp_string())).map_err(|_| PeerError::BadDescription)
    }

    fn described(&mut self, accepted: bool, now: Instant) {
        if accepted {
            self.described = true;
            for candidate in std::mem::take(&mut self.early_candidates) {
                // Candidates of an earlier attempt may be among them. The ICE agent tells them apart by their ufrag.
                let _ = self.take_remote_candidate(&candidate);
            }
        }
        self.drain(now);
    }

    /// `str0m` takes the candidates of a description itself. This tells the owner of them.
    fn tell_candidates(&mut self, candidates: &[&str]) {
        for candidate in candidates {
            if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
                self.tell_candidate(&candidate);
            }
        }
    }

    // Candidates.

    /// Adds a local candidate.
    ///
    /// A candidate that comes after the first local description has to be told to the other side:
    /// [`PeerEvent::LocalCandidate`]. A TCP candidate is told only after the other side has answered an ICE check on
    /// that connection, which proves that it is at the other end. Otherwise a peer that names candidates would learn
    /// which ports are open.
    pub fn add_local_candidate(&mut self, candidate: LocalCandidate, now: Instant) {
        if let Some(built) = build(candidate)
            && let Ok(now) = self.advance(now)
        {
            let added = self.rtc.add_local_candidate(built).map(Candidate::to_sdp_string);
            if self.is_started()
                && let Some(added) = added
            {
                match candidate {
                    LocalCandidate::Host(Protocol::Tcp, addr) => self.unproven.push((addr, added)),
                    _ => self.events.push_back(PeerEvent::LocalCandidate(added)),
                }
            }
            self.drain(now);
        }
    }

    /// Removes a local candidate: its interface is gone, or its connection or relay ended.
    pub fn remove_local_candidate(&mut self, candidate: LocalCandidate, now: Instant) {
        if let LocalCandidate::Host(Protocol::Tcp, addr) = candidate {
            self.unproven.retain(|(unproven, _)| *unproven != addr);
        }
        if let Some(candidate) = build(candidate)
            && let Ok(now) = self.advance(now)
        {
            self.rtc.direct_api().invalidate_candidate(&candidate);
            self.drain(now);
        }
    }

    /// Takes a candidate of the other side: text that starts with `candidate:`. Candidates that come before the first
    /// remote description are kept until then.
    pub fn add_remote_candidate(&mut self, candidate: &str, now: Instant) -> Result<(), PeerError> {
        let now = self.advance(now)?;
        if !self.described {
            Remote::keep_early(&mut self.early_candidates, candidate);
            return Ok(());
        }
        let taken = self.take_remote_candidate(candidate);
        self.drain(now);
        taken
    }

    fn take_remote_candidate(&mut self, candidate: &str) -> Result<(), PeerError> {
        let candidate = candidate.trim();
        if candidate.is_empty() {
            // Browsers write the end of candidates as an empty candidate.
            return Ok(());
        }
        let parsed = Candidate::from_sdp_string(candidate).map_err(|_| PeerError::BadCandidate)?;
        if self.remote.take(candidate) {
            self.tell_candidate(&parsed);
            self.rtc.add_remote_candidate(parsed);
        }
        Ok(())
    }

    fn tell_candidate(&mut self, candidate: &Candidate) {
        let protocol = match (candidate.proto(), candidate.tcptype()) {
            (str0m::net::Protocol::Udp, _) => Protocol::Udp,
            (str0m::net::Protocol::Tcp, Some(TcpType::Passive) | None) => Protocol::Tcp,
            _ => return,
        };
        let kind = match candidate.kind() {
            CandidateKind::Host => PathKind::Host,
            CandidateKind::ServerReflexive => PathKind::ServerReflexive,
            CandidateKind::Relayed => PathKind::Relayed,
            CandidateKind::PeerReflexive => return,
        };
        let addr = candidate.addr();
        self.remote.note(addr, kind);
        self.events.push_back(PeerEvent::RemoteCandidate(RemoteCandidate { protocol, addr, kind }));
    }

    // Datagrams and time.

    /// Takes a datagram that arrived at `local`, or a frame of the TCP connection with that local address.
    pub fn handle_datagram(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) {
        if self.closed {
            return;
        }
        let now = now.max(self.latest);
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += contents.len() as u64;
        let protocol = match protocol {
            Protocol::Udp => str0m::net::Protocol::Udp,
            Protocol::Tcp => str0m::net::Protocol::Tcp,
        };
        let handled = match Receive::new(protocol, remote, local, contents) {
            Ok(receive) => {
                let input = Input::Receive(now + self.ahead, receive);
                self.rtc.accepts(&input) && self.rtc.handle_input(input).is_ok()
            }
            Err(_) => false,
        };
        if handled {
            self.latest = now;
            // str0m takes STUN messages only if they are signed with the credentials of the descriptions.
            if !self.unproven.is_empty() && is_stun(contents) {
                self.tell_proven(local);
            }
        } else {
            // Any host may send such a datagram, so it must not end the connection.
            self.stats.datagrams_rejected += 1;
        }
        let before = self.events.len();
        self.drain(now);
        sections::mark_repaired(self.events.iter_mut().skip(before));
        if handled {
            self.note_answer(local, remote, contents, now);
            let answer = is_dtls(contents);
            if answer {
                self.records.handle_datagram(contents);
            }
            let buffered = answer
                && self.liveness.is_unanswered()
                && ChannelKind::ALL.into_iter().any(|channel| self.buffered(channel) > 0);
            self.liveness.handle_received(answer, buffered, now);
        }
    }

    fn note_answer(&mut self, local: SocketAddr, remote: SocketAddr, contents: &[u8], now: Instant) {
        let on_path = (self.stats.local, self.stats.remote) == (Some(local), Some(remote));
        if on_path && !is_check(contents) && self.path.handle_answer(now) && self.is_connected() {
            self.events.push_back(PeerEvent::PathAlive);
        }
    }

    fn tell_proven(&mut self, local: SocketAddr) {
        if let Some(at) = self.unproven.iter().position(|(unproven, _)| *unproven == local) {
            let (_, candidate) = self.unproven.swap_remove(at);
            self.events.push_back(PeerEvent::LocalCandidate(candidate));
        }
    }

    /// Advances the time. It may be called at any time. It must be called at the deadline.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Ok(now) = self.advance(now) {
            self.check_liveness(now);
            self.judge_path(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` once closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        // A lost datagram is handled only after all datagrams that arrived were taken: on a busy machine the
        // acknowledgement may be the next one. `check_liveness` runs in each call, and the engine has a deadline each
        // half second.
        let urgent = self.is_connected() && self.liveness.is_lost(self.usual_rtt());
        if urgent {
            return Some(self.latest);
        }
        let judged = self.path.due(self.is_over_stream()).filter(|_| self.is_connected());
        Some(judged.map_or(self.deadline, |due| due.min(self.deadline)))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmits.pop_front()
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something.
    #[must_use]
    pub fn has_transmits(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    // Channels.

    /// Writes a message to a channel. Several messages may be written in a row; [`flush`](Self::flush) turns them into
    /// datagrams.
    pub fn write(&mut self, channel: ChannelKind, message: &[u8], now: Instant) -> Sent {
        if message.len() > MAX_MESSAGE_SIZE {
            return Sent::TooLarge;
        }
        match self.catch_up(now) {
            Ok(now) => self.write_now(channel, message, now),
            Err(_) => Sent::NotOpen,
        }
    }

    /// Like [`write`](Self::write), for a message that may be lost. If it is larger than a datagram and a part of it is
    /// lost, our SCTP sends that part once more, before `until`: one lost datagram would cost all of them. str0m's own
    /// SCTP does not, and `until` is not called.
    pub fn write_until(
        &mut self,
        channel: ChannelKind,
        message: &[u8],
        until: impl FnOnce() -> Instant,
        now: Instant,
    ) -> Sent {
        let ahead = self.ahead;
        sctp_proto::repair_until(|| until().checked_add(ahead), || self.write(channel, message, now))
    }

    fn write_now(&mut self, channel: ChannelKind, message: &[u8], now: Instant) -> Sent {
        let Some(mut open) = self.id(channel).and_then(|id| self.rtc.channel(id)) else {
            return Sent::NotOpen;
        };
        match open.write(true, message) {
            Ok(true) => {
                if let Some(written) = self.written.get_mut(channel.index()) {
                    *written += message.len() as u64;
                }
                self.liveness.handle_written(now);
                Sent::Yes
            }
            Ok(false) => Sent::Full,
            Err(_) => Sent::NotOpen,
        }
    }

    /// Turns the written messages into datagrams, as far as the other side's window allows.
    pub fn flush(&mut self, now: Instant) {
        if let Ok(now) = self.catch_up(now) {
            self.drain(now);
        }
    }

    /// Bytes that the channel holds, those in flight included.
    pub fn buffered(&mut self, channel: ChannelKind) -> usize {
        let Some(id) = self.id(channel) else { return 0 };
        self.rtc.channel(id).map_or(0, |mut open| open.buffered_amount())
    }

    /// Bytes that were written to the channel so far.
    pub fn written(&self, channel: ChannelKind) -> u64 {
        self.written.get(channel.index()).copied().unwrap_or_default()
    }

    /// Bytes that the channel has released so far: acknowledged by the other side, or abandoned. Less, while the message
    /// that opened the channel is not acknowledged: the engine counts it as buffered.
    pub fn acknowledged(&mut self, channel: ChannelKind) -> u64 {
        self.written(channel).saturating_sub(self.buffered(channel) as u64)
    }

    /// Whether the channel is open.
    pub fn is_open(&mut self, channel: ChannelKind) -> bool {
        self.id(channel).is_some_and(|id| self.rtc.channel(id).is_some())
    }

    // State.

    /// Whether ICE has a path, DTLS is up and the needed channels are open.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.told_connected && self.ice_connected && !self.closed
    }

    /// Whether a remote description was taken or an offer was made.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.described || self.offered
    }

    /// Whether the path is stalled: nothing that the channels hold is being acknowledged.
    #[must_use]
    pub fn is_stalled(&mut self, now: Instant) -> bool {
        let held: usize = ChannelKind::ALL.into_iter().map(|channel| self.buffered(channel)).sum();
        self.liveness.is_stalled(held > MTU, self.usual_rtt(), now)
    }

    /// How often the other side has begun an ICE session: with its first description, and with each restart.
    #[must_use]
    pub const fn ice_sessions(&self) -> u32 {
        self.remote.sessions()
    }

    /// What was measured.
    #[must_use]
    pub const fn stats(&self) -> PeerStats {
        PeerStats { datagrams_lost: self.records.missing(), ..self.stats }
    }

    /// Sends the closing messages of the protocols. The last datagrams are polled as usual. Idempotent.
    pub fn close(&mut self, now: Instant) {
        if let Ok(now) = self.advance(now) {
            // An error means that there is no peer to say goodbye to.
            let _ = self.rtc.close();
            self.drain(now);
            self.closed = true;
        }
    }

    fn id(&self, channel: ChannelKind) -> Option<ChannelId> {
        self.channels.get(channel.index()).copied().flatten()
    }

    /// Gives the engine the time and handles what is due. Returns the time to use from here on.
    fn advance(&mut self, now: Instant) -> Result<Instant, PeerError> {
        if self.closed {
            return Err(PeerError::Closed);
        }
        let now = now.max(self.latest);
        self.latest = now;
        if self.rtc.handle_input(Input::Timeout(now + self.ahead)).is_err() || !self.rtc.is_alive() {
            self.end();
            return Err(PeerError::Closed);
        }
        // The engine has to be drained after each input.
        self.drain(now);
        if self.closed { Err(PeerError::Closed) } else { Ok(now) }
    }

    /// Calls [`advance`](Self::advance) only if the engine has an older time: this runs for each message.
    fn catch_up(&mut self, now: Instant) -> Result<Instant, PeerError> {
        if now > self.latest { self.advance(now) } else { Ok(self.latest) }
    }

    /// The last round-trip time, at most [`LONGEST_RTT`]. A longer one was measured on a stalled path, or across a step
    /// of the engine's clock. Before the first measurement it is [`LONGEST_RTT`], since the path may be slow.
    fn usual_rtt(&self) -> Duration {
        self.stats.rtt.unwrap_or(LONGEST_RTT).min(LONGEST_RTT)
    }

    fn check_liveness(&mut self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        if self.liveness.is_dead(self.is_over_stream(), now) {
            self.end();
        } else if self.liveness.is_lost(self.usual_rtt()) {
            self.liveness.handle_lost(now);
            self.hasten(now);
        }
    }

    /// Whether the path is a TCP connection to the other side.
    fn is_over_stream(&self) -> bool {
        self.stats.protocol == Some(Protocol::Tcp)
    }

    fn judge_path(&mut self, now: Instant) {
        if self.is_connected()
            && let Some(state) = self.path.judge(self.is_over_stream(), now)
        {
            let dead = state == PathState::Dead;
            self.events.push_back(if dead { PeerEvent::PathDead } else { PeerEvent::PathSuspected });
        }
    }

    /// Makes SCTP retransmit lost data at once. SCTP itself would wait for its timer, which doubles with each loss in a
    /// row. The engine's clock is the only way to trigger a retransmission: it is set ahead until an SCTP datagram
    /// comes out.
    fn hasten(&mut self, now: Instant) {
        let (sent, most) = (self.liveness.sent(), self.ahead + MOST_HASTE);
        while !self.closed && self.liveness.sent() == sent {
            let ahead = self.ahead + self.deadline.saturating_duration_since(now);
            if ahead > most {
                break;
            }
            // A deadline that is due now does not move the clock, and it may stay due. The minimum step ensures
            // progress.
            self.ahead = ahead.max(self.ahead + LEAST_HASTE);
            let _ = self.advance(now);
        }
    }

    fn end(&mut self) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(PeerEvent::Closed);
        }
    }

    fn drain(&mut self, now: Instant) {
        let ((), seen) = sctp_proto::observe(|| self.poll_engine(now));
        if let Some(seen) = seen {
            self.stats.sctp = seen.into();
        }
    }

    fn poll_engine(&mut self, now: Instant) {
        while !self.closed {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(deadline)) => {
                    self.deadline = deadline.checked_sub(self.ahead).unwrap_or(now);
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    let protocol = match transmit.proto {
                        str0m::net::Protocol::Udp => Protocol::Udp,
                        str0m::net::Protocol::Tcp => Protocol::Tcp,
                        // For the other side, relays speak UDP, however this side reaches them.
                        _ => continue,
                    };
                    let (local, remote) = (transmit.source, transmit.destination);
                    let same = (self.stats.local, self.stats.remote) == (Some(local), Some(remote));
                    if is_dtls(&transmit.contents) {
                        // ICE checks use all paths. All other datagrams use the selected path.
                        if !same {
                            self.stats.protocol = Some(protocol);
                            self.stats.local = Some(local);
                            self.stats.remote = Some(remote);
                            self.stats.kind = Some(self.remote.kind_of(remote));
                            self.path = PathWatch::new(now);
                        }
                        self.liveness.handle_sent(now);
                    } else if same && is_check(&transmit.contents) {
                        self.path.handle_check(now);
                    }
                    self.stats.datagrams_sent += 1;
                    self.stats.bytes_sent += transmit.contents.len() as u64;
                    self.transmits.push_back(Datagram {
                        protocol,
                        local,
                        remote,
                        contents: transmit.contents.into(),
                    });
                }
                Ok(Output::Event(event)) => self.take_event(event, now),
                Err(_) => self.end(),
            }
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.dtls_connected = true,
            Event::IceConnectionStateChange(state) => self.take_ice_state(state),
            Event::ChannelOpen(id, label) => {
                if !self.opens_channels
                    && let Some(kind) = ChannelKind::from_label(&label)
                    && let Some(channel) = self.channels.get_mut(kind.index())
                {
                    *channel = Some(id);
                }
            }
            Event::ChannelData(message) => {
                let known = ChannelKind::ALL.into_iter().find(|&kind| self.id(kind) == Some(message.id));
                if let Some(channel) = known {
                    let mut data = message.data;
                    // An empty message (by its SCTP payload identifier) comes in a buffer that keeps its capacity.
                    // Bounds count lengths.
                    data.shrink_to_fit();
                    self.events.push_back(PeerEvent::Message { channel, data });
                }
            }
            // A LiveKit connection is useless without one of its channels.
            Event::ChannelClose(id) if self.channels.contains(&Some(id)) => self.end(),
            Event::MediaData(data) => self.events.push_back(sections::packet(data)),
            Event::PeerStats(stats) => {
                if let Some(pair) = stats.selected_candidate_pair {
                    self.stats.rtt = pair.current_round_trip_time.or(self.stats.rtt);
                }
            }
            Event::Closed => self.end(),
            _ => {}
        }
        self.check_connected(now);
    }

    fn take_ice_state(&mut self, state: IceConnectionState) {
        match state {
            IceConnectionState::Connected | IceConnectionState::Completed => self.ice_connected = true,
            IceConnectionState::Checking => {
                self.ice_connected = false;
                self.told_connected = false;
                self.events.push_back(PeerEvent::Checking);
            }
            IceConnectionState::Disconnected => {
                self.ice_connected = false;
                self.told_connected = false;
                self.events.push_back(PeerEvent::Disconnected);
            }
            IceConnectionState::New => {}
        }
    }

    fn check_connected(&mut self, now: Instant) {
        if self.told_connected || !self.ice_connected || !self.dtls_connected {
            return;
        }
        let open = !self.opens_channels || ChannelKind::ALL.into_iter().all(|kind| self.is_open(kind));
        if open {
            self.told_connected = true;
            self.liveness.handle_connected(now);
            self.path = PathWatch::new(now);
            self.events.push_back(PeerEvent::Connected);
            if std::mem::replace(&mut self.was_connected, true) {
                // If the channel is full, it already holds data to be acknowledged, so the result does not matter.
                self.write_now(ChannelKind::Lossy, &PROBE, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtls_is_told_from_stun_and_from_media_by_the_first_byte() {
        for first in 0..=u8::MAX {
            // RFC 7983, section 7.
            let (stun, dtls) = ((0..=3).contains(&first), (20..=63).contains(&first));
            assert_eq!((is_stun(&[first]), is_dtls(&[first])), (stun, dtls), "{first}");
        }
        assert!(!is_stun(&[]) && !is_dtls(&[]));
    }
}
