//! An association: one end of a connection, from the handshake to its end.
//!
//! After each input ([`Association::handle_event`], [`Association::handle_timeout`], a call on a [`Stream`]) the
//! caller polls: packets by [`Association::poll_transmit`], news by [`Association::poll`], and the next deadline by
//! [`Association::poll_timeout`].

mod cookie;
mod events;
mod handshake;
mod input;
mod output;
mod reset;
mod stream;
mod streams;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use events::{AssociationError, Event, StreamEvent, StreamId, StreamResetError};
pub use stream::{Chunks, ReliabilityType, Stream};

use crate::config::{RTO_INITIAL, RTO_MAX, TransportConfig};
use crate::endpoint::{AssociationEvent, EndpointEvent};
use crate::error::{Error, Result};
use crate::ppid::PayloadProtocolIdentifier;
use crate::receive::{Arrivals, Reassembly};
use crate::send::Sender;
use crate::stats::AssociationStats;
use crate::wire::Init;
use cookie::SECRET;
use reset::Resets;
use streams::Streams;

/// Where an association is (RFC 9260, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer has been answered and must show its cookie.
    Listening,
    CookieWait,
    CookieEchoed,
    Established,
    /// To be shut down when all is acknowledged.
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Closed,
}

/// A chunk without a place of its own, to be sent at the next opportunity.
#[derive(Debug)]
enum Control {
    Init,
    InitAck {
        peer: Init,
        our_tag: u32,
    },
    CookieEcho,
    CookieAck,
    Shutdown,
    ShutdownAck,
    /// To whom it may concern: with the tag of the packet that caused it.
    ShutdownComplete {
        tag: u32,
        reflected: bool,
    },
    HeartbeatAck(Bytes),
    Abort {
        tag: u32,
        cause: u16,
        reason: &'static str,
    },
}

/// The timer of the handshake, or of the shutdown: one of them runs at a time.
#[derive(Debug, Default)]
struct Repeat {
    at: Option<Instant>,
    wait: Duration,
    times: usize,
}

impl Repeat {
    fn start(&mut self, now: Instant) {
        self.wait = RTO_INITIAL;
        self.times = 0;
        self.at = Some(now + self.wait);
    }

    fn again(&mut self, now: Instant) {
        self.wait = (self.wait * 2).min(RTO_MAX);
        self.times += 1;
        self.at = Some(now + self.wait);
    }

    fn stop(&mut self) {
        self.at = None;
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Association {
    config: Arc<TransportConfig>,
    max_payload: usize,
    state: State,
    our_port: u16,
    peer_port: u16,
    our_tag: u32,
    our_first_tsn: u32,
    /// For the next INIT that needs a tag of its own: a restart of the peer's.
    spare_tag: u32,
    secret: [u8; SECRET],
    /// What the peer said of itself.
    peer: Option<Init>,
    /// The cookie that the peer gave us.
    peer_cookie: Bytes,
    max_send_message: usize,
    sender: Option<Sender>,
    arrivals: Option<Arrivals>,
    reassembly: Option<Reassembly>,
    resets: Option<Resets>,
    streams: Streams,
    /// Bytes that messages take until they are read, with their bookkeeping.
    unread: usize,
    /// The window that the peer was told last.
    told_window: u32,
    control: VecDeque<Control>,
    repeat: Repeat,
    events: VecDeque<Event>,
    drained: bool,
    stats: AssociationStats,
}

/// Randomness that an association needs, handed in so that tests can repeat it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entropy {
    pub(crate) tag: u32,
    pub(crate) spare_tag: u32,
    pub(crate) first_tsn: u32,
    pub(crate) secret: [u8; SECRET],
}

impl Association {
    fn new(config: Arc<TransportConfig>, max_payload: u32, state: State, entropy: Entropy) -> Self {
        Self {
            max_payload: max_payload as usize,
            max_send_message: config.max_send_message as usize,
            told_window: config.receive_buffer,
            config,
            state,
            our_port: crate::DEFAULT_SCTP_PORT,
            peer_port: crate::DEFAULT_SCTP_PORT,
            our_tag: entropy.tag.max(1),
            our_first_tsn: entropy.first_tsn,
            spare_tag: entropy.spare_tag.max(1),
            secret: entropy.secret,
            peer: None,
            peer_cookie: Bytes::new(),
            sender: None,
            arrivals: None,
            reassembly: None,
            resets: None,
            streams: Streams::default(),
            unread: 0,
            control: VecDeque::new(),
            repeat: Repeat::default(),
            events: VecDeque::new(),
            drained: false,
            stats: AssociationStats::default(),
        }
    }

    /// What has happened; `None`: nothing more.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the endpoint must know; `None`: nothing more.
    pub fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        let drained = self.state == State::Closed && self.control.is_empty() && !self.drained;
        self.drained |= drained;
        drained.then_some(EndpointEvent::drained())
    }

    /// When [`Self::handle_timeout`] is due; `None`: only after another input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let sender = self.sender.as_ref().and_then(Sender::poll_timeout);
        let arrivals = self.arrivals.as_ref().and_then(Arrivals::poll_timeout);
        [self.repeat.at, sender, arrivals, self.reset_due()].into_iter().flatten().min()
    }

    /// When an unanswered request to reset streams goes out again.
    fn reset_due(&self) -> Option<Instant> {
        let sent = self.resets.as_ref()?.unanswered_since()?;
        Some(sent + self.sender.as_ref()?.path().timeout())
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if self.repeat.at.is_some_and(|at| at <= now) {
            self.repeat_control(now);
        }
        if self.reset_due().is_some_and(|due| due <= now)
            && let Some(resets) = &mut self.resets
        {
            resets.repeat();
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.handle_timeout(now);
        }
        self.with_sender(|sender, freed| sender.handle_timeout(now, freed));
        let timeouts = self.sender.as_ref().map_or(0, Sender::timeouts);
        if self.config.max_data_retransmits.is_some_and(|limit| timeouts > limit) {
            self.lose(AssociationError::TimedOut);
        }
    }

    /// A datagram has come: what [`crate::Endpoint::handle`] returned.
    pub fn handle_event(&mut self, event: AssociationEvent) {
        self.handle_packet(event.now, &event.packet);
    }

    /// Bytes of a message that may be sent, at most: the peer says so in its session description.
    pub fn set_max_send_message_size(&mut self, value: u32) {
        // Zero stands for no limit (RFC 8841, section 6.1).
        self.max_send_message = if value == 0 { usize::MAX } else { value as usize };
    }

    /// Whether nothing can be sent or received any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the association is being shut down.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(
            self.state,
            State::ShutdownPending | State::ShutdownSent | State::ShutdownReceived | State::ShutdownAckSent
        )
    }

    /// Whether it is not established yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Listening | State::CookieWait | State::CookieEchoed)
    }

    /// Ends the association when all that was written is acknowledged.
    ///
    /// # Errors
    /// When it is not established.
    pub fn shutdown(&mut self) -> Result<()> {
        if self.state != State::Established {
            return Err(Error::ErrShutdownNonEstablished);
        }
        self.state = State::ShutdownPending;
        Ok(())
    }

    /// Ends the association at once, and tells the peer.
    pub fn close(&mut self) {
        if self.state != State::Closed {
            self.abort(crate::wire_cause::USER_INITIATED, "closed");
            self.state = State::Closed;
        }
    }

    /// Opens a stream. The payload type is that of each message; this one is not used.
    ///
    /// # Errors
    /// When there is such a stream, when it is being reset, or when there are too many.
    pub fn open_stream(&mut self, id: StreamId, _default: PayloadProtocolIdentifier) -> Result<Stream<'_>> {
        if self.streams.get(id).is_some() {
            return Err(Error::ErrStreamAlreadyExist);
        }
        if self.resets.as_ref().is_some_and(|resets| resets.is_pending(id)) {
            return Err(Error::ErrStreamResetPending);
        }
        if self.streams.open(id).is_none() {
            return Err(Error::ErrStreamCreateFailed);
        }
        Ok(Stream::new(self, id))
    }

    /// A stream that is open.
    ///
    /// # Errors
    /// When there is none.
    pub fn stream(&mut self, id: StreamId) -> Result<Stream<'_>> {
        if self.streams.get(id).is_none() {
            return Err(Error::ErrStreamNotExisted);
        }
        Ok(Stream::new(self, id))
    }

    /// What it has counted and measured.
    #[must_use]
    pub fn stats(&self) -> AssociationStats {
        let mut stats = self.stats;
        if let Some(sender) = &self.sender {
            stats.congestion_window = sender.window();
            stats.bytes_in_flight = sender.in_flight();
            stats.smoothed_rtt = sender.path().smoothed();
            stats.least_rtt = Some(sender.path().least()).filter(|least| !least.is_zero());
            stats.queueing = sender.path().path().map(|path| path.queueing());
            (stats.lost, stats.retransmissions) = sender.counts();
        }
        stats
    }

    /// The window that the peer is told: what the buffer has left.
    fn receive_window(&self) -> u32 {
        let used = self.unread + self.reassembly.as_ref().map_or(0, Reassembly::bytes);
        self.config.receive_buffer.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Runs something on the sender, and takes what it settles off the streams' accounts.
    fn with_sender<T>(
        &mut self,
        run: impl FnOnce(&mut Sender, &mut dyn FnMut(u16, usize)) -> T,
    ) -> Option<T> {
        let (streams, events) = (&mut self.streams, &mut self.events);
        let sender = self.sender.as_mut()?;
        Some(run(sender, &mut |id, bytes| {
            let Some(stream) = streams.get_mut(id) else { return };
            let before = stream.buffered;
            stream.buffered = before.saturating_sub(bytes);
            if before > stream.low_threshold && stream.buffered <= stream.low_threshold {
                events.push_back(Event::Stream(StreamEvent::BufferedAmountLow { id }));
            }
        }))
    }

    /// The association is over, by no wish of ours.
    fn lose(&mut self, reason: AssociationError) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.repeat.stop();
        self.events.push_back(Event::AssociationLost { reason });
    }

    /// Tells the peer that it is over.
    fn abort(&mut self, cause: u16, reason: &'static str) {
        self.control.clear();
        if let Some(peer) = &self.peer {
            self.control.push_back(Control::Abort { tag: peer.tag, cause, reason });
        }
    }
}
