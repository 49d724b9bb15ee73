//! Messages that wait to be sent: a queue for each stream, and turns between the streams, a message at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How hard a message is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Until it arrives.
    None,
    /// So many retransmissions of each chunk.
    Retransmissions(u32),
    /// For so long, from when the association first saw the message.
    Lifetime(Duration),
}

/// A message that waits, or the rest of one.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) limit: Limit,
    /// Of a number of retransmissions: until when a chunk is sent once more than that.
    pub(crate) repair: Option<Instant>,
    /// When it was first seen with a clock at hand; writing has none.
    pub(crate) seen: Option<Instant>,
    pub(crate) payload: Bytes,
    /// Bytes of it that have become chunks.
    pub(crate) taken: usize,
    /// Its own number, which its chunks carry: what belongs together is given up together.
    pub(crate) id: u64,
}

impl Message {
    /// Whether it is one that has to arrive, and none of it has become a chunk.
    fn must_wait(&self) -> bool {
        self.limit == Limit::None && self.taken == 0
    }

    /// Whether its time is over.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        match (self.limit, self.seen) {
            (Limit::Lifetime(lifetime), Some(seen)) => now.saturating_duration_since(seen) >= lifetime,
            _ => false,
        }
    }
}

/// The queues.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// One for each stream that ever waited, by its place in `turns`; few, since data channels are.
    queues: Vec<(u16, VecDeque<Message>)>,
    /// Places of the queues that are not empty, the next one first.
    turns: VecDeque<usize>,
    /// A message of which a part has become chunks: its rest comes first, since TSNs of a message must follow one
    /// another.
    current: Option<Message>,
    /// Places of the queues with messages that no clock has seen, each once for each such message.
    unseen: Vec<usize>,
}

impl Pending {
    pub(crate) fn push(&mut self, message: Message) {
        let timed = matches!(message.limit, Limit::Lifetime(_));
        let stream = message.stream;
        let place = self.queues.iter().position(|(id, _)| *id == stream).unwrap_or_else(|| {
            self.queues.push((stream, VecDeque::new()));
            self.queues.len() - 1
        });
        let Some((_, queue)) = self.queues.get_mut(place) else { return };
        if queue.is_empty() {
            self.turns.push_back(place);
        }
        queue.push_back(message);
        if timed {
            self.unseen.push(place);
        }
    }

    /// The lifetimes of what was written since the last call begin now: writing has no clock.
    pub(crate) fn see(&mut self, now: Instant) {
        for place in self.unseen.drain(..) {
            let Some((_, queue)) = self.queues.get_mut(place) else { continue };
            for message in queue.iter_mut().rev() {
                if message.seen.is_some() {
                    break;
                }
                message.seen = Some(now);
            }
        }
    }

    /// The message whose turn it is; without `reliable` one that may be lost, unless one of the others has begun.
    pub(crate) fn next(&mut self, reliable: bool) -> Option<&mut Message> {
        if let Some(message) = self.current.take_if(|message| !reliable && message.must_wait()) {
            self.put_back(message);
        }
        for _ in 0..self.turns.len() {
            if self.current.is_some() {
                break;
            }
            let place = self.turns.pop_front()?;
            let (_, queue) = self.queues.get_mut(place)?;
            if reliable || !queue.front().is_some_and(Message::must_wait) {
                self.current = queue.pop_front();
            }
            if !queue.is_empty() {
                self.turns.push_back(place);
            }
        }
        self.current.as_mut()
    }

    fn put_back(&mut self, message: Message) {
        let Some(place) = self.queues.iter().position(|(id, _)| *id == message.stream) else { return };
        let Some((_, queue)) = self.queues.get_mut(place) else { return };
        if queue.is_empty() {
            self.turns.push_back(place);
        }
        queue.push_front(message);
    }

    /// So many bytes of the current message have become a chunk.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let Some(message) = &mut self.current else { return };
        message.taken += bytes;
        if message.taken >= message.payload.len() {
            self.current = None;
        }
    }

    /// Takes the current message away, with what has not become chunks.
    pub(crate) fn give_up_current(&mut self) -> Option<Message> {
        self.current.take()
    }

    /// The message of which a part has become chunks already.
    pub(crate) fn begun(&self) -> Option<&Message> {
        self.current.as_ref().filter(|message| message.taken > 0)
    }

    /// Whether a stream has something that waits.
    pub(crate) fn has(&self, stream: u16) -> bool {
        self.current.as_ref().is_some_and(|message| message.stream == stream)
            || self.queues.iter().any(|(id, queue)| *id == stream && !queue.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none() && self.turns.is_empty()
    }
}
