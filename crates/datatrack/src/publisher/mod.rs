//! The publishing side: publications, their queues, and outgoing packets.
//!
//! A [`Publisher`] belongs to one participant. It assigns a handle to each track and sends requests to the SFU as
//! events. It packetizes and seals frames when they are pushed. It returns packets one by one. The tracks that have
//! packets take turns, so that a large frame on one track does not delay small frames on others.

mod connection;
mod error;
mod event;
mod frames;
mod keys;
mod messages;
mod options;
mod publications;
mod queue;
mod spent;
mod track;
mod transmit;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

pub use error::{PublishError, PublishRejection, PushFrameError};
pub use event::{PublishRequest, PublisherEvent, UnpublishedBy};
pub use messages::SealedMessage;
pub use options::{PublishOptions, PublisherConfig, QueueOptions, SessionEncryption, WhenFull};
pub use track::LastFrame;
pub use transmit::{TakenFrame, Transmit};

use crate::e2ee::{FrameSealer, SealingKeys};
use crate::packet::Handle;
use crate::stats::SendStats;
use crate::time::Instant;
use queue::BufferPool;
use spent::SpentHandles;
use track::Track;

/// Longest name of a track, in bytes (the server's limit).
pub const MAX_NAME_LEN: usize = 256;

/// One participant's publications. See the [module](self).
pub struct Publisher {
    config: PublisherConfig,
    encryption: Encryption,
    connection: Connection,
    /// Whether frames and publications are no longer accepted. See [`finish`](Self::finish).
    finishing: bool,
    /// The publication of handle `index + 1`. An ended track leaves its counters here until its handle is used again.
    slots: Vec<Slot>,
    spent: SpentHandles,
    /// Names of the publications that have not ended.
    names: HashSet<Arc<str>>,
    /// Tracks that this side ended and whose end the SFU has not confirmed. When the connection is resumed, the SFU is
    /// told again.
    unsettled: BTreeSet<Handle>,
    /// Tracks with packets. The track whose turn it is comes first.
    turns: VecDeque<Handle>,
    events: VecDeque<PublisherEvent>,
    pool: BufferPool,
    scratch: Vec<u8>,
    message_sealer: FrameSealer,
    /// No deadline is earlier than this. It may belong to a request that was answered. It is exact only after a
    /// timeout.
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
            finishing: false,
            slots: Vec::new(),
            spent: SpentHandles::default(),
            names: HashSet::new(),
            unsettled: BTreeSet::new(),
            turns: VecDeque::new(),
            events: VecDeque::new(),
            pool: BufferPool::default(),
            scratch: Vec::new(),
            message_sealer: FrameSealer::new(),
            earliest_deadline: None,
        }
    }

    // Polling.

    /// The next event; poll until `None` after each input.
    pub fn poll_event(&mut self) -> Option<PublisherEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. The time may be too early; then nothing happens. There is
    /// no deadline while the connection is lost: the SFU cannot answer then, and pending requests stay pending.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.connection {
            Connection::Up => self.earliest_deadline,
            Connection::Lost | Connection::Closed => None,
        }
    }

    fn expect_by(&mut self, deadline: Instant) {
        self.earliest_deadline = Some(self.earliest_deadline.map_or(deadline, |other| other.min(deadline)));
    }

    /// Ends requests that the SFU has not answered in time.
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
            // The SFU may have taken the track, and its answer was lost. Without this request the name would stay
            // taken.
            self.request_unpublish(handle);
        }
        self.earliest_deadline = self.active().filter_map(Track::deadline).min();
    }

    /// Counters of a track. They remain after the track ended, until its handle is used again. `None` for a handle that
    /// was never assigned.
    pub fn track_stats(&self, handle: Handle) -> Option<SendStats> {
        Some(match self.slots.get(slot_index(handle))? {
            Slot::Active(track) => track.stats(),
            Slot::Ended(stats) => **stats,
        })
    }

    /// What tells the last frame that was accepted from the others. `None` if the track has ended or no frame was
    /// pushed.
    pub fn last_frame(&self, handle: Handle) -> Option<LastFrame> {
        self.track(handle)?.last_frame()
    }

    /// Handles of the publications that have not ended.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.active().map(|track| track.handle)
    }

    // Internals.

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
}

fn slot_index(handle: Handle) -> usize {
    usize::from(handle.get()) - 1
}
