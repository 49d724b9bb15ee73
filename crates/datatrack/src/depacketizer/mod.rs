//! From packets to frames.
//!
//! Packets may come in any order, more than once, or not at all. Sequence numbers are contiguous within a frame. So a
//! frame is complete when its start, its final packet and all packets between them have arrived, in any order. A frame
//! is delivered once: whole, or not at all.
//!
//! - **One packet**: such a frame is delivered at once. It takes no slot, evicts no frame and allocates nothing.
//! - **Several packets**: the first packet that arrives opens a *partial frame* if a slot is free. If all slots are
//!   taken, a newer frame evicts the oldest partial frame; a frame older than all of them is not opened. So a late
//!   packet never evicts a newer frame. "Newer" is serial arithmetic on 16 bits.
//! - **Given up**: a partial frame is given up when a newer frame needs its slot, when more newer frames than there are
//!   slots were opened since, when its time is over, or when its packets contradict each other.
//! - **Finished** frames, completed or given up, are remembered for 1,024 frame numbers. Their late packets are dropped
//!   and counted. A frame number outside of that window is a jump: the frame is delivered, and the window starts again
//!   there.

mod options;
mod partial;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;

use bytes::Bytes;

pub use options::{DepacketizerOptions, DepacketizerStats, MAX_PARTIAL_FRAMES};
use partial::{Insertion, Partial, Store};
use window::{Fate, WINDOW, Window};

use crate::frame::AssembledFrame;
use crate::packet::{Header, Marker};
use crate::stats::{FrameDrop, PacketDrop};
use crate::time::Instant;

/// What happened to a packet.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was added to a frame that still misses packets.
    Pending,
    /// It completed a frame.
    Frame(AssembledFrame),
    /// It was dropped. Its frame may have been dropped with it.
    Dropped(PacketDrop),
}

/// Reassembles the frames of one track, for one assignment of a handle.
///
/// A new assignment starts with a new depacketizer, because its numbers are unrelated to the old ones.
#[derive(Debug)]
pub struct Depacketizer {
    options: DepacketizerOptions,
    stats: DepacketizerStats,
    window: Window,
    /// Ordered by frame number. The oldest is in front.
    partials: VecDeque<Partial>,
    /// Only used with a single slot: then older frames are not delivered.
    newest_delivered: Option<u16>,
    spare: Option<Store>,
}

impl Depacketizer {
    /// A depacketizer without any state.
    pub fn new(options: DepacketizerOptions) -> Self {
        Self {
            options: options.in_range(),
            stats: DepacketizerStats::default(),
            window: Window::new(),
            partials: VecDeque::new(),
            newest_delivered: None,
            spare: None,
        }
    }

    /// Changes the options. With fewer slots, the oldest frames are evicted at once. The limit in packets applies to
    /// frames that are opened from now on; the other limits also apply to open frames.
    pub fn set_options(&mut self, options: DepacketizerOptions) {
        self.options = options.in_range();
        while self.partials.len() > self.options.max_partial_frames {
            self.give_up_oldest(FrameDrop::Incomplete);
        }
    }

    /// The options.
    pub const fn options(&self) -> &DepacketizerOptions {
        &self.options
    }

    /// The counters.
    #[inline]
    pub const fn stats(&self) -> &DepacketizerStats {
        &self.stats
    }

    /// How many received packets it holds.
    pub fn held_packets(&self) -> usize {
        self.partials.iter().map(Partial::packets).sum()
    }

    /// Memory of the packets that it holds, in bytes. Each payload counts with its own length and
    /// [`PIECE_OVERHEAD`](crate::PIECE_OVERHEAD). So the caller must not hand in a small part of a large buffer.
    pub fn held_bytes(&self) -> usize {
        self.partials.iter().map(Partial::kept_bytes).sum()
    }

    /// The latest time for [`Self::handle_timeout`]. `None` if no frame is open.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.partials.iter().map(|partial| partial.last_packet_at + self.options.partial_frame_timeout).min()
    }

    /// Gives up the frames whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let timeout = self.options.partial_frame_timeout;
        while let Some(index) =
            self.partials.iter().position(|partial| partial.last_packet_at + timeout <= now)
        {
            self.give_up(index, FrameDrop::TimedOut);
        }
    }

    /// Takes a packet whose header has been parsed. `payload` is the rest of the packet: a slice of the received
    /// buffer. The buffer is kept and never copied.
    ///
    /// Frames whose time is over at `now` are given up first, whether or not [`Self::handle_timeout`] was called.
    #[inline]
    pub fn handle_packet(&mut self, header: &Header, payload: Bytes, now: Instant) -> Outcome {
        self.stats.packets_received += 1;
        if !self.partials.is_empty() {
            self.handle_timeout(now);
        }
        // There are two matches instead of one on a common type: moving a frame costs more than the work on it.
        let reason = if header.marker == Marker::Single && self.partials.is_empty() {
            match self.handle_single(header, payload) {
                Ok(frame) => return Outcome::Frame(frame),
                Err(reason) => reason,
            }
        } else {
            match self.handle_beside_partials(header, payload, now) {
                Ok(Some(frame)) => return Outcome::Frame(frame),
                Ok(None) => return Outcome::Pending,
                Err(reason) => reason,
            }
        };
        self.stats.packets_dropped.count(reason);
        Outcome::Dropped(reason)
    }

    /// Gives up the open frames, because the assignment, the subscription or the connection has ended.
    pub fn close(&mut self) {
        while !self.partials.is_empty() {
            self.give_up_oldest(FrameDrop::Ended);
        }
        self.spare = None;
    }

    // Always inlined: the frame is built in place and not moved.
    #[inline(always)]
    fn handle_single(&mut self, header: &Header, payload: Bytes) -> Result<AssembledFrame, PacketDrop> {
        let number = header.frame_number;
        self.check_not_finished(number)?;
        if payload.len() > self.options.max_frame_len {
            return Err(PacketDrop::Inconsistent);
        }
        self.observe(number);
        self.stats.packets_accepted += 1;
        self.stats.opened += 1;
        self.deliver(number);
        Ok(AssembledFrame {
            number,
            timestamp: header.timestamp,
            extensions: header.extensions,
            payload: payload.into(),
        })
    }

    #[inline(never)]
    fn handle_beside_partials(
        &mut self,
        header: &Header,
        payload: Bytes,
        now: Instant,
    ) -> Result<Option<AssembledFrame>, PacketDrop> {
        let number = header.frame_number;
        // Most packets belong to the newest frame.
        if let Some(index) = self.partials.iter().rposition(|partial| partial.number == number) {
            return self.handle_open(index, header, payload, now);
        }
        if header.marker == Marker::Single {
            return self.handle_single(header, payload).map(Some);
        }
        self.check_not_finished(number)?;
        let place = self.place_of(number);
        if place == 0 && self.partials.len() >= self.options.max_partial_frames {
            // Without this packet the frame can never be completed, so its other packets need not be collected.
            self.window.finish(number, false);
            return Err(PacketDrop::Superseded);
        }
        self.open(header, payload, now, place).map(|()| None)
    }

    /// A packet of the open frame at `index`.
    fn handle_open(
        &mut self,
        index: usize,
        header: &Header,
        payload: Bytes,
        now: Instant,
    ) -> Result<Option<AssembledFrame>, PacketDrop> {
        let Some(partial) = self.partials.get_mut(index) else { return Err(PacketDrop::Superseded) };
        match partial.insert(header, payload, self.options.max_frame_len) {
            Insertion::Missing => {
                partial.last_packet_at = now;
                self.stats.packets_accepted += 1;
                Ok(None)
            }
            Insertion::Complete => {
                self.stats.packets_accepted += 1;
                let Some(partial) = self.partials.remove(index) else { return Ok(None) };
                self.stats.open -= 1;
                let (frame, store) = partial.into_frame();
                self.keep(store);
                self.deliver(frame.number);
                Ok(Some(frame))
            }
            Insertion::Duplicate => Err(PacketDrop::Duplicate),
            Insertion::Inconsistent => {
                self.give_up(index, FrameDrop::Malformed);
                Err(PacketDrop::Inconsistent)
            }
        }
    }

    /// How many open frames are older than frame `number`.
    fn place_of(&self, number: u16) -> usize {
        self.partials
            .iter()
            .rposition(|partial| is_newer(number, partial.number))
            .map_or(0, |newest_older| newest_older + 1)
    }

    /// Opens the frame of a packet behind the `place` frames that are older. The caller guarantees that a slot is free,
    /// or that there is an older frame to give up.
    fn open(
        &mut self,
        header: &Header,
        payload: Bytes,
        now: Instant,
        mut place: usize,
    ) -> Result<(), PacketDrop> {
        let number = header.frame_number;
        self.observe(number);
        let store = self.spare.take().unwrap_or_default();
        let mut partial = Partial::new(header, self.options.max_packets_per_frame, now, store);
        if partial.insert(header, payload, self.options.max_frame_len) != Insertion::Missing {
            self.keep(partial.into_store());
            self.window.finish(number, false);
            return Err(PacketDrop::Inconsistent);
        }
        let slots = self.options.max_partial_frames;
        for older in (0..place).rev() {
            if let Some(partial) = self.partials.get_mut(older) {
                partial.newer_opened += 1;
                if partial.newer_opened > slots {
                    self.give_up(older, FrameDrop::Incomplete);
                    place -= 1;
                }
            }
        }
        while place > 0 && self.partials.len() >= slots {
            self.give_up_oldest(FrameDrop::Incomplete);
            place -= 1;
        }
        self.partials.insert(place, partial);
        self.stats.packets_accepted += 1;
        self.stats.opened += 1;
        self.stats.open += 1;
        Ok(())
    }

    /// Whether packets of frame `number` may still become part of a frame.
    #[inline]
    fn check_not_finished(&mut self, number: u16) -> Result<(), PacketDrop> {
        match self.window.fate(number) {
            Fate::Completed => Err(PacketDrop::Duplicate),
            Fate::GivenUp => Err(PacketDrop::Superseded),
            Fate::Unknown if self.options.max_partial_frames == 1 && self.is_behind_delivered(number) => {
                self.window.finish(number, false);
                Err(PacketDrop::Superseded)
            }
            Fate::Unknown => Ok(()),
        }
    }

    /// Whether a newer frame was delivered. A number further back than the window counts as a jump, not as older.
    fn is_behind_delivered(&self, number: u16) -> bool {
        self.newest_delivered
            .is_some_and(|newest| is_newer(newest, number) && newest.wrapping_sub(number) < WINDOW)
    }

    #[inline]
    fn observe(&mut self, number: u16) {
        if self.window.observe(number) {
            self.newest_delivered = None;
        }
    }

    /// Notes that frame `number` is complete.
    #[inline]
    fn deliver(&mut self, number: u16) {
        self.window.finish(number, true);
        self.stats.completed += 1;
        if self.newest_delivered.is_none_or(|newest| is_newer(number, newest)) {
            self.newest_delivered = Some(number);
        }
        if self.options.max_partial_frames == 1
            && self.partials.front().is_some_and(|partial| self.is_behind_delivered(partial.number))
        {
            self.give_up_oldest(FrameDrop::Superseded);
        }
    }

    fn give_up_oldest(&mut self, reason: FrameDrop) {
        self.give_up(0, reason);
    }

    fn give_up(&mut self, index: usize, reason: FrameDrop) {
        let Some(partial) = self.partials.remove(index) else { return };
        self.window.finish(partial.number, false);
        self.stats.open -= 1;
        self.stats.dropped.count(reason);
        self.keep(partial.into_store());
    }

    fn keep(&mut self, store: Store) {
        if store.is_worth_keeping() {
            self.spare = Some(store);
        }
    }
}

/// Serial arithmetic: whether `left` follows `right` by less than half of the number space.
#[inline]
const fn is_newer(left: u16, right: u16) -> bool {
    let ahead = left.wrapping_sub(right);
    ahead != 0 && ahead < 1 << 15
}
