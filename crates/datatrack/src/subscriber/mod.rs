//! The subscribing side: remote tracks, subscriptions, and the path from packets to readers.
//!
//! A [`Subscriber`] belongs to one participant. It keeps the list of remote tracks and subscribes to those that have a
//! reader. It routes packets by the handles that the SFU assigns. It fills a bounded buffer for each reader. A track
//! has any number of readers (streams), which share one subscription.

mod connection;
mod early;
mod encryption_errors;
mod error;
mod event;
mod frames;
mod keys;
mod latest;
mod options;
mod publications;
mod routing;
mod stream;
mod subscriptions;
mod track;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use nohash_hasher::IntMap;

pub use error::SubscribeError;
pub use event::{EncryptionErrorReason, SubscriberEvent};
pub use options::{BufferPolicy, SubscribeOptions, SubscriberConfig};
pub use stream::Frame;

use crate::e2ee::OpeningKeys;
use crate::info::TrackSid;
use crate::packet::Handle;
use crate::publisher::SessionEncryption;
use crate::stats::{FrameDrop, FrameStats, PacketDrop, PacketStats, StreamStats};
use crate::time::Instant;
use early::EarlyPackets;
use encryption_errors::EncryptionErrors;
use routing::Route;
use stream::Stream;
use track::{Permission, Track, Unanswered};

/// Most tracks that are kept. Further tracks that the SFU announces are ignored.
pub const MAX_TRACKS: usize = 65_536;

/// The subscriber's number for a remote track. It stays the same when the SID changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

/// The caller's number for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl nohash_hasher::IsEnabled for TrackId {}
impl nohash_hasher::IsEnabled for StreamId {}

/// The server session that a packet belongs to. The server assigns handles afresh in each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch(pub u32);

/// One participant's remote tracks and subscriptions. See the [module](self).
pub struct Subscriber {
    config: SubscriberConfig,
    encryption: Encryption,
    connection: Connection,
    /// Whether this participant may subscribe. `true` until the SFU says otherwise.
    allowed: bool,
    epoch: Epoch,
    tracks: IntMap<TrackId, Box<Track>>,
    next_track: u32,
    by_sid: HashMap<TrackSid, TrackId>,
    by_publisher: HashMap<Arc<str>, Vec<TrackId>>,
    streams: IntMap<StreamId, Stream>,
    /// Indexed by handle: where its packets belong.
    routes: Vec<Route>,
    /// Handles of the last table whose tracks were not known yet.
    unclaimed: HashMap<TrackSid, Handle>,
    early: EarlyPackets,
    /// Streams with frames and a waiting reader. The stream whose turn it is comes first.
    readable: VecDeque<StreamId>,
    packets: PacketStats,
    errors: EncryptionErrors,
    events: VecDeque<SubscriberEvent>,
    /// No deadline is earlier than this. It may belong to something that has ended. It is exact only after a timeout.
    earliest_deadline: Option<Instant>,
}

enum Encryption {
    None,
    Native(Box<OpeningKeys>),
    Custom,
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
            allowed: true,
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

    // Polling.

    /// The next event; poll until `None` after each input.
    pub fn poll_event(&mut self) -> Option<SubscriberEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. The time may be too early; then nothing happens.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.earliest_deadline
    }

    fn expect_by(&mut self, deadline: Instant) {
        self.earliest_deadline = Some(self.earliest_deadline.map_or(deadline, |other| other.min(deadline)));
    }

    /// Repeats requests that the SFU has not answered. Gives up what has taken too long: unanswered requests, partial
    /// frames, early packets, and frames without a key.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.earliest_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.earliest_deadline = None;
        let expired = self.early.expire(now);
        self.packets.dropped.add(PacketDrop::UnknownHandle, expired);
        let mut next = self.early.poll_timeout();
        let (mut unanswered, mut often) = (Vec::new(), false);
        let (mut late, mut denied) = (Vec::new(), Vec::new());
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
            // While the connection is lost, the SFU cannot answer. The time starts again when it is back.
            if self.connection != Connection::Up {
                continue;
            }
            if let Permission::Denied { until } = track.permission {
                if until <= now {
                    denied.push(track.id);
                    continue;
                }
                next = earlier(next, Some(until));
            }
            match track.subscription.handle_timeout(self.config.subscribe_timeout, now) {
                Some(Unanswered::Wait(due)) => next = earlier(next, Some(due)),
                Some(Unanswered::Ask(due)) => {
                    next = earlier(next, Some(due));
                    unanswered.push(track.id);
                }
                Some(Unanswered::AskOften(due)) => {
                    next = earlier(next, Some(due));
                    unanswered.push(track.id);
                    often = true;
                }
                Some(Unanswered::GiveUp) => late.push(track.id),
                None => {}
            }
        }
        self.earliest_deadline = next;
        unanswered.sort_unstable();
        // The SFU answers no request for a track that it forwards. It tells all handles when a subscription ends.
        if let Some(first) = unanswered.first()
            && often
            && self.answers_were_lost()
        {
            self.tell_subscription(*first, false);
        }
        for id in unanswered {
            self.tell_subscription(id, true);
        }
        denied.sort_unstable();
        for id in denied {
            self.deny(id);
        }
        late.sort_unstable();
        for id in late {
            self.give_up(id, now);
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

fn earlier(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}
