use std::collections::VecDeque;

use bytes::Bytes;

use super::SendError;
use crate::peer::{ChannelKind, MAX_MESSAGE_SIZE};

/// Bytes of messages that may wait outside of a channel.
const MAX_WAITING: usize = 4 << 20;

/// Messages that wait for `_reliable` and `_lossy`, and the bytes that each channel holds. The task and the callers
/// share it.
#[derive(Default)]
pub(super) struct Outgoing {
    reliable: Queue,
    lossy: Queue,
    data_track: Queue,
    /// Bytes that `_reliable` may hold, as of the task's last turn.
    reliable_limit: usize,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    waiting: usize,
    /// Bytes that the channel holds, as of the task's last turn.
    in_channel: usize,
    watched: Option<usize>,
}

impl Outgoing {
    pub(super) fn push(&mut self, channel: ChannelKind, message: Bytes) -> Result<(), SendError> {
        if channel == ChannelKind::DataTrack {
            return Err(SendError::WrongChannel);
        }
        if message.len() > MAX_MESSAGE_SIZE {
            return Err(SendError::TooLarge);
        }
        if self.closed {
            return Err(SendError::Closed);
        }
        let queue = self.queue(channel);
        if queue.waiting > 0 && queue.waiting + message.len() > MAX_WAITING {
            return Err(SendError::BufferFull);
        }
        queue.waiting += message.len();
        queue.messages.push_back(message);
        Ok(())
    }

    /// The next message. It stays in the queue until [`pop`](Self::pop).
    pub(super) fn front(&mut self, channel: ChannelKind) -> Option<Bytes> {
        self.queue(channel).messages.front().cloned()
    }

    /// The channel took the next message. The buffered total stays the same: a caller that reads it to see what was
    /// acknowledged must not be misled.
    pub(super) fn pop(&mut self, channel: ChannelKind) {
        let queue = self.queue(channel);
        if let Some(message) = queue.messages.pop_front() {
            queue.waiting -= message.len();
            queue.in_channel += message.len();
        }
    }

    /// Whether no message waits outside of its channel.
    pub(super) fn is_empty(&self) -> bool {
        self.reliable.messages.is_empty() && self.lossy.messages.is_empty()
    }

    pub(super) fn buffered(&mut self, channel: ChannelKind) -> usize {
        let queue = self.queue(channel);
        queue.waiting + queue.in_channel
    }

    pub(super) const fn reliable_limit(&self) -> usize {
        self.reliable_limit
    }

    pub(super) const fn set_reliable_limit(&mut self, bytes: usize) {
        self.reliable_limit = bytes;
    }

    pub(super) fn watch(&mut self, channel: ChannelKind, bytes: usize) {
        self.queue(channel).watched = Some(bytes);
    }

    /// Whether a caller waits until the buffered bytes are acknowledged.
    pub(super) const fn is_watched(&mut self, channel: ChannelKind) -> bool {
        self.queue(channel).watched.is_some()
    }

    /// Notes the bytes that a channel holds. Returns whether a watched level was reached.
    pub(super) fn set_in_channel(&mut self, channel: ChannelKind, bytes: usize) -> bool {
        let queue = self.queue(channel);
        queue.in_channel = bytes;
        let reached = queue.watched.is_some_and(|level| queue.waiting + bytes <= level);
        if reached {
            queue.watched = None;
        }
        reached
    }

    pub(super) fn close(&mut self) {
        *self = Self { closed: true, ..Self::default() };
    }

    const fn queue(&mut self, channel: ChannelKind) -> &mut Queue {
        match channel {
            ChannelKind::Reliable => &mut self.reliable,
            ChannelKind::Lossy => &mut self.lossy,
            ChannelKind::DataTrack => &mut self.data_track,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_wait_in_order_and_are_bounded() {
        let mut outgoing = Outgoing::default();
        let large = Bytes::from(vec![1; MAX_MESSAGE_SIZE]);
        while outgoing.push(ChannelKind::Reliable, large.clone()).is_ok() {}
        assert!(outgoing.buffered(ChannelKind::Reliable) <= MAX_WAITING);
        assert_eq!(outgoing.push(ChannelKind::Reliable, large.clone()), Err(SendError::BufferFull));
        outgoing.pop(ChannelKind::Reliable);
        outgoing.push(ChannelKind::Reliable, large).unwrap();
    }

    #[test]
    fn what_the_channel_took_counts_until_it_is_acknowledged() {
        let mut outgoing = Outgoing::default();
        outgoing.push(ChannelKind::Reliable, Bytes::from_static(b"12345")).unwrap();
        outgoing.pop(ChannelKind::Reliable);
        assert_eq!(outgoing.buffered(ChannelKind::Reliable), 5);
        outgoing.set_in_channel(ChannelKind::Reliable, 0);
        assert_eq!(outgoing.buffered(ChannelKind::Reliable), 0);
    }

    #[test]
    fn what_no_channel_takes_is_refused() {
        let mut outgoing = Outgoing::default();
        let too_large = Bytes::from(vec![1; MAX_MESSAGE_SIZE + 1]);
        assert_eq!(outgoing.push(ChannelKind::Lossy, too_large), Err(SendError::TooLarge));
        assert_eq!(outgoing.push(ChannelKind::DataTrack, Bytes::new()), Err(SendError::WrongChannel));
        outgoing.close();
        assert_eq!(outgoing.push(ChannelKind::Lossy, Bytes::new()), Err(SendError::Closed));
    }

    #[test]
    fn a_watched_level_is_told_once() {
        let mut outgoing = Outgoing::default();
        outgoing.watch(ChannelKind::Reliable, 10);
        assert!(!outgoing.set_in_channel(ChannelKind::Reliable, 11));
        assert!(outgoing.set_in_channel(ChannelKind::Reliable, 10));
        assert!(!outgoing.set_in_channel(ChannelKind::Reliable, 0));
    }
}
