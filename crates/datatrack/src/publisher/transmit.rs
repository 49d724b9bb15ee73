//! Packets on their way out, one of each track in turn.

use super::track::TrackState;
use super::{Connection, Publisher, Slot, slot_index};
use crate::packet::Handle;
use crate::time::Instant;

/// A packet that is ready to leave.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// The track it belongs to.
    pub handle: Handle,
    /// Header and payload, at most [`MTU`](crate::packet::MTU) bytes.
    pub packet: &'a [u8],
}

impl Publisher {
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

    pub(super) fn list(&mut self, handle: Handle) {
        if let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle))
            && !track.listed
            && !track.queue.is_empty()
        {
            track.listed = true;
            self.turns.push_back(handle);
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
}
