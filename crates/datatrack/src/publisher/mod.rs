//! The publishing side: publications, their queues, and the packets that leave.
//!
//! A [`Publisher`] is one participant's. It hands out a handle for each track, asks the SFU through events, packetizes
//! and seals frames as they are pushed, and lends out packets one by one, in turn over all tracks that have some, so
//! that a large frame on one track does not hold up small ones on others.

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
    /// By handle − 1. An ended track leaves its counters behind, until its handle is used again.
    slots: Vec<Slot>,
    spent: SpentHandles,
    /// Names of the publications that are not over.
    names: HashSet<Arc<str>>,
    /// Ended by us, and the SFU has not said that it knows: after a resumption it is told again.
    unsettled: BTreeSet<Handle>,
    /// Tracks with packets, the one whose turn it is in front.
    turns: VecDeque<Handle>,
    events: VecDeque<PublisherEvent>,
    pool: BufferPool,
    scratch: Vec<u8>,
    message_sealer: FrameSealer,
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
            // It may have taken the track, and only its answer is lost: then the name would never be free again.
            self.request_unpublish(handle);
        }
        self.earliest_deadline = self.active().filter_map(Track::deadline).min();
    }

    /// Counters of a track, also of one that is over, until its handle is used again; `None` for a handle that was never
    /// given out.
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
}

fn slot_index(handle: Handle) -> usize {
    usize::from(handle.get()) - 1
}
