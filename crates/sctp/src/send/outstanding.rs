//! Chunks that have a TSN and are not acknowledged up to there: a ring by TSN, and a list by the time of sending.
//!
//! Each step costs the same whatever is in flight. The list's head is what was sent first, so loss by time looks at
//! the head only. Runs of acknowledged chunks are joined (union and find), so blocks that a SACK repeats are stepped
//! over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::pending::Limit;
use crate::serial::{before, distance};
use crate::wire::{DATA_HEADER, flag, padded};

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    InFlight,
    /// To be sent again.
    Lost,
    Acknowledged,
    /// Never sent again.
    Abandoned,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) payload: Bytes,
    pub(crate) message: u64,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) flags: u8,
    pub(crate) fate: Fate,
    pub(crate) transmissions: u32,
    pub(crate) sent: Instant,
    pub(crate) limit: Limit,
    /// Of a limit by time: when it may not be sent any more. Of a number of retransmissions: until when it is sent once
    /// more than that.
    pub(crate) expires: Option<Instant>,
    /// Bytes that had been delivered when it was sent, and when that was: its acknowledgement gives a rate.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    /// Neighbours in the list.
    earlier: Option<u32>,
    later: Option<u32>,
    /// Of an acknowledged chunk: one further on in its run, at least itself.
    run: u32,
}

impl Slot {
    /// Bytes that it takes of a window.
    pub(crate) fn size(&self) -> usize {
        DATA_HEADER + padded(self.payload.len())
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.limit == Limit::None
    }
}

#[derive(Debug)]
pub(crate) struct Outstanding {
    slots: VecDeque<Slot>,
    /// TSN of the first slot.
    first: u32,
    head: Option<u32>,
    tail: Option<u32>,
    in_flight: usize,
    in_flight_chunks: usize,
    /// Bytes in flight of messages that have to arrive.
    reliable: usize,
}

/// What a new chunk is made of.
pub(crate) struct NewChunk {
    pub(crate) payload: Bytes,
    pub(crate) message: u64,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) flags: u8,
    pub(crate) limit: Limit,
    pub(crate) expires: Option<Instant>,
    pub(crate) delivered: (u64, Instant),
}

impl Outstanding {
    pub(crate) fn new(first: u32) -> Self {
        Self {
            slots: VecDeque::new(),
            first,
            head: None,
            tail: None,
            in_flight: 0,
            in_flight_chunks: 0,
            reliable: 0,
        }
    }

    /// The TSN that the next new chunk gets.
    pub(crate) fn next(&self) -> u32 {
        self.first.wrapping_add(self.slots.len() as u32)
    }

    /// The TSN of the first chunk that is not acknowledged cumulatively.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn reliable_in_flight(&self) -> usize {
        self.reliable
    }

    pub(crate) fn chunks_in_flight(&self) -> usize {
        self.in_flight_chunks
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn get(&self, tsn: u32) -> Option<&Slot> {
        if before(tsn, self.first) {
            return None;
        }
        self.slots.get(distance(self.first, tsn))
    }

    fn get_mut(&mut self, tsn: u32) -> Option<&mut Slot> {
        if before(tsn, self.first) {
            return None;
        }
        self.slots.get_mut(distance(self.first, tsn))
    }

    /// Adds a chunk that is sent now.
    pub(crate) fn push(&mut self, chunk: NewChunk, now: Instant) -> u32 {
        let tsn = self.next();
        self.slots.push_back(Slot {
            payload: chunk.payload,
            message: chunk.message,
            stream: chunk.stream,
            ssn: chunk.ssn,
            ppid: chunk.ppid,
            flags: chunk.flags,
            fate: Fate::InFlight,
            transmissions: 1,
            sent: now,
            limit: chunk.limit,
            expires: chunk.expires,
            delivered: chunk.delivered.0,
            delivered_at: chunk.delivered.1,
            earlier: None,
            later: None,
            run: tsn,
        });
        self.link(tsn);
        tsn
    }

    /// A chunk is sent again now.
    pub(crate) fn resend(&mut self, tsn: u32, now: Instant, delivered: (u64, Instant)) {
        if self.get(tsn).is_some_and(|slot| slot.fate == Fate::InFlight) {
            self.unlink(tsn);
        }
        let Some(slot) = self.get_mut(tsn) else { return };
        slot.fate = Fate::InFlight;
        slot.transmissions += 1;
        slot.sent = now;
        (slot.delivered, slot.delivered_at) = delivered;
        self.link(tsn);
    }

    /// A chunk in flight, or one that waits to be sent again, has another fate. Returns its former one, where that was
    /// open.
    pub(crate) fn settle(&mut self, tsn: u32, fate: Fate) -> Option<Fate> {
        let former = self.get(tsn)?.fate;
        match former {
            Fate::InFlight => self.unlink(tsn),
            Fate::Lost => {}
            Fate::Acknowledged | Fate::Abandoned => return None,
        }
        self.get_mut(tsn)?.fate = fate;
        Some(former)
    }

    /// A chunk asks for its acknowledgement at once.
    pub(crate) fn mark_immediate(&mut self, tsn: u32) {
        if let Some(slot) = self.get_mut(tsn) {
            slot.flags |= flag::IMMEDIATE;
        }
    }

    /// A chunk that was given up has arrived after all: it joins the run of those that have.
    pub(crate) fn mark_arrived(&mut self, tsn: u32) {
        if let Some(slot) = self.get_mut(tsn)
            && slot.fate == Fate::Abandoned
        {
            slot.fate = Fate::Acknowledged;
        }
    }

    /// Takes the first chunk out; it is settled.
    pub(crate) fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.first = self.first.wrapping_add(1);
        Some(slot)
    }

    /// The chunk in flight that was sent first.
    pub(crate) fn sent_first(&self) -> Option<(u32, Instant)> {
        let tsn = self.head?;
        Some((tsn, self.get(tsn)?.sent))
    }

    /// The chunk in flight that was sent last.
    pub(crate) fn sent_last(&self) -> Option<(u32, Instant)> {
        let tsn = self.tail?;
        Some((tsn, self.get(tsn)?.sent))
    }

    /// The first chunk from `tsn` on that is not acknowledged; `next()` where there is none.
    pub(crate) fn unacknowledged_from(&mut self, tsn: u32) -> u32 {
        // The end of the run, and then a second pass that shortens the way for the next look.
        let mut end = tsn;
        while let Some(slot) = self.get(end) {
            if slot.fate != Fate::Acknowledged {
                break;
            }
            end = if slot.run == end { end.wrapping_add(1) } else { slot.run };
        }
        let mut at = tsn;
        while at != end {
            let Some(slot) = self.get_mut(at) else { break };
            let next = if slot.run == at { at.wrapping_add(1) } else { slot.run };
            slot.run = end;
            at = next;
        }
        end
    }

    fn link(&mut self, tsn: u32) {
        let tail = self.tail;
        let (mut size, mut reliable) = (0, false);
        if let Some(slot) = self.get_mut(tsn) {
            slot.earlier = tail;
            slot.later = None;
            (size, reliable) = (slot.size(), slot.is_reliable());
        }
        match tail.and_then(|tail| self.get_mut(tail)) {
            Some(last) => last.later = Some(tsn),
            None => self.head = Some(tsn),
        }
        self.tail = Some(tsn);
        self.in_flight += size;
        self.reliable += if reliable { size } else { 0 };
        self.in_flight_chunks += 1;
    }

    fn unlink(&mut self, tsn: u32) {
        let Some(slot) = self.get_mut(tsn) else { return };
        let (earlier, later, size) = (slot.earlier.take(), slot.later.take(), slot.size());
        let reliable = if slot.is_reliable() { size } else { 0 };
        match earlier.and_then(|earlier| self.get_mut(earlier)) {
            Some(slot) => slot.later = later,
            None => self.head = later,
        }
        match later.and_then(|later| self.get_mut(later)) {
            Some(slot) => slot.earlier = earlier,
            None => self.tail = earlier,
        }
        self.in_flight = self.in_flight.saturating_sub(size);
        self.reliable = self.reliable.saturating_sub(reliable);
        self.in_flight_chunks = self.in_flight_chunks.saturating_sub(1);
    }
}

/// The time by which a chunk must have arrived, for a limit that is one of time.
pub(crate) fn expiry(limit: Limit, seen: Option<Instant>) -> Option<Instant> {
    match (limit, seen) {
        (Limit::Lifetime(lifetime), Some(seen)) => seen.checked_add(lifetime),
        _ => None,
    }
}

/// Whether a chunk may be sent once more.
pub(crate) fn may_resend(slot: &Slot, now: Instant) -> bool {
    match slot.limit {
        Limit::None => true,
        Limit::Retransmissions(limit) => {
            let repairs = u32::from(slot.expires.is_some_and(|expires| now < expires));
            slot.transmissions <= limit.saturating_add(repairs)
        }
        Limit::Lifetime(_) => slot.expires.is_none_or(|expires| now < expires),
    }
}

/// Whether it is sent once more than the stream's setting says, if it is lost soon.
pub(crate) fn is_repairable(slot: &Slot) -> bool {
    matches!(slot.limit, Limit::Retransmissions(_)) && slot.expires.is_some()
}

/// Whether the chunk ends its message.
pub(crate) fn ends(slot: &Slot) -> bool {
    slot.flags & flag::END != 0
}

/// Time by which reordering is tolerated (RFC 8985, section 6.2).
pub(crate) fn reordering_window(least_rtt: Duration) -> Duration {
    least_rtt / 4
}
