//! Outgoing packets: the tracks take turns, one packet each.

use super::track::TrackState;
use super::{Connection, Publisher, Slot, slot_index};
use crate::packet::Handle;
use crate::packetizer::FrameLayout;
use crate::time::Instant;

/// A packet that is ready to leave.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// The track it belongs to.
    pub handle: Handle,
    /// Header and payload, at most [`MTU`](crate::packet::MTU) bytes.
    pub packet: &'a [u8],
    /// When its frame is too old: a part of the packet that is lost is not sent again later than this.
    pub fresh_until: Instant,
}

/// A whole frame that is sent at once: its packets, one after the other.
#[derive(Debug)]
pub struct TakenFrame {
    /// The track it belongs to.
    pub handle: Handle,
    /// All packets.
    pub packets: Vec<u8>,
    /// The range of each packet.
    pub layout: FrameLayout,
}

impl Publisher {
    /// Whether [`peek_transmit`](Self::peek_transmit) may find a packet.
    pub fn has_packets(&self) -> bool {
        self.connection == Connection::Up && !self.turns.is_empty()
    }

    /// Whether [`peek_transmit`](Self::peek_transmit) needs the time. It does not if no newer frame is queued behind
    /// the frame whose turn it is, because such a frame is sent however old it is. Then any instant will do, and the
    /// caller need not read the clock.
    #[inline]
    pub fn transmit_needs_time(&self) -> bool {
        let next = self.turns.front().and_then(|&handle| self.track(handle));
        next.is_none_or(|track| track.queue.len() != 1 || !matches!(track.state, TrackState::Published(_)))
    }

    /// The packet to send next. It stays in the queue until [`advance_transmit`](Self::advance_transmit) reports that
    /// the transport took it. No other method may be called between the two.
    pub fn peek_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        let handle = self.next_to_send(now)?;
        let queue = &self.track(handle)?.queue;
        Some(Transmit { handle, packet: queue.peek()?, fresh_until: queue.fresh_until() })
    }

    /// The track whose turn it is. Tracks that have nothing to send are removed from the list first.
    fn next_to_send(&mut self, now: Instant) -> Option<Handle> {
        if self.connection != Connection::Up {
            return None;
        }
        loop {
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
                    return Some(handle);
                }
            }
            self.unlist_front();
        }
    }

    /// The transport took the packet that `peek_transmit` returned.
    pub fn advance_transmit(&mut self) {
        let Some(handle) = self.turns.pop_front() else { return };
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return };
        track.queue.advance(&mut track.stats, &mut self.pool);
        self.end_turn(handle);
    }

    /// Takes the next frame whole and counts it as sent, for a transport in this process that need not copy packets.
    /// Returns `None` if there is no frame, if a part of it has been sent, or if it has less than `min_len` bytes. Then
    /// the caller sends packet by packet, which is faster for small frames.
    pub fn take_frame(&mut self, min_len: usize, now: Instant) -> Option<TakenFrame> {
        let handle = self.next_to_send(now)?;
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return None };
        let frame = track.queue.take(min_len, &mut track.stats)?;
        self.turns.pop_front();
        self.end_turn(handle);
        Some(TakenFrame { handle, packets: frame.buffer, layout: frame.layout })
    }

    /// The track has sent a packet: it moves to the end of the list, or leaves it if it has no more packets.
    fn end_turn(&mut self, handle: Handle) {
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return };
        if track.queue.is_empty() {
            track.listed = false;
        } else {
            self.turns.push_back(handle);
        }
        if track.watch.is_some() {
            self.check_watch(handle);
        }
    }

    /// Copies the next packet to `target` and counts it as sent. Returns its length. `None` if there is no packet, or
    /// if `target` is too short for it.
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

    /// Removes the track whose turn it is from the list: it ended, it is empty, or it waits to be republished.
    fn unlist_front(&mut self) {
        if let Some(handle) = self.turns.pop_front()
            && let Some(track) = self.track_mut(handle)
        {
            track.listed = false;
        }
    }
}
