//! The subscribing side: what others publish, subscriptions, and the way from packets to readers.
//!
//! A [`Subscriber`] is one participant's. It keeps the list of remote tracks, asks the SFU for those that somebody
//! reads, routes packets by the handles that the SFU assigns, and fills a bounded buffer for each reader. A track has
//! any number of readers (streams), and one subscription that they share.

mod early;
mod encryption_errors;
mod error;
mod event;
mod options;
mod stream;
mod track;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use nohash_hasher::IntMap;

pub use error::SubscribeError;
pub use event::{EncryptionErrorReason, SubscriberEvent};
pub use options::{BufferPolicy, SubscribeOptions, SubscriberConfig};
pub use stream::Frame;

use crate::depacketizer::{DepacketizerOptions, Outcome};
use crate::e2ee::{
    Completion, Derivation, DerivationId, Derived, E2eeError, KeyMaterial, KeyScope, OpenOutcome, OpeningKeys,
};
use crate::frame::AssembledFrame;
use crate::info::{EncryptionType, TrackInfo, TrackSid};
use crate::packet::{Handle, Header};
use crate::publisher::SessionEncryption;
use crate::stats::{FrameDrop, FrameStats, PacketDrop, PacketStats, StreamStats};
use crate::time::Instant;
use early::EarlyPackets;
use encryption_errors::EncryptionErrors;
use stream::Stream;
use track::{Subscription, Track};

/// Tracks that are kept at most, whatever the SFU tells; more are ignored.
pub const MAX_TRACKS: usize = 65_536;

/// Our number for a remote track. It stays the same when the SID changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

/// The caller's number for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl nohash_hasher::IsEnabled for TrackId {}
impl nohash_hasher::IsEnabled for StreamId {}

/// Which signalling session of the connection a packet belongs to. The server starts its handles anew in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch(pub u32);

/// One participant's view of what others publish. See the [module](self).
pub struct Subscriber {
    config: SubscriberConfig,
    encryption: Encryption,
    connection: Connection,
    epoch: Epoch,
    tracks: IntMap<TrackId, Box<Track>>,
    next_track: u32,
    by_sid: HashMap<TrackSid, TrackId>,
    by_publisher: HashMap<Arc<str>, Vec<TrackId>>,
    streams: IntMap<StreamId, Stream>,
    /// By handle: what packets under it belong to.
    routes: Vec<Route>,
    /// Handles of the last table whose tracks were not known when it came.
    unclaimed: HashMap<TrackSid, Handle>,
    early: EarlyPackets,
    /// Streams with frames that somebody waits for, the one whose turn it is in front.
    readable: VecDeque<StreamId>,
    packets: PacketStats,
    errors: EncryptionErrors,
    events: VecDeque<SubscriberEvent>,
    /// No deadline is earlier; it may be of something that is over. Exact only after a timeout.
    earliest_deadline: Option<Instant>,
}

enum Encryption {
    None,
    Native(Box<OpeningKeys>),
    Custom,
}

/// What packets under a handle belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Route {
    /// The SFU has not said; packets are worth holding.
    #[default]
    Unknown,
    Track(TrackId),
    /// A track that is over or has another handle now. Its last packets must not wait for the next track that gets the
    /// handle.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Up,
    Lost,
    Closed,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("connection", &self.connection)
            .field("epoch", &self.epoch)
            .field("tracks", &self.tracks.len())
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

impl Subscriber {
    /// A subscriber of a connected session.
    pub fn new(config: SubscriberConfig) -> Self {
        let encryption = match &config.encryption {
            SessionEncryption::None => Encryption::None,
            SessionEncryption::Native(options) => Encryption::Native(Box::new(OpeningKeys::new(*options))),
            SessionEncryption::Custom => Encryption::Custom,
        };
        Self {
            encryption,
            connection: Connection::Up,
            epoch: Epoch::default(),
            tracks: IntMap::default(),
            next_track: 0,
            by_sid: HashMap::new(),
            by_publisher: HashMap::new(),
            streams: IntMap::default(),
            routes: Vec::new(),
            unclaimed: HashMap::new(),
            early: EarlyPackets::new(config.early_packet_bytes, config.early_packet_age),
            readable: VecDeque::new(),
            packets: PacketStats::default(),
            errors: EncryptionErrors::default(),
            events: VecDeque::new(),
            earliest_deadline: None,
            config,
        }
    }

    // Publications.

    /// All that a publisher publishes now. What it published before and is not in the list is unpublished; other
    /// publishers are untouched.
    pub fn handle_publication_update(&mut self, publisher: &str, infos: Vec<TrackInfo>, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        let publisher: Arc<str> = self
            .by_publisher
            .get_key_value(publisher)
            .map_or_else(|| publisher.into(), |(identity, _)| identity.clone());
        let mut missing = self.by_publisher.get(&publisher).cloned().unwrap_or_default();
        let mut fresh = Vec::new();
        // Those under a SID that we know first: a new SID may only take over what none of them claims.
        for info in infos {
            match self.by_sid.get(&info.sid) {
                Some(id) => missing.retain(|other| other != id),
                None => fresh.push(info),
            }
        }
        for info in fresh {
            if self.by_sid.contains_key(&info.sid) {
                continue;
            }
            let continued = missing
                .iter()
                .position(|id| self.tracks.get(id).is_some_and(|track| track.is_continued_by(&info)));
            if let Some(index) = continued {
                let id = missing.swap_remove(index);
                self.change_sid(id, info, now);
            } else {
                self.add_track(publisher.clone(), info, now);
            }
        }
        for id in missing {
            self.remove_track(id);
        }
        if !self.by_publisher.contains_key(&publisher) {
            self.errors.forget(&publisher);
        }
    }

    fn add_track(&mut self, publisher: Arc<str>, info: TrackInfo, now: Instant) {
        if self.tracks.len() >= MAX_TRACKS {
            return;
        }
        let id = loop {
            let id = TrackId(self.next_track);
            self.next_track = self.next_track.wrapping_add(1);
            if !self.tracks.contains_key(&id) {
                break id;
            }
        };
        let sid = info.sid.clone();
        self.by_sid.insert(sid.clone(), id);
        self.by_publisher.entry(publisher.clone()).or_default().push(id);
        self.tracks.insert(id, Box::new(Track::new(id, publisher.clone(), info.clone())));
        self.events.push_back(SubscriberEvent::TrackPublished { track: id, publisher, info });
        self.claim_handle(&sid, id, now);
    }

    fn change_sid(&mut self, id: TrackId, info: TrackInfo, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let sid = info.sid.clone();
        self.by_sid.remove(&track.info.sid);
        self.by_sid.insert(sid.clone(), id);
        track.info = info.clone();
        self.events.push_back(SubscriberEvent::TrackUpdated { track: id, info });
        if !track.streams.is_empty() {
            self.ask(id, now);
        }
        self.claim_handle(&sid, id, now);
    }

    fn remove_track(&mut self, id: TrackId) {
        let Some(mut track) = self.tracks.remove(&id) else { return };
        self.by_sid.remove(&track.info.sid);
        if let Some(siblings) = self.by_publisher.get_mut(&track.publisher) {
            siblings.retain(|sibling| *sibling != id);
            if siblings.is_empty() {
                self.by_publisher.remove(&track.publisher);
            }
        }
        track.drop_sealed(FrameDrop::Ended);
        if let Some(handle) = track.end_assignment() {
            self.clear_route(handle, id);
        }
        let error = match track.subscription {
            Subscription::Pending { renewed: false, .. } => Some(SubscribeError::Unpublished),
            _ => None,
        };
        for stream in std::mem::take(&mut track.streams) {
            self.end_stream(stream, error);
        }
        let stats = track.stats();
        let Track { publisher, info, .. } = *track;
        self.events.push_back(SubscriberEvent::TrackUnpublished {
            track: id,
            publisher,
            sid: info.sid,
            stats,
        });
    }

    // Subscriptions.

    /// Opens a stream. The first one of a track asks the SFU; [`SubscriberEvent::Subscribed`] or
    /// [`SubscriberEvent::StreamEnded`] follows. Frames that arrive from then on are for it.
    pub fn subscribe(
        &mut self,
        track: TrackId,
        stream: StreamId,
        options: SubscribeOptions,
        now: Instant,
    ) -> Result<(), SubscribeError> {
        if self.connection == Connection::Closed {
            return Err(SubscribeError::Disconnected);
        }
        if self.streams.contains_key(&stream) {
            return Err(SubscribeError::StreamExists);
        }
        let Some(state) = self.tracks.get_mut(&track) else { return Err(SubscribeError::Unpublished) };
        match (state.info.encryption, &self.encryption) {
            (EncryptionType::Gcm, Encryption::None) => return Err(SubscribeError::Encrypted),
            (EncryptionType::None, Encryption::Native(_) | Encryption::Custom)
                if !options.allow_unencrypted =>
            {
                return Err(SubscribeError::Unencrypted);
            }
            _ => {}
        }
        let fps_before = self.target_fps(track);
        let Some(state) = self.tracks.get_mut(&track) else { return Err(SubscribeError::Unpublished) };
        state.streams.push(stream);
        let subscription = state.subscription;
        self.streams.insert(stream, Stream::new(track, options));
        match subscription {
            Subscription::None => {
                let deadline = now + self.config.subscribe_timeout;
                self.set_subscription(track, Subscription::Pending { deadline, renewed: false });
                self.tell_subscription(track, true);
            }
            Subscription::Pending { .. } | Subscription::Active => {
                if self.target_fps(track) != fps_before {
                    self.tell_subscription(track, true);
                }
                if subscription == Subscription::Active {
                    self.tell_subscribed(track);
                }
            }
        }
        Ok(())
    }

    /// Closes a stream; the last one of a track ends its subscription. What it has not read is dropped. Returns its
    /// last counters; `None` if there is no such stream (any more).
    pub fn unsubscribe(&mut self, stream: StreamId) -> Option<StreamStats> {
        let id = self.streams.get(&stream)?.track;
        let fps_before = self.target_fps(id);
        let state = self.streams.remove(&stream)?;
        if state.listed {
            self.readable.retain(|other| *other != stream);
        }
        if let Some(track) = self.tracks.get_mut(&id)
            && let Some(index) = track.streams.iter().position(|other| *other == stream)
        {
            track.streams.swap_remove(index);
            if track.streams.is_empty() {
                track.forget_partial_frames();
                if track.subscription != Subscription::None {
                    track.subscription = Subscription::None;
                    self.tell_subscription(id, false);
                }
            } else if self.target_fps(id) != fps_before {
                self.tell_subscription(id, true);
            }
        }
        Some(state.close())
    }

    /// How packets of a track become frames; from the next packet on. Does nothing for a track that is gone.
    pub fn set_pipeline_options(&mut self, track: TrackId, options: DepacketizerOptions) {
        if let Some(track) = self.tracks.get_mut(&track) {
            track.pipeline = options;
            if let Some(assignment) = &mut track.assignment {
                assignment.depacketizer.set_options(options);
            }
        }
    }

    /// The frames a second that a track's streams want together; 0: all.
    fn target_fps(&self, track: TrackId) -> u32 {
        let Some(track) = self.tracks.get(&track) else { return 0 };
        let wanted = track.streams.iter().filter_map(|stream| self.streams.get(stream));
        let rates = wanted.map(|stream| stream.options.target_fps).collect::<Vec<_>>();
        if rates.contains(&0) { 0 } else { rates.into_iter().max().unwrap_or(0) }
    }

    fn tell_subscription(&mut self, track: TrackId, subscribe: bool) {
        // When the connection is back, every subscription is told again.
        if self.connection != Connection::Up {
            return;
        }
        let target_fps = self.target_fps(track);
        if let Some(track) = self.tracks.get(&track) {
            let sid = track.info.sid.clone();
            self.events.push_back(SubscriberEvent::UpdateSubscription { sid, subscribe, target_fps });
        }
    }

    fn set_subscription(&mut self, track: TrackId, subscription: Subscription) {
        if let Subscription::Pending { deadline, .. } = subscription {
            self.expect_by(deadline);
        }
        if let Some(track) = self.tracks.get_mut(&track) {
            track.subscription = subscription;
        }
    }

    /// Asks the SFU once more for a track that has streams.
    fn ask(&mut self, id: TrackId, now: Instant) {
        self.await_answer(id, now);
        self.tell_subscription(id, true);
    }

    /// The SFU has the whole time for its answer, from now on.
    fn await_answer(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.get(&id) else { return };
        let renewed = !matches!(track.subscription, Subscription::Pending { renewed: false, .. });
        let deadline = now + self.config.subscribe_timeout;
        self.set_subscription(id, Subscription::Pending { deadline, renewed });
    }

    /// The SFU's whole table of handles, as pairs of handle and SID. Handles that it no longer names go on routing
    /// until their track gets another one: packets that left before the table did are still worth having.
    ///
    /// A track that is read and that the table no longer names is asked for again if no later table names it in time:
    /// the SFU may have missed that we subscribed again just after unsubscribing.
    pub fn handle_subscriber_handles(&mut self, table: Vec<(Handle, TrackSid)>, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.unclaimed.clear();
        for track in self.tracks.values_mut() {
            if let Some(assignment) = &mut track.assignment {
                assignment.named = false;
            }
        }
        for (handle, sid) in table {
            match self.by_sid.get(&sid) {
                Some(&id) => self.assign(handle, id),
                None => {
                    // Whoever had the handle: from now on its packets belong to the track that is not announced yet.
                    self.set_route(handle, Route::Unknown);
                    self.unclaimed.insert(sid, handle);
                }
            }
        }
        for id in self.subscribed_tracks() {
            let Some(track) = self.tracks.get(&id) else { continue };
            let named = track.assignment.as_ref().is_some_and(|assignment| assignment.named);
            if track.subscription == Subscription::Active && !named {
                self.await_answer(id, now);
            }
        }
        self.replay_early(now);
    }

    /// The table came before the track was announced.
    fn claim_handle(&mut self, sid: &TrackSid, id: TrackId, now: Instant) {
        if let Some(handle) = self.unclaimed.remove(sid) {
            self.assign(handle, id);
            self.replay_early(now);
        }
    }

    fn assign(&mut self, handle: Handle, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let before = track.assignment.as_ref().map(|assignment| assignment.handle);
        track.assign(handle);
        if let Some(before) = before.filter(|before| *before != handle) {
            self.clear_route(before, id);
        }
        self.set_route(handle, Route::Track(id));
        self.activate(id);
    }

    /// The SFU has answered.
    fn activate(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if matches!(track.subscription, Subscription::Pending { .. }) {
            track.subscription = Subscription::Active;
            self.tell_subscribed(id);
        }
    }

    /// Tells each stream of a track once that frames can come.
    fn tell_subscribed(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        for &stream in &track.streams {
            if let Some(state) = self.streams.get_mut(&stream)
                && !std::mem::replace(&mut state.subscribed, true)
            {
                self.events.push_back(SubscriberEvent::Subscribed { stream });
            }
        }
    }

    /// Packets under `handle` go another way; the track that they went to has no handle any more.
    fn set_route(&mut self, handle: Handle, route: Route) {
        let index = usize::from(handle.get());
        if self.routes.len() <= index {
            self.routes.resize(index + 1, Route::Unknown);
        }
        let Some(place) = self.routes.get_mut(index) else { return };
        let before = std::mem::replace(place, route);
        if let Route::Track(other) = before
            && before != route
            && let Some(other) = self.tracks.get_mut(&other)
        {
            other.end_assignment();
        }
    }

    fn clear_route(&mut self, handle: Handle, track: TrackId) {
        if let Some(route) = self.routes.get_mut(usize::from(handle.get()))
            && *route == Route::Track(track)
        {
            *route = Route::Gone;
        }
    }

    fn route(&self, handle: Handle) -> Route {
        self.routes.get(usize::from(handle.get())).copied().unwrap_or_default()
    }

    // Packets.

    /// The session that packets belong to now; see [`handle_packet`](Self::handle_packet).
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A packet from the data channel, with the epoch in which its channel was opened. The buffer is kept as it is
    /// until its frame is read.
    pub fn handle_packet(&mut self, packet: Bytes, epoch: Epoch, now: Instant) {
        self.packets.received += 1;
        self.packets.bytes_received += packet.len() as u64;
        if epoch != self.epoch || self.connection == Connection::Closed {
            return self.packets.dropped.count(PacketDrop::StaleEpoch);
        }
        self.accept(packet, now);
    }

    fn accept(&mut self, mut packet: Bytes, now: Instant) {
        let Ok((header, payload_at)) = Header::parse(&packet) else {
            return self.packets.dropped.count(PacketDrop::Malformed);
        };
        let id = match self.route(header.handle) {
            Route::Track(id) => id,
            Route::Gone => return self.packets.dropped.count(PacketDrop::UnknownHandle),
            Route::Unknown => {
                let dropped = self.early.push(header.handle, packet, now);
                self.packets.dropped.add(PacketDrop::UnknownHandle, dropped);
                if let Some(deadline) = self.early.poll_timeout() {
                    self.expect_by(deadline);
                }
                return;
            }
        };
        let Some(track) = self.tracks.get_mut(&id) else {
            return self.packets.dropped.count(PacketDrop::UnknownHandle);
        };
        if track.streams.is_empty() {
            return self.packets.dropped.count(PacketDrop::Unsubscribed);
        }
        let Some(assignment) = &mut track.assignment else {
            return self.packets.dropped.count(PacketDrop::UnknownHandle);
        };
        // Unsubscribing and subscribing again at once may leave the SFU's table as it was: then no new one comes.
        let answers = track.subscription != Subscription::Active
            && assignment.named
            && assignment.sid == track.info.sid;
        // Not a slice: that would share the buffer, and so allocate, only to let go of it again.
        packet.advance(payload_at);
        match assignment.depacketizer.handle_packet(&header, packet, now) {
            Outcome::Frame(frame) => {
                self.packets.accepted += 1;
                self.complete(id, frame, now, now);
            }
            Outcome::Pending => {
                self.packets.accepted += 1;
                if let Some(deadline) = assignment.depacketizer.poll_timeout() {
                    self.expect_by(deadline);
                }
            }
            Outcome::Dropped(reason) => self.packets.dropped.count(reason),
        }
        if answers {
            self.activate(id);
        }
    }

    fn replay_early(&mut self, now: Instant) {
        let expired = self.early.expire(now);
        self.packets.dropped.add(PacketDrop::UnknownHandle, expired);
        let routes = &self.routes;
        let known = |handle: Handle| matches!(routes.get(usize::from(handle.get())), Some(Route::Track(_)));
        for early in self.early.take_known(known) {
            self.accept(early.packet, now);
        }
    }

    // Frames.

    /// All packets of a frame are there: open it if it is sealed, and hand it to the streams.
    #[inline]
    fn complete(&mut self, id: TrackId, frame: AssembledFrame, completed_at: Instant, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(extension) = frame.extensions.e2ee else {
            if track.info.encryption == EncryptionType::Gcm {
                return self.drop_sealed_frame(
                    id,
                    FrameDrop::Unencrypted,
                    EncryptionErrorReason::Unencrypted,
                    0,
                    now,
                );
            }
            return self.deliver(id, frame, completed_at, now);
        };
        let keys = match &mut self.encryption {
            Encryption::Native(keys) => keys,
            Encryption::Custom => {
                return self.deliver(id, frame, completed_at, now);
            }
            // The SFU says that the track is plain, and its frames are not: never hand out ciphertext.
            Encryption::None => {
                return self.drop_sealed_frame(
                    id,
                    FrameDrop::NoKey,
                    EncryptionErrorReason::MissingKey,
                    extension.key_index,
                    now,
                );
            }
        };
        let (index, iv) = (extension.key_index, &extension.iv);
        let (drop, reason) = match keys.open(&track.publisher, index, iv, &frame.payload, now) {
            OpenOutcome::Opened(opened) => {
                let opened = AssembledFrame { payload: opened.into(), ..frame };
                return self.deliver(id, opened, completed_at, now);
            }
            OpenOutcome::Wait => {
                let pushed_out = track.sealed.push(frame, completed_at);
                track.dropped.add(FrameDrop::NoKey, pushed_out);
                if let Some(deadline) = track.sealed.poll_timeout() {
                    self.expect_by(deadline);
                }
                return;
            }
            OpenOutcome::NoKey => (FrameDrop::NoKey, EncryptionErrorReason::MissingKey),
            OpenOutcome::Failed => (FrameDrop::DecryptionFailed, EncryptionErrorReason::DecryptionFailed),
            OpenOutcome::InvalidKey => (FrameDrop::DecryptionFailed, EncryptionErrorReason::InvalidKey),
        };
        self.drop_sealed_frame(id, drop, reason, extension.key_index, now);
    }

    fn drop_sealed_frame(
        &mut self,
        id: TrackId,
        drop: FrameDrop,
        reason: EncryptionErrorReason,
        key_index: u8,
        now: Instant,
    ) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.dropped.count(drop);
        let event = self.errors.count(&track.publisher, reason, key_index, 1, now);
        self.events.extend(event);
    }

    #[inline]
    fn deliver(&mut self, id: TrackId, frame: AssembledFrame, completed_at: Instant, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.completed += 1;
        let sealed = match self.encryption {
            Encryption::Custom => frame.extensions.e2ee,
            Encryption::None | Encryption::Native(_) => None,
        };
        let frame = Frame {
            number: frame.number,
            timestamp: frame.timestamp,
            user_timestamp: frame.extensions.user_timestamp,
            sealed,
            payload: frame.payload,
            completed_at,
        };
        let Some((&last, others)) = track.streams.split_last() else { return };
        for &stream in others {
            buffer(&mut self.streams, &mut self.readable, stream, frame.clone(), now);
        }
        buffer(&mut self.streams, &mut self.readable, last, frame, now);
    }

    // Readers.

    /// The reader of a stream waits for frames. Answers whether there are some; if not,
    /// [`poll_readable`](Self::poll_readable) names the stream when there are. Holds until the first frame is read.
    pub fn request_frames(&mut self, stream: StreamId) -> bool {
        let Some(state) = self.streams.get_mut(&stream) else { return false };
        state.wanted = true;
        !state.is_empty()
    }

    /// Whether [`poll_readable`](Self::poll_readable) would name a stream.
    pub fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// The next stream that has frames and a reader that waits, each once; put it back with
    /// [`push_back_readable`](Self::push_back_readable) if it could not be read to the end.
    pub fn poll_readable(&mut self) -> Option<StreamId> {
        let stream = self.readable.pop_front()?;
        if let Some(state) = self.streams.get_mut(&stream) {
            state.listed = false;
        }
        Some(stream)
    }

    /// The stream's reader still waits for the frames that are left.
    pub fn push_back_readable(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.wanted = true;
            if !state.is_empty() && !state.listed {
                state.listed = true;
                self.readable.push_back(stream);
            }
        }
    }

    /// The length of the payload that [`read_frame`](Self::read_frame) would give, in bytes.
    pub fn next_frame_len(&mut self, stream: StreamId, now: Instant) -> Option<usize> {
        self.streams.get_mut(&stream)?.front_len(now)
    }

    /// Takes the oldest frame of a stream.
    pub fn read_frame(&mut self, stream: StreamId) -> Option<Frame> {
        let state = self.streams.get_mut(&stream)?;
        let frame = state.pop()?;
        state.wanted = false;
        Some(frame)
    }

    /// A frame that was read could not be decoded.
    pub fn count_decode_failure(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.count_decode_failure();
        }
    }

    /// A frame that was handed out sealed could not be opened by the application.
    pub fn count_open_failure(&mut self, stream: StreamId, key_index: u8, now: Instant) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        state.count_decode_failure();
        let Some(track) = self.tracks.get(&state.track) else { return };
        let reason = EncryptionErrorReason::DecryptionFailed;
        let event = self.errors.count(&track.publisher, reason, key_index, 1, now);
        self.events.extend(event);
    }

    fn end_stream(&mut self, stream: StreamId, error: Option<SubscribeError>) {
        if let Some(state) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut state.ended, true)
        {
            self.events.push_back(SubscriberEvent::StreamEnded { stream, error });
        }
    }

    // The connection.

    /// The transport is gone for now. Subscriptions stay and are told to the SFU again when it is back.
    pub fn handle_connection_lost(&mut self) {
        if self.connection == Connection::Up {
            self.connection = Connection::Lost;
        }
    }

    /// The transport is back in the same signalling session: handles go on meaning what they did, and what the SFU has
    /// not answered yet has the whole time for it.
    pub fn handle_resumed(&mut self, now: Instant) {
        if self.connection != Connection::Lost {
            return;
        }
        self.connection = Connection::Up;
        for id in self.subscribed_tracks() {
            if self.tracks.get(&id).is_some_and(|track| track.subscription != Subscription::Active) {
                self.await_answer(id, now);
            }
            self.tell_subscription(id, true);
        }
    }

    /// A new signalling session: the old handles mean nothing any more, and packets of older epochs are dropped.
    pub fn handle_reconnected(&mut self, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Up;
        self.epoch = Epoch(self.epoch.0.wrapping_add(1));
        self.routes.clear();
        self.unclaimed.clear();
        let dropped = self.early.clear();
        self.packets.dropped.add(PacketDrop::StaleEpoch, dropped);
        for track in self.tracks.values_mut() {
            track.end_assignment();
        }
        for id in self.subscribed_tracks() {
            self.ask(id, now);
        }
    }

    fn subscribed_tracks(&self) -> Vec<TrackId> {
        let mut tracks = self
            .tracks
            .values()
            .filter(|track| !track.streams.is_empty())
            .map(|track| track.id)
            .collect::<Vec<_>>();
        tracks.sort_unstable();
        tracks
    }

    /// Ends every stream with [`SubscribeError::Disconnected`], after the frames that are buffered. Idempotent.
    pub fn close(&mut self) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Closed;
        let dropped = self.early.clear();
        self.packets.dropped.add(PacketDrop::StaleEpoch, dropped);
        self.routes.clear();
        for track in self.tracks.values_mut() {
            track.drop_sealed(FrameDrop::Ended);
            track.end_assignment();
            track.subscription = Subscription::None;
        }
        let mut streams = self.streams.keys().copied().collect::<Vec<_>>();
        streams.sort_unstable();
        for stream in streams {
            self.end_stream(stream, Some(SubscribeError::Disconnected));
        }
    }

    // Keys.

    /// Sets the key with which a publisher's frames are opened, at an index of 0 to 15.
    pub fn set_key(
        &mut self,
        scope: KeyScope,
        index: u8,
        material: KeyMaterial,
    ) -> Result<DerivationId, E2eeError> {
        self.keys()?.set_key(scope, index, material)
    }

    /// Replaces a key by the one that follows it.
    pub fn ratchet_key(&mut self, scope: KeyScope, index: u8) -> Result<DerivationId, E2eeError> {
        self.keys()?.ratchet(scope, index)
    }

    fn keys(&mut self) -> Result<&mut OpeningKeys, E2eeError> {
        match &mut self.encryption {
            Encryption::Native(keys) => Ok(keys),
            Encryption::None | Encryption::Custom => Err(E2eeError::Disabled),
        }
    }

    /// A derivation to be run off the packet path, and handed back to [`handle_derived`](Self::handle_derived).
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        self.keys().ok()?.poll_derivation()
    }

    /// A derivation is done; frames that waited for it are tried again.
    pub fn handle_derived(&mut self, derived: Derived, now: Instant) -> Option<Completion> {
        let completion = self.keys().ok()?.handle_derived(derived, now);
        while let Some(scope) = self.keys().ok().and_then(OpeningKeys::poll_retry) {
            let waiting = match scope {
                KeyScope::Participant(identity) => {
                    self.by_publisher.get(&identity).cloned().unwrap_or_default()
                }
                KeyScope::Shared => self.subscribed_tracks(),
            };
            for id in waiting {
                let Some(track) = self.tracks.get_mut(&id) else { continue };
                for sealed in track.sealed.take() {
                    self.complete(id, sealed.frame, sealed.completed_at, now);
                }
            }
        }
        completion
    }

    // Polling.

    /// The next event; poll until `None` after each input.
    pub fn poll_event(&mut self) -> Option<SubscriberEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. It may be early: nothing happens then.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.earliest_deadline
    }

    fn expect_by(&mut self, deadline: Instant) {
        self.earliest_deadline = Some(self.earliest_deadline.map_or(deadline, |other| other.min(deadline)));
    }

    /// Gives up what has taken too long: answers of the SFU, partial frames, early packets, frames without a key.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.earliest_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.earliest_deadline = None;
        let expired = self.early.expire(now);
        self.packets.dropped.add(PacketDrop::UnknownHandle, expired);
        let mut next = self.early.poll_timeout();
        let mut late = Vec::new();
        for track in self.tracks.values_mut() {
            if let Some(assignment) = &mut track.assignment {
                assignment.depacketizer.handle_timeout(now);
                next = earlier(next, assignment.depacketizer.poll_timeout());
            }
            let (expired, key_index) = track.sealed.expire(now);
            if expired > 0 {
                track.dropped.add(FrameDrop::NoKey, expired);
                let reason = EncryptionErrorReason::MissingKey;
                self.events.extend(self.errors.count(&track.publisher, reason, key_index, expired, now));
            }
            next = earlier(next, track.sealed.poll_timeout());
            // Without a connection nobody could answer; when it is back, the time starts anew.
            if self.connection == Connection::Up
                && let Subscription::Pending { deadline, .. } = track.subscription
            {
                if deadline <= now {
                    late.push(track.id);
                } else {
                    next = earlier(next, Some(deadline));
                }
            }
        }
        self.earliest_deadline = next;
        late.sort_unstable();
        for id in late {
            self.give_up(id, now);
        }
    }

    fn give_up(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if matches!(track.subscription, Subscription::Pending { renewed: true, .. }) {
            return self.ask(id, now);
        }
        track.subscription = Subscription::None;
        let streams = std::mem::take(&mut track.streams);
        // So that a later try starts from nothing on both sides.
        self.tell_subscription(id, false);
        for stream in streams {
            self.end_stream(stream, Some(SubscribeError::Timeout));
        }
    }

    // Counters.

    /// Counters of all packets that arrived.
    pub fn packet_stats(&self) -> PacketStats {
        PacketStats { held: self.early.len() as u64, ..self.packets }
    }

    /// Counters of a track's frames; `None` if the track is gone.
    pub fn track_stats(&self, track: TrackId) -> Option<FrameStats> {
        self.tracks.get(&track).map(|track| track.stats())
    }

    /// Counters of a stream; `None` once it was closed.
    pub fn stream_stats(&self, stream: StreamId) -> Option<StreamStats> {
        self.streams.get(&stream).map(Stream::stats)
    }
}

#[inline]
fn buffer(
    streams: &mut IntMap<StreamId, Stream>,
    readable: &mut VecDeque<StreamId>,
    id: StreamId,
    frame: Frame,
    now: Instant,
) {
    let Some(stream) = streams.get_mut(&id) else { return };
    stream.push(frame, now);
    if stream.wanted && !stream.listed {
        stream.listed = true;
        readable.push_back(id);
    }
}

fn earlier(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}
