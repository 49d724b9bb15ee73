//! The publishing side: publications, their queues, and the packets that leave.
//!
//! A [`Publisher`] is one participant's. It hands out a handle for each track, asks the SFU through events, packetizes
//! and seals frames as they are pushed, and lends out packets one by one, in turn over all tracks that have some, so
//! that a large frame on one track does not hold up small ones on others.

mod error;
mod event;
mod options;
mod queue;
mod track;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

pub use error::{PublishError, PublishRejection, PushFrameError};
pub use event::{PublishRequest, PublisherEvent, UnpublishedBy};
pub use options::{PublishOptions, PublisherConfig, QueueOptions, SessionEncryption, WhenFull};

use crate::e2ee::{
    Completion, Derivation, DerivationId, Derived, E2eeError, KEY_RING_SIZE, KeyMaterial, SealingKeys,
};
use crate::info::TrackInfo;
use crate::packet::{E2eeExtension, Handle};
use crate::schema;
use crate::stats::{SendDrop, SendStats};
use crate::time::Instant;
use queue::BufferPool;
use track::{Incoming, Sealing, Track, TrackState};

/// Longest name of a track, in bytes (the server's limit).
pub const MAX_NAME_LEN: usize = 256;

/// One participant's publications. See the [module](self).
pub struct Publisher {
    config: PublisherConfig,
    encryption: Encryption,
    connection: Connection,
    /// By handle − 1. Handles are never used twice, so an ended track leaves its counters behind.
    slots: Vec<Slot>,
    /// Names of the publications that are not over.
    names: HashSet<Arc<str>>,
    /// Ended by us, and the SFU has not said that it knows: after a resumption it is told again.
    unsettled: BTreeSet<Handle>,
    /// Tracks with packets, the one whose turn it is in front.
    turns: VecDeque<Handle>,
    events: VecDeque<PublisherEvent>,
    pool: BufferPool,
    scratch: Vec<u8>,
    /// No deadline is earlier; it may be of a request that was answered. Exact only after a timeout.
    earliest_deadline: Option<Instant>,
}

enum Slot {
    Active(Box<Track>),
    Ended(Box<SendStats>),
}

enum Encryption {
    None,
    Native(Box<SealingKeys>),
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Up,
    Lost,
    Closed,
}

/// A packet that is ready to leave.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// The track it belongs to.
    pub handle: Handle,
    /// Header and payload, at most [`MTU`](crate::packet::MTU) bytes.
    pub packet: &'a [u8],
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("connection", &self.connection)
            .field("handles", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher of a connected session.
    pub fn new(config: PublisherConfig) -> Self {
        let encryption = match &config.encryption {
            SessionEncryption::None => Encryption::None,
            SessionEncryption::Native(options) => Encryption::Native(Box::new(SealingKeys::new(*options))),
            SessionEncryption::Custom => Encryption::Custom,
        };
        Self {
            config,
            encryption,
            connection: Connection::Up,
            slots: Vec::new(),
            names: HashSet::new(),
            unsettled: BTreeSet::new(),
            turns: VecDeque::new(),
            events: VecDeque::new(),
            pool: BufferPool::default(),
            scratch: Vec::new(),
            earliest_deadline: None,
        }
    }

    // Publications.

    /// Starts a publication: [`PublisherEvent::PublishRequest`] goes out,
    /// [`Published`](PublisherEvent::Published) or [`PublishFailed`](PublisherEvent::PublishFailed) follows.
    ///
    /// What can be known to fail fails here, before anything is sent.
    pub fn publish(&mut self, options: PublishOptions, now: Instant) -> Result<Handle, PublishError> {
        if self.connection == Connection::Closed {
            return Err(PublishError::Disconnected);
        }
        if options.name.is_empty() || options.name.len() > MAX_NAME_LEN {
            return Err(PublishError::InvalidName);
        }
        if self.names.contains(&options.name) {
            return Err(PublishError::DuplicateName);
        }
        schema::validate(options.frame_encoding.as_ref(), options.schema.as_ref())?;
        if options.encrypted && matches!(self.encryption, Encryption::None) {
            return Err(PublishError::NoEncryption);
        }
        let number = u16::try_from(self.slots.len() + 1).map_err(|_| PublishError::LimitReached)?;
        let handle = Handle::new(number).ok_or(PublishError::LimitReached)?;
        let deadline = now + self.config.publish_timeout;
        self.expect_by(deadline);
        self.names.insert(options.name.clone());
        let mut track = Track::new(handle, options, deadline);
        if self.connection == Connection::Up {
            track.requested = true;
            self.events.push_back(PublisherEvent::PublishRequest(track.request()));
        }
        self.slots.push(Slot::Active(Box::new(track)));
        Ok(handle)
    }

    /// Gives up a publication that the SFU has not answered; [`PublishError::Cancelled`] is its end. A late answer is
    /// met with an unpublish request. Does nothing for any other track.
    pub fn cancel_publish(&mut self, handle: Handle) {
        if matches!(self.track(handle), Some(Track { state: TrackState::Pending { .. }, .. })) {
            self.give_up(handle, PublishError::Cancelled);
        }
    }

    /// Ends a publication. What is queued is dropped; flush first to keep it. Does nothing if it ended before.
    pub fn unpublish(&mut self, handle: Handle) {
        match self.track(handle).map(|track| &track.state) {
            None => {}
            Some(TrackState::Pending { .. }) => self.cancel_publish(handle),
            Some(TrackState::Published(_) | TrackState::Republishing { .. }) => {
                self.end(handle, SendDrop::Unpublished);
                self.request_unpublish(handle);
                self.events.push_back(PublisherEvent::Unpublished { handle, by: UnpublishedBy::Local });
            }
        }
    }

    /// The SFU's `PublishDataTrackResponse`.
    pub fn handle_publish_response(&mut self, info: TrackInfo) {
        let handle = info.pub_handle;
        let Some(track) = self.track_mut(handle) else {
            // Given up before the answer came: the SFU must not keep it. A handle never handed out is not ours to end.
            if usize::from(handle.get()) <= self.slots.len() {
                self.request_unpublish(handle);
            }
            return;
        };
        if info.encryption != track.encryption() {
            return self.refuse_mismatch(handle);
        }
        let before = std::mem::replace(&mut track.state, TrackState::Published(info.clone()));
        match before {
            TrackState::Pending { .. } => {
                self.events.push_back(PublisherEvent::Published { handle, info });
            }
            TrackState::Republishing { .. } => {
                self.list(handle);
                self.events.push_back(PublisherEvent::Republished { handle, info });
            }
            TrackState::Published(old) if old.sid != info.sid => {
                self.events.push_back(PublisherEvent::Republished { handle, info });
            }
            // The same answer twice.
            TrackState::Published(_) => {}
        }
    }

    /// The SFU turned a publish request down.
    pub fn handle_publish_rejected(&mut self, handle: Handle, rejection: PublishRejection) {
        let Some(track) = self.track_mut(handle) else {
            // What it did not take need not be ended.
            self.unsettled.remove(&handle);
            return;
        };
        let first_time = match &mut track.state {
            TrackState::Published(_) => return,
            TrackState::Pending { handle_retried, .. } | TrackState::Republishing { handle_retried, .. } => {
                !std::mem::replace(handle_retried, true)
            }
        };
        if rejection == PublishRejection::DuplicateHandle && first_time {
            // The SFU has the track, its answer was lost: end it there and ask again.
            let request = track.request();
            // Without a connection nothing can be sent; when it is back the request is repeated.
            if self.connection == Connection::Up {
                self.events.push_back(PublisherEvent::UnpublishRequest { handle });
                self.events.push_back(PublisherEvent::PublishRequest(request));
            }
            return;
        }
        self.fail(handle, rejection.into());
    }

    /// The SFU's `UnpublishDataTrackResponse`, whether it answers or comes on its own.
    pub fn handle_unpublish_response(&mut self, handle: Handle) {
        self.unsettled.remove(&handle);
        // While a request is under way it answers an unpublish request of ours that made room for it.
        if matches!(self.track(handle), Some(Track { state: TrackState::Published(_), .. })) {
            self.end(handle, SendDrop::Unpublished);
            self.events.push_back(PublisherEvent::Unpublished { handle, by: UnpublishedBy::Sfu });
        }
    }

    /// What the SFU said of each published track, for the sync state of a resumed session.
    pub fn publish_responses_for_sync_state(&self) -> Vec<TrackInfo> {
        self.active()
            .filter_map(|track| match &track.state {
                TrackState::Published(info) => Some(info.clone()),
                _ => None,
            })
            .collect()
    }

    // Frames.

    /// Takes a frame: it is packetized and, on an encrypted track, sealed at once. An error means that nothing of it
    /// was or will be sent.
    pub fn push(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        self.push_frame(handle, payload, user_timestamp, None, now)
    }

    /// Takes a frame that the application sealed itself: ciphertext with its tag, and what it was sealed with.
    pub fn push_sealed(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        extension: E2eeExtension,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        self.push_frame(handle, payload, user_timestamp, Some(extension), now)
    }

    fn push_frame(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        sealed_with: Option<E2eeExtension>,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        let timestamp = self.packet_timestamp(now);
        let incoming = Incoming { payload, user_timestamp, timestamp, pushed_at: now };
        let connection = self.connection;
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else {
            return Err(match connection {
                Connection::Closed => PushFrameError::Disconnected,
                _ => PushFrameError::TrackUnpublished,
            });
        };
        let result = match (&track.state, connection) {
            (TrackState::Pending { .. }, _) => Err(PushFrameError::NotPublished),
            (TrackState::Republishing { .. }, _) | (_, Connection::Lost) => Err(PushFrameError::Reconnecting),
            (_, Connection::Closed) => Err(PushFrameError::Disconnected),
            (TrackState::Published(_), Connection::Up) => match (&self.encryption, sealed_with) {
                (_, None) if !track.options.encrypted => track.push_plain(incoming, &mut self.pool),
                // On a plain track it would look like plaintext; and no peer reads key indexes beyond the ring.
                (Encryption::Custom, Some(extension))
                    if track.options.encrypted && extension.key_index < KEY_RING_SIZE =>
                {
                    track.push_sealed(incoming, extension, &mut self.pool)
                }
                (Encryption::Native(keys), None) => match keys.current() {
                    None if keys.is_pending() => track.hold(incoming),
                    _ => {
                        let random = self.config.iv_random.as_mut();
                        let mut sealing = Sealing { keys, random, scratch: &mut self.scratch };
                        track.push_encrypted(incoming, &mut sealing, &mut self.pool)
                    }
                },
                _ => Err(PushFrameError::EncryptionFailed),
            },
        };
        match result {
            Ok(()) if !track.listed && !track.queue.is_empty() => {
                track.listed = true;
                self.turns.push_back(handle);
            }
            Ok(()) => {}
            Err(_) => track.stats.refused += 1,
        }
        result
    }

    /// Ticks of 90 kHz since the random base.
    #[allow(clippy::cast_possible_truncation, reason = "the timestamp wraps, by its definition")]
    const fn packet_timestamp(&self, now: Instant) -> u32 {
        self.config.timestamp_base.wrapping_add((now.as_micros().wrapping_mul(9) / 100) as u32)
    }

    /// The longest payload that [`push`](Self::push) takes, in bytes; `None` if the track is over.
    pub fn max_frame_len(&self, handle: Handle, with_timestamp: bool) -> Option<usize> {
        self.track(handle).map(|track| track.max_payload(with_timestamp))
    }

    /// Bytes that wait to leave.
    pub fn buffered_amount(&self, handle: Handle) -> usize {
        self.track(handle).map_or(0, Track::buffered)
    }

    /// Asks for one [`PublisherEvent::BufferedAmountLow`] when at most `bytes` wait: at once if it is so already. A
    /// second call replaces the first. Nothing comes if the track is over: its end was an event.
    pub fn watch_buffered(&mut self, handle: Handle, bytes: usize) {
        if let Some(track) = self.track_mut(handle) {
            track.watch = Some(bytes);
            self.check_watch(handle);
        }
    }

    fn check_watch(&mut self, handle: Handle) {
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return };
        if track.watch.is_some_and(|level| track.buffered() <= level) {
            track.watch = None;
            self.events.push_back(PublisherEvent::BufferedAmountLow { handle });
        }
    }

    // Packets.

    /// Whether [`peek_transmit`](Self::peek_transmit) may find a packet.
    pub fn has_packets(&self) -> bool {
        self.connection == Connection::Up && !self.turns.is_empty()
    }

    /// Whether [`peek_transmit`](Self::peek_transmit) looks at the time. It does not where the frame whose turn it is
    /// has no newer one behind it, however old it is: any instant will do then, and the clock need not be read.
    #[inline]
    pub fn transmit_needs_time(&self) -> bool {
        let next = self.turns.front().and_then(|&handle| self.track(handle));
        next.is_none_or(|track| track.queue.len() != 1 || !matches!(track.state, TrackState::Published(_)))
    }

    /// The packet that leaves next. It stays where it is until [`advance_transmit`](Self::advance_transmit) says that
    /// the transport has taken it; with no other call in between.
    pub fn peek_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        if self.connection != Connection::Up {
            return None;
        }
        let handle = loop {
            let handle = *self.turns.front()?;
            if let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle))
                && matches!(track.state, TrackState::Published(_))
            {
                let before = track.queue.bytes();
                track.queue.expire(now, &mut track.stats, &mut self.pool);
                let expired = track.queue.bytes() < before;
                if !track.queue.is_empty() {
                    if expired && track.watch.is_some() {
                        self.check_watch(handle);
                    }
                    break handle;
                }
            }
            self.unlist_front();
        };
        let packet = self.track(handle)?.queue.peek()?;
        Some(Transmit { handle, packet })
    }

    /// The transport has taken the packet that `peek_transmit` lent.
    pub fn advance_transmit(&mut self) {
        let Some(handle) = self.turns.pop_front() else { return };
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return };
        track.queue.advance(&mut track.stats, &mut self.pool);
        if track.queue.is_empty() {
            track.listed = false;
        } else {
            self.turns.push_back(handle);
        }
        if track.watch.is_some() {
            self.check_watch(handle);
        }
    }

    /// Copies the next packet to `target` and takes it as sent. Returns its length; `None` when there is no packet or
    /// `target` is too short for it.
    pub fn poll_transmit(&mut self, target: &mut [u8], now: Instant) -> Option<usize> {
        let packet = self.peek_transmit(now)?.packet;
        target.get_mut(..packet.len())?.copy_from_slice(packet);
        let len = packet.len();
        self.advance_transmit();
        Some(len)
    }

    // The connection.

    /// The transport is gone for now: pushes are refused with [`PushFrameError::Reconnecting`], what is queued stays,
    /// within its bounds.
    pub fn handle_connection_lost(&mut self) {
        if self.connection == Connection::Up {
            self.connection = Connection::Lost;
        }
    }

    /// The transport is back in the same signalling session. Requests without an answer are made again, and have the
    /// whole time for it.
    pub fn handle_resumed(&mut self, now: Instant) {
        if self.connection != Connection::Lost {
            return;
        }
        self.connection = Connection::Up;
        self.events.extend(self.unsettled.iter().map(|&handle| PublisherEvent::UnpublishRequest { handle }));
        let renewed = now + self.config.publish_timeout;
        for slot in &mut self.slots {
            if let Slot::Active(track) = slot
                && let TrackState::Pending { deadline, .. } | TrackState::Republishing { deadline, .. } =
                    &mut track.state
            {
                *deadline = renewed;
            }
        }
        self.expect_by(renewed);
        self.repeat_requests();
    }

    /// A new signalling session: every publication is asked for again, under its handle. A frame of which a part has
    /// left starts over.
    pub fn handle_reconnected(&mut self, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Up;
        // The new session knows nothing of what the old one may have kept.
        self.unsettled.clear();
        let deadline = now + self.config.publish_timeout;
        self.expect_by(deadline);
        for slot in &mut self.slots {
            let Slot::Active(track) = slot else { continue };
            track.queue.rewind();
            track.renew_iv();
            match &mut track.state {
                TrackState::Published(_) => {
                    track.state = TrackState::Republishing { deadline, handle_retried: false };
                }
                TrackState::Republishing { deadline: limit, handle_retried }
                | TrackState::Pending { deadline: limit, handle_retried } => {
                    *limit = deadline;
                    *handle_retried = false;
                }
            }
        }
        self.repeat_requests();
    }

    fn repeat_requests(&mut self) {
        let requests = self
            .slots
            .iter_mut()
            .filter_map(|slot| match slot {
                Slot::Active(track) if track.deadline().is_some() => {
                    track.requested = true;
                    Some(PublisherEvent::PublishRequest(track.request()))
                }
                _ => None,
            })
            .collect::<Vec<_>>();
        self.events.extend(requests);
    }

    /// Ends every publication. Idempotent; nothing can be published afterwards.
    pub fn close(&mut self) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Closed;
        for handle in self.active().map(|track| track.handle).collect::<Vec<_>>() {
            let pending =
                self.track(handle).is_some_and(|track| matches!(track.state, TrackState::Pending { .. }));
            self.end(handle, SendDrop::ConnectionLost);
            self.events.push_back(if pending {
                PublisherEvent::PublishFailed { handle, error: PublishError::Disconnected }
            } else {
                PublisherEvent::Unpublished { handle, by: UnpublishedBy::Disconnected }
            });
        }
        self.turns.clear();
        self.unsettled.clear();
    }

    // Keys.

    /// Sets the key at an index of 0 to 15. It is in use when its derivation came back; frames of tracks that have no
    /// key yet are held until then.
    pub fn set_key(&mut self, index: u8, material: KeyMaterial) -> Result<DerivationId, E2eeError> {
        self.keys()?.set_key(index, material)
    }

    /// Replaces the key at an index by the one that follows it.
    pub fn ratchet_key(&mut self, index: u8) -> Result<DerivationId, E2eeError> {
        self.keys()?.ratchet(index)
    }

    /// Seals with the key at that index from now on, as soon as it is there.
    pub fn set_key_index(&mut self, index: u8) -> Result<(), E2eeError> {
        self.keys()?.set_current_index(index)?;
        self.settle_held();
        Ok(())
    }

    fn keys(&mut self) -> Result<&mut SealingKeys, E2eeError> {
        match &mut self.encryption {
            Encryption::Native(keys) => Ok(keys),
            Encryption::None | Encryption::Custom => Err(E2eeError::Disabled),
        }
    }

    /// A derivation to be run off the packet path, and handed back to [`handle_derived`](Self::handle_derived).
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        self.keys().ok()?.poll_derivation()
    }

    /// A derivation is done: the one that was asked for is complete, and held frames leave.
    pub fn handle_derived(&mut self, derived: Derived) -> Option<Completion> {
        let completion = self.keys().ok()?.handle_derived(derived);
        self.settle_held();
        completion
    }

    /// Held frames are sealed if there is a key now, and dropped if none is on its way.
    fn settle_held(&mut self) {
        let Encryption::Native(keys) = &self.encryption else { return };
        let has_key = keys.current().is_some();
        if !has_key && keys.is_pending() {
            return;
        }
        let random = self.config.iv_random.as_mut();
        let mut sealing = Sealing { keys, random, scratch: &mut self.scratch };
        let mut watched = Vec::new();
        for slot in &mut self.slots {
            let Slot::Active(track) = slot else { continue };
            if !track.holds_frames() {
                continue;
            }
            if track.watch.is_some() {
                watched.push(track.handle);
            }
            if !has_key {
                track.drop_held(SendDrop::NoKey);
                continue;
            }
            track.release_held(&mut sealing, &mut self.pool);
            if !track.listed && !track.queue.is_empty() {
                track.listed = true;
                self.turns.push_back(track.handle);
            }
        }
        for handle in watched {
            self.check_watch(handle);
        }
    }

    // Polling.

    /// The next event; poll until `None` after each input.
    pub fn poll_event(&mut self) -> Option<PublisherEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. It may be early: nothing happens then. Without a connection
    /// there is none: nobody could answer, and what is pending survives.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.connection {
            Connection::Up => self.earliest_deadline,
            Connection::Lost | Connection::Closed => None,
        }
    }

    fn expect_by(&mut self, deadline: Instant) {
        self.earliest_deadline = Some(self.earliest_deadline.map_or(deadline, |other| other.min(deadline)));
    }

    /// Gives up what the SFU has not answered in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        let late = self
            .active()
            .filter(|track| track.deadline().is_some_and(|deadline| deadline <= now))
            .map(|track| track.handle)
            .collect::<Vec<_>>();
        for handle in late {
            self.give_up(handle, PublishError::Timeout);
        }
        self.earliest_deadline = self.active().filter_map(Track::deadline).min();
    }

    /// Counters of a track, also of one that is over; `None` for a handle that was never given out.
    pub fn track_stats(&self, handle: Handle) -> Option<SendStats> {
        Some(match self.slots.get(slot_index(handle))? {
            Slot::Active(track) => track.stats(),
            Slot::Ended(stats) => **stats,
        })
    }

    /// Publications that are not over.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.active().map(|track| track.handle)
    }

    // Inside.

    fn active(&self) -> impl Iterator<Item = &Track> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Active(track) => Some(&**track),
            Slot::Ended(_) => None,
        })
    }

    fn track(&self, handle: Handle) -> Option<&Track> {
        match self.slots.get(slot_index(handle))? {
            Slot::Active(track) => Some(track),
            Slot::Ended(_) => None,
        }
    }

    fn track_mut(&mut self, handle: Handle) -> Option<&mut Track> {
        match self.slots.get_mut(slot_index(handle))? {
            Slot::Active(track) => Some(track),
            Slot::Ended(_) => None,
        }
    }

    /// The track whose turn it is has nothing to send: it is over, empty, or asked for again.
    fn unlist_front(&mut self) {
        if let Some(handle) = self.turns.pop_front()
            && let Some(track) = self.track_mut(handle)
        {
            track.listed = false;
        }
    }

    fn list(&mut self, handle: Handle) {
        if let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle))
            && !track.listed
            && !track.queue.is_empty()
        {
            track.listed = true;
            self.turns.push_back(handle);
        }
    }

    /// We end a request that the SFU may still answer.
    fn give_up(&mut self, handle: Handle, error: PublishError) {
        if self.track(handle).is_some_and(|track| track.requested) {
            self.unsettled.insert(handle);
        }
        self.fail(handle, error);
    }

    /// Tells the SFU that a track is over: now, and again after a resumption if it has not answered by then.
    fn request_unpublish(&mut self, handle: Handle) {
        if self.connection == Connection::Closed {
            return;
        }
        self.unsettled.insert(handle);
        if self.connection == Connection::Up {
            self.events.push_back(PublisherEvent::UnpublishRequest { handle });
        }
    }

    /// A request came to nothing.
    fn fail(&mut self, handle: Handle, error: PublishError) {
        let Some(track) = self.track(handle) else { return };
        let pending = matches!(track.state, TrackState::Pending { .. });
        self.end(handle, SendDrop::Unpublished);
        self.events.push_back(if pending {
            PublisherEvent::PublishFailed { handle, error }
        } else {
            PublisherEvent::Unpublished { handle, by: UnpublishedBy::RepublishFailed(error) }
        });
    }

    /// The SFU wants it plain, or encrypted, where the application wants the other: never send anything then.
    fn refuse_mismatch(&mut self, handle: Handle) {
        let was_published =
            self.track(handle).is_some_and(|track| matches!(track.state, TrackState::Published(_)));
        if was_published {
            self.end(handle, SendDrop::Unpublished);
            let by = UnpublishedBy::RepublishFailed(PublishError::EncryptionMismatch);
            self.events.push_back(PublisherEvent::Unpublished { handle, by });
        } else {
            self.fail(handle, PublishError::EncryptionMismatch);
        }
        self.request_unpublish(handle);
    }

    fn end(&mut self, handle: Handle, reason: SendDrop) {
        let Some(slot) = self.slots.get_mut(slot_index(handle)) else { return };
        let ended = Slot::Ended(Box::default());
        if let Slot::Active(track) = std::mem::replace(slot, ended) {
            self.names.remove(&track.options.name);
            *slot = Slot::Ended(Box::new(track.end(reason)));
        }
    }
}

fn slot_index(handle: Handle) -> usize {
    usize::from(handle.get()) - 1
}
