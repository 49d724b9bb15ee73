//! A connection's events, until its owner reads them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::ConnectionEvent;
use crate::peer::ChannelKind;

/// Unread messages, in bytes of memory, above which messages of `_lossy` are dropped.
const MAX_UNREAD_LOSSY: usize = 4 << 20;

/// Unread messages, in bytes of memory, above which the connection ends: its owner does not read, and a message of
/// `_reliable` cannot be dropped.
const MAX_UNREAD: usize = 64 << 20;

/// Memory that a message costs besides its bytes. It bounds the number of empty messages, too.
const MESSAGE_OVERHEAD: usize = 128;

/// Events in their order, and messages in theirs.
#[derive(Default)]
pub(super) struct Events {
    queue: VecDeque<ConnectionEvent>,
    /// Messages are kept apart, so that an urgent event does not wait behind them.
    messages: VecDeque<(ChannelKind, Bytes)>,
    /// Memory of the messages, in bytes.
    bytes: usize,
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Queued,
    /// It was dropped: too much is unread, and it came on `_lossy`.
    Dropped,
    /// It cannot be queued: far too much is unread. The connection has to end.
    Impossible,
}

impl Events {
    pub(super) fn push(&mut self, event: ConnectionEvent) {
        self.queue.push_back(event);
    }

    pub(super) fn push_message(&mut self, channel: ChannelKind, data: Vec<u8>) -> Delivery {
        if channel == ChannelKind::Lossy && self.bytes > MAX_UNREAD_LOSSY {
            return Delivery::Dropped;
        }
        if self.bytes > MAX_UNREAD {
            return Delivery::Impossible;
        }
        self.bytes += data.len() + MESSAGE_OVERHEAD;
        // An allocation of exactly the message's size: the one that it came in may be larger.
        self.messages.push_back((channel, data.into_boxed_slice().into()));
        Delivery::Queued
    }

    pub(super) fn pop(&mut self) -> Option<ConnectionEvent> {
        self.queue.pop_front()
    }

    pub(super) fn pop_message(&mut self) -> Option<(ChannelKind, Bytes)> {
        let (channel, data) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(data.len() + MESSAGE_OVERHEAD);
        Some((channel, data))
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes messages of `len` bytes until one is refused. Returns how many were taken, and the refusal.
    fn fill(events: &mut Events, channel: ChannelKind, len: usize) -> (usize, Delivery) {
        let mut taken = 0;
        loop {
            match events.push_message(channel, vec![0; len]) {
                Delivery::Queued => taken += 1,
                refused => return (taken, refused),
            }
        }
    }

    #[test]
    fn unread_messages_are_bounded_however_short_they_are() {
        for len in [0, 1, 1_000] {
            let mut events = Events::default();
            let cost = len + MESSAGE_OVERHEAD;
            let (lossy, refused) = fill(&mut events, ChannelKind::Lossy, len);
            assert_eq!((lossy, refused), (MAX_UNREAD_LOSSY / cost + 1, Delivery::Dropped));
            let (reliable, refused) = fill(&mut events, ChannelKind::Reliable, len);
            assert_eq!((lossy + reliable, refused), (MAX_UNREAD / cost + 1, Delivery::Impossible));
        }
    }

    #[test]
    fn what_was_read_makes_room() {
        let mut events = Events::default();
        let (taken, _) = fill(&mut events, ChannelKind::Lossy, 0);
        for _ in 0..taken {
            assert!(events.pop_message().is_some());
        }
        assert!(!events.has_messages());
        assert_eq!(fill(&mut events, ChannelKind::Lossy, 0).0, taken);
    }
}
