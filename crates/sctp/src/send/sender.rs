//! Decides what is sent when, what counts as lost, and what is given up.
//!
//! Loss is found by time (RFC 8985): a chunk is lost when one that was sent a moment later has arrived. A probe finds
//! the loss of the last ones, and the retransmission timeout of RFC 9260 is what remains for a silent path.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::outstanding::{
    Fate, NewChunk, Outstanding, Slot, ends, expiry, is_repairable, may_resend, reordering_window,
};
use super::pending::{Message, Pending};
use super::rtt::PathEstimate;
use crate::config::ACK_DELAY;
use crate::congestion::{Acknowledged, Controller, Lost};
use crate::serial::{after, before, distance};
use crate::wire::{DATA_HEADER, Sack, Writer, flag, kind, padded};

/// After such a silence the next chunk asks for its acknowledgement at once: what is known of the path is old.
const SILENCE: Duration = Duration::from_millis(100);
/// A FORWARD-TSN is repeated after so many quarters of a round trip: each one makes the peer answer.
const FORWARD_QUARTERS: u32 = 5;
/// The least time between two of them.
const FORWARD_LEAST: Duration = Duration::from_millis(5);

/// The least time by which a path that reorders is given.
const REORDERING_LEAST: Duration = Duration::from_millis(1);
/// So many later chunks that have arrived make one lost.
const DUPLICATE_THRESHOLD: usize = 3;

/// A message as it is written.
pub(crate) struct Outgoing {
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) limit: super::Limit,
    /// Until when a chunk of the message is sent once more than the limit says; see [`crate::repair_until`].
    pub(crate) repair: Option<Instant>,
    pub(crate) payload: Bytes,
}

/// Bytes of a stream that are settled: acknowledged, or given up.
pub(crate) type Freed<'a> = &'a mut dyn FnMut(u16, usize);

#[derive(Debug)]
pub(crate) struct Sender {
    max_payload: usize,
    outstanding: Outstanding,
    pending: Pending,
    path: PathEstimate,
    controller: Box<dyn Controller>,
    /// Says how much may be in flight of messages that have to arrive, where that is a controller of its own.
    fair: Option<Box<dyn Controller>>,
    /// Whether it kept something from being sent since the last acknowledgement.
    fair_limited: bool,
    /// Chunks to be sent again, in the order of their loss; some may be settled since.
    lost: VecDeque<u32>,
    /// Bytes that the peer takes, by its last word.
    peer_window: usize,
    next_message: u64,
    /// Of the chunk that was sent last among those that have arrived.
    newest_arrived: Option<(Instant, u32)>,
    highest_arrived: Option<u32>,
    /// Whether the path was seen to reorder.
    reorders: bool,
    delivered: u64,
    delivered_at: Option<Instant>,
    last_sent: Option<Instant>,
    /// Whether the window kept something from being sent since the last acknowledgement.
    limited: bool,
    /// The same, before the last acknowledgement.
    window_was_used: bool,
    /// The last number that the peer is told not to wait for, and its repetition.
    forward: Forward,
    retransmission: Option<Instant>,
    probe: Option<Instant>,
    reordering: Option<Instant>,
    /// A chunk may be sent beyond the window, and asks for an answer at once.
    probe_due: bool,
    /// A probe is under way.
    probing: bool,
    timeouts: usize,
    /// Chunks that were lost, and chunks that were sent again.
    counts: (u64, u64),
}

#[derive(Debug)]
struct Forward {
    to: u32,
    /// Up to where all is settled: `to`, or further on in a message.
    walked: u32,
    /// Ordered chunks among those that were given up: only then streams must be named.
    ordered: bool,
    sent: Option<Instant>,
    repetitions: u32,
    due: Option<Instant>,
}

/// What was newly acknowledged by one SACK.
#[derive(Default)]
struct Round {
    bytes: usize,
    /// Those of messages that have to arrive.
    reliable: usize,
    chunks: usize,
    newest: Option<Newest>,
}

#[derive(Clone, Copy)]
struct Newest {
    sent: Instant,
    tsn: u32,
    first_time: bool,
    immediate: bool,
    delivered: u64,
    delivered_at: Instant,
}

impl Sender {
    pub(crate) fn new(
        first_tsn: u32,
        max_payload: usize,
        peer_window: u32,
        (controller, fair): (Box<dyn Controller>, Option<Box<dyn Controller>>),
    ) -> Self {
        Self {
            max_payload,
            outstanding: Outstanding::new(first_tsn),
            pending: Pending::default(),
            path: PathEstimate::new(),
            controller,
            fair,
            fair_limited: false,
            lost: VecDeque::new(),
            peer_window: peer_window as usize,
            next_message: 0,
            newest_arrived: None,
            highest_arrived: None,
            reorders: false,
            delivered: 0,
            delivered_at: None,
            last_sent: None,
            limited: false,
            window_was_used: false,
            forward: Forward {
                to: first_tsn.wrapping_sub(1),
                walked: first_tsn.wrapping_sub(1),
                ordered: false,
                sent: None,
                repetitions: 0,
                due: None,
            },
            retransmission: None,
            probe: None,
            reordering: None,
            probe_due: false,
            probing: false,
            timeouts: 0,
            counts: (0, 0),
        }
    }

    /// The last number that the peer has acknowledged, with all before it.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.outstanding.first().wrapping_sub(1)
    }

    /// The number that the next new chunk gets.
    pub(crate) fn next_tsn(&self) -> u32 {
        self.outstanding.next()
    }

    pub(crate) fn path(&self) -> &PathEstimate {
        &self.path
    }

    pub(crate) fn window(&self) -> usize {
        self.controller.window()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding.bytes_in_flight()
    }

    /// Whether all that was written is settled.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.outstanding.is_empty()
    }

    /// Whether messages of the stream wait for their first chunk, or for their next one.
    pub(crate) fn has_pending(&self, stream: u16) -> bool {
        self.pending.has(stream)
    }

    /// Timeouts in a row without an acknowledgement.
    pub(crate) fn timeouts(&self) -> usize {
        self.timeouts
    }

    /// Chunks that were lost, and chunks that were sent again.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.counts
    }

    pub(crate) fn write(&mut self, outgoing: Outgoing) {
        let id = self.next_message;
        self.next_message += 1;
        self.pending.push(Message {
            stream: outgoing.stream,
            ssn: outgoing.ssn,
            ppid: outgoing.ppid,
            unordered: outgoing.unordered,
            limit: outgoing.limit,
            repair: outgoing.repair.filter(|_| matches!(outgoing.limit, super::Limit::Retransmissions(_))),
            seen: None,
            payload: outgoing.payload,
            taken: 0,
            id,
        });
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.retransmission, self.probe, self.reordering, self.forward.due].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, freed: Freed<'_>) {
        if self.reordering.is_some_and(|at| at <= now) {
            self.reordering = None;
            self.find_losses(now, freed);
        }
        if self.probe.is_some_and(|at| at <= now) {
            self.probe = None;
            // What may not be sent again is no probe: then it waits for the next chunk, or for the timeout.
            let last = self.outstanding.sent_last().and_then(|(tsn, _)| self.outstanding.get(tsn));
            self.probe_due = last.is_some_and(|slot| may_resend(slot, now)) || !self.pending.is_empty();
            self.probing = self.probe_due;
        }
        if self.retransmission.is_some_and(|at| at <= now) {
            self.time_out(now, freed);
        }
    }

    /// Nothing was acknowledged for the timeout: all that is in flight is lost.
    fn time_out(&mut self, now: Instant, freed: Freed<'_>) {
        self.retransmission = None;
        self.probe = None;
        self.reordering = None;
        self.probing = false;
        self.probe_due = false;
        self.timeouts += 1;
        self.path.back_off();
        self.controller.on_timeout(now);
        if let Some(fair) = &mut self.fair {
            fair.on_timeout(now);
        }
        while let Some((tsn, _)) = self.outstanding.sent_first() {
            self.lose(tsn, now, freed);
        }
        self.advance_forward(now);
        if self.forward.due.is_some() {
            self.forward.due = Some(now);
        }
    }

    /// Writes what may be sent now into a packet of at most `limit` bytes. Returns whether it wrote a chunk.
    pub(crate) fn fill(&mut self, now: Instant, packet: &mut Writer, limit: usize, freed: Freed<'_>) -> bool {
        self.pending.see(now);
        if self.outstanding.bytes_in_flight() == 0 {
            // Nothing was under way: that time says nothing about the rate of the path.
            self.delivered_at = Some(now);
        }
        let mut wrote = false;
        while self.fill_lost(now, packet, limit, freed) || self.fill_new(now, packet, limit, freed) {
            wrote = true;
        }
        if !wrote && self.probe_due {
            wrote = self.fill_probe(now, packet, limit);
        }
        if wrote {
            self.last_sent = Some(now);
            let timeout = now + self.path.timeout();
            self.retransmission.get_or_insert(timeout);
            self.arm_probe(now);
        }
        wrote
    }

    /// Whether the window has room for a chunk of that size; an empty path takes one always.
    fn has_room(&mut self, size: usize) -> bool {
        let in_flight = self.outstanding.bytes_in_flight();
        if in_flight == 0 || in_flight + size <= self.controller.window() || self.probe_due {
            return true;
        }
        self.limited = true;
        false
    }

    /// Whether one more message that has to arrive may begin. It goes on to its end whatever the window is then.
    fn has_fair_room(&mut self) -> bool {
        let Some(fair) = &self.fair else { return true };
        let in_flight = self.outstanding.reliable_in_flight();
        let has_room = in_flight == 0 || in_flight + self.max_payload <= fair.window();
        self.fair_limited |= !has_room;
        has_room
    }

    fn fill_lost(&mut self, now: Instant, packet: &mut Writer, limit: usize, freed: Freed<'_>) -> bool {
        while let Some(&tsn) = self.lost.front() {
            let Some(slot) = self.outstanding.get(tsn).filter(|slot| slot.fate == Fate::Lost) else {
                self.lost.pop_front();
                continue;
            };
            let (size, resend) = (slot.size(), may_resend(slot, now));
            if !resend {
                self.lost.pop_front();
                self.abandon(tsn, freed);
                self.advance_forward(now);
                continue;
            }
            if packet.len() + size > limit || !self.has_room(size) {
                return false;
            }
            self.lost.pop_front();
            self.send_again(tsn, now, packet);
            return true;
        }
        false
    }

    fn send_again(&mut self, tsn: u32, now: Instant, packet: &mut Writer) {
        let delivered = (self.delivered, self.delivered_at.unwrap_or(now));
        self.outstanding.resend(tsn, now, delivered);
        self.counts.1 += 1;
        self.probe_due = false;
        if let Some(slot) = self.outstanding.get(tsn) {
            write_chunk(packet, tsn, slot);
        }
    }

    fn fill_new(&mut self, now: Instant, packet: &mut Writer, limit: usize, freed: Freed<'_>) -> bool {
        loop {
            let reliable = self.has_fair_room();
            let Some(message) = self.pending.next(reliable) else { return false };
            if message.is_expired(now) {
                self.give_up_pending(freed);
                self.advance_forward(now);
                continue;
            }
            let length = (message.payload.len() - message.taken).min(self.max_payload);
            let size = DATA_HEADER + padded(length);
            let end = message.taken + length == message.payload.len();
            let mut flags = if message.unordered { flag::UNORDERED } else { 0 };
            flags |= if message.taken == 0 { flag::BEGIN } else { 0 };
            flags |= if end { flag::END } else { 0 };
            let reliable = message.limit == super::Limit::None;
            let several = message.payload.len() > self.max_payload;
            let repair = message.repair.filter(|_| several);
            let chunk = NewChunk {
                payload: message.payload.slice(message.taken..message.taken + length),
                message: message.id,
                stream: message.stream,
                ssn: message.ssn,
                ppid: message.ppid,
                flags,
                limit: message.limit,
                expires: expiry(message.limit, message.seen).or(repair),
                delivered: (self.delivered, self.delivered_at.unwrap_or(now)),
            };
            if packet.len() + size > limit || !self.has_room(size) {
                return false;
            }
            // A peer whose window is closed is asked by one chunk (RFC 9260, section 6.1, rule A).
            let in_flight = self.outstanding.bytes_in_flight();
            if in_flight > 0 && in_flight + size > self.peer_window {
                return false;
            }
            let quiet = self.last_sent.is_none_or(|sent| now.saturating_duration_since(sent) > SILENCE);
            self.pending.advance(length);
            let last = self.pending.is_empty() && self.lost.is_empty();
            let tsn = self.outstanding.push(chunk, now);
            if (last && (reliable || quiet || repair.is_some())) || self.probe_due {
                self.outstanding.mark_immediate(tsn);
            }
            self.probe_due = false;
            if let Some(slot) = self.outstanding.get(tsn) {
                write_chunk(packet, tsn, slot);
            }
            return true;
        }
    }

    /// The chunk that was sent last, once more: its arrival tells what became of those before it.
    fn fill_probe(&mut self, now: Instant, packet: &mut Writer, limit: usize) -> bool {
        let Some((tsn, _)) = self.outstanding.sent_last() else {
            self.probe_due = false;
            return false;
        };
        let slot = self.outstanding.get(tsn).filter(|slot| may_resend(slot, now));
        let Some(size) = slot.map(Slot::size) else {
            self.probe_due = false;
            return false;
        };
        if packet.len() + size > limit {
            return false;
        }
        self.outstanding.mark_immediate(tsn);
        self.send_again(tsn, now, packet);
        self.probing = true;
        true
    }

    fn arm_probe(&mut self, now: Instant) {
        let Some(smoothed) = self.path.smoothed().filter(|_| !self.probing) else { return };
        // The peer may hold the acknowledgement of a lone chunk back (RFC 8985, section 7.2). A chunk that is repaired in
        // time cannot wait for that. It has asked for its acknowledgement.
        let last = self.outstanding.sent_last().and_then(|(tsn, _)| self.outstanding.get(tsn));
        let hurries = last.is_some_and(|slot| slot.flags & flag::IMMEDIATE != 0 && is_repairable(slot));
        let lone = self.outstanding.chunks_in_flight() == 1 && !hurries;
        let delay = if lone { ACK_DELAY } else { Duration::ZERO };
        let wait = (2 * smoothed + delay).max(Duration::from_millis(10));
        self.probe = (wait < self.path.timeout()).then(|| now + wait);
    }

    /// Takes an acknowledgement. One that is older than what is known, or that names what was never sent, changes
    /// nothing.
    pub(crate) fn handle_sack(&mut self, now: Instant, sack: &Sack, freed: Freed<'_>) {
        let first = self.outstanding.first();
        let cumulative = sack.cumulative;
        if before(cumulative, first.wrapping_sub(1)) || !before(cumulative, self.outstanding.next()) {
            return;
        }
        self.window_was_used = self.limited
            || self.outstanding.bytes_in_flight() + 2 * self.max_payload >= self.controller.window();
        let mut round = Round::default();
        while !after(self.outstanding.first(), cumulative) && !self.outstanding.is_empty() {
            let tsn = self.outstanding.first();
            self.acknowledge(tsn, &mut round, freed);
            self.outstanding.pop();
        }
        for (start, end) in sack.blocks() {
            if !after(start, cumulative) || before(end, start) || !before(end, self.outstanding.next()) {
                break;
            }
            let mut tsn = self.outstanding.unacknowledged_from(start);
            while !after(tsn, end) {
                self.acknowledge(tsn, &mut round, freed);
                tsn = self.outstanding.unacknowledged_from(tsn.wrapping_add(1));
            }
        }
        self.peer_window = sack.window as usize;
        let advanced = first != self.outstanding.first();
        if before(self.forward.to, self.acknowledged()) {
            self.forward.to = self.acknowledged();
        }
        if before(self.forward.walked, self.forward.to) {
            self.forward.walked = self.forward.to;
        }
        if advanced {
            self.forward.repetitions = 0;
        }
        if round.chunks > 0 {
            self.measure(now, &round, sack.has_blocks());
            self.timeouts = 0;
            self.probing = false;
            self.limited = false;
            if let Some(path) = self.path.path() {
                let limited = self.window_was_used;
                self.controller.on_acknowledged(Acknowledged { now, bytes: round.bytes, limited, path });
                if let Some(fair) = self.fair.as_mut().filter(|_| round.reliable > 0) {
                    let limited = std::mem::take(&mut self.fair_limited);
                    fair.on_acknowledged(Acknowledged { now, bytes: round.reliable, limited, path });
                }
            }
        }
        self.find_losses(now, freed);
        self.advance_forward(now);
        if self.outstanding.chunks_in_flight() == 0 {
            self.retransmission = None;
            self.probe = None;
        } else if advanced || round.chunks > 0 {
            self.retransmission = Some(now + self.path.timeout());
            self.arm_probe(now);
        }
    }

    fn acknowledge(&mut self, tsn: u32, round: &mut Round, freed: Freed<'_>) {
        if self.outstanding.settle(tsn, Fate::Acknowledged).is_none() {
            self.outstanding.mark_arrived(tsn);
            return;
        }
        let highest = self.highest_arrived;
        let Some(slot) = self.outstanding.get(tsn) else { return };
        let size = slot.size();
        let newest = Newest {
            sent: slot.sent,
            tsn,
            first_time: slot.transmissions == 1,
            immediate: slot.flags & flag::IMMEDIATE != 0,
            delivered: slot.delivered,
            delivered_at: slot.delivered_at,
        };
        round.reliable += if slot.is_reliable() { size } else { 0 };
        freed(slot.stream, slot.payload.len());
        if newest.first_time && highest.is_some_and(|highest| before(tsn, highest)) {
            self.reorders = true;
        }
        if highest.is_none_or(|highest| after(tsn, highest)) {
            self.highest_arrived = Some(tsn);
        }
        round.bytes += size;
        round.chunks += 1;
        self.delivered += size as u64;
        if round.newest.is_none_or(|known| known.sent <= newest.sent) {
            round.newest = Some(newest);
        }
    }

    /// Takes round trip and rate from what has arrived.
    fn measure(&mut self, now: Instant, round: &Round, has_gaps: bool) {
        self.delivered_at = Some(now);
        let Some(newest) = round.newest else { return };
        let rtt = now.saturating_duration_since(newest.sent);
        // The acknowledgement of a chunk that was sent twice may be that of the first time (Karn).
        if newest.first_time {
            let maybe_delayed = round.chunks == 1 && !newest.immediate && !has_gaps;
            if !maybe_delayed || self.path.smoothed().is_none() || rtt < self.path.latest() + ACK_DELAY / 4 {
                self.path.sample_rtt(now, rtt);
            }
        }
        let genuine = newest.first_time || rtt >= self.path.least();
        if genuine {
            let candidate = (newest.sent, newest.tsn);
            if self.newest_arrived.is_none_or(|known| is_sent_later(candidate, known)) {
                self.newest_arrived = Some(candidate);
            }
            let time = now.saturating_duration_since(newest.delivered_at);
            self.path.sample_rate(now, self.delivered.saturating_sub(newest.delivered), time);
        }
        self.path.reset_back_off();
    }

    /// What was sent before something that has arrived, and has not arrived for a while, is lost.
    fn find_losses(&mut self, now: Instant, freed: Freed<'_>) {
        self.reordering = None;
        let Some(newest) = self.newest_arrived else { return };
        let least = self.path.least();
        let (mut lost_bytes, mut reliable) = (0, 0);
        let (mut last_sent, mut last_reliable) = (None, None);
        while let Some((tsn, sent)) = self.outstanding.sent_first() {
            if !is_sent_later(newest, (sent, tsn)) {
                break;
            }
            // Until the path was seen to reorder, three later ones that have arrived are enough (RFC 8985, section
            // 6.2, step 4).
            let tolerance = if self.reorders {
                reordering_window(least).max(REORDERING_LEAST)
            } else if distance(tsn, newest.1) < DUPLICATE_THRESHOLD {
                reordering_window(least)
            } else {
                Duration::ZERO
            };
            let overdue = sent + self.path.latest().max(least) + tolerance;
            if !tolerance.is_zero() && overdue > now {
                self.reordering = Some(overdue);
                break;
            }
            if let Some(slot) = self.outstanding.get(tsn) {
                lost_bytes += slot.size();
                if slot.is_reliable() {
                    reliable += slot.size();
                    last_reliable = last_reliable.max(Some(sent));
                }
            }
            last_sent = last_sent.max(Some(sent));
            self.lose(tsn, now, freed);
        }
        if let Some(sent) = last_sent {
            let limited = self.window_was_used;
            self.controller.on_lost(Lost { now, sent, bytes: lost_bytes, limited, path: self.path.path() });
        }
        if let (Some(sent), Some(fair)) = (last_reliable, &mut self.fair) {
            let path = self.path.path();
            fair.on_lost(Lost { now, sent, bytes: reliable, limited: self.window_was_used, path });
        }
    }

    /// A chunk in flight is lost: it waits to be sent again, or its message is given up.
    fn lose(&mut self, tsn: u32, now: Instant, freed: Freed<'_>) {
        let resend = self.outstanding.get(tsn).is_some_and(|slot| may_resend(slot, now));
        self.counts.0 += 1;
        if resend {
            self.outstanding.settle(tsn, Fate::Lost);
            self.lost.push_back(tsn);
        } else {
            self.abandon(tsn, freed);
        }
    }

    /// Gives the message of a chunk up: all of its chunks, and what of it has none yet.
    fn abandon(&mut self, tsn: u32, freed: Freed<'_>) {
        let Some(message) = self.outstanding.get(tsn).map(|slot| slot.message) else { return };
        let mut at = tsn;
        while self.abandon_one(at, message, freed) {
            at = at.wrapping_sub(1);
        }
        let mut at = tsn.wrapping_add(1);
        while self.abandon_one(at, message, freed) {
            at = at.wrapping_add(1);
        }
        if self.pending.begun().is_some_and(|begun| begun.id == message) {
            self.give_up_rest(freed);
        }
    }

    /// `false`: there is none, or it is another message's.
    fn abandon_one(&mut self, tsn: u32, message: u64, freed: Freed<'_>) -> bool {
        let Some(slot) = self.outstanding.get(tsn).filter(|slot| slot.message == message) else {
            return false;
        };
        let (stream, length, ordered) = (slot.stream, slot.payload.len(), slot.flags & flag::UNORDERED == 0);
        if self.outstanding.settle(tsn, Fate::Abandoned).is_some() {
            freed(stream, length);
            self.forward.ordered |= ordered;
        }
        true
    }

    /// The message that waits first is too old.
    fn give_up_pending(&mut self, freed: Freed<'_>) {
        let begun = self.pending.begun().map(|message| message.id);
        self.give_up_rest(freed);
        let last = self.outstanding.next().wrapping_sub(1);
        if let Some(id) = begun
            && self.outstanding.get(last).is_some_and(|slot| slot.message == id && !ends(slot))
        {
            self.abandon(last, freed);
        }
    }

    fn give_up_rest(&mut self, freed: Freed<'_>) {
        if let Some(message) = self.pending.give_up_current() {
            freed(message.stream, message.payload.len() - message.taken);
        }
    }

    /// Finds up to where the peer need not wait, and when it is told.
    fn advance_forward(&mut self, now: Instant) {
        self.walk_forward();
        if !after(self.forward.to, self.acknowledged()) {
            self.forward.due = None;
            return;
        }
        let smoothed = self.path.smoothed().unwrap_or(self.path.timeout());
        let wait =
            (smoothed * FORWARD_QUARTERS / 4).max(FORWARD_LEAST) * (1 << self.forward.repetitions.min(10));
        self.forward.due = Some(self.forward.sent.map_or(now, |sent| sent + wait));
    }

    /// Goes on over what is settled. A message that is acknowledged in part is not passed: its receiver would drop
    /// what it has of it.
    fn walk_forward(&mut self) {
        while let Some(slot) = self.outstanding.get(self.forward.walked.wrapping_add(1)) {
            if !matches!(slot.fate, Fate::Abandoned | Fate::Acknowledged) {
                break;
            }
            if slot.flags & flag::BEGIN != 0 {
                // The message before was given up before its last chunk was made, if it did not end.
                self.forward.to = self.forward.walked;
            }
            self.forward.walked = self.forward.walked.wrapping_add(1);
            if slot.fate == Fate::Abandoned || ends(slot) {
                self.forward.to = self.forward.walked;
            }
        }
    }

    /// The FORWARD-TSN that is due: its number, and the last number of each ordered stream that it skips.
    /// `most`: streams that may be named.
    pub(crate) fn poll_forward(&mut self, now: Instant, most: usize) -> Option<(u32, Vec<(u16, u16)>)> {
        if self.forward.due.is_none_or(|due| due > now) {
            return None;
        }
        let mut skipped: Vec<(u16, u16)> = Vec::new();
        let mut to = self.forward.to;
        let mut tsn = self.outstanding.first();
        while self.forward.ordered && !after(tsn, self.forward.to) {
            if let Some(slot) = self.outstanding.get(tsn)
                && slot.flags & flag::UNORDERED == 0
                && slot.fate == Fate::Abandoned
            {
                let known = skipped.iter().position(|(stream, _)| *stream == slot.stream);
                if known.is_none() && skipped.len() >= most {
                    // The rest comes with the next one.
                    to = tsn.wrapping_sub(1);
                    break;
                }
                match known.and_then(|at| skipped.get_mut(at)) {
                    Some((_, ssn)) => *ssn = slot.ssn,
                    None => skipped.push((slot.stream, slot.ssn)),
                }
            }
            tsn = tsn.wrapping_add(1);
        }
        self.forward.sent = Some(now);
        self.forward.repetitions += 1;
        self.advance_forward(now);
        Some((to, skipped))
    }
}

/// Whether `one` was sent after `other`; chunks of one moment by their numbers.
fn is_sent_later(one: (Instant, u32), other: (Instant, u32)) -> bool {
    one.0 > other.0 || (one.0 == other.0 && after(one.1, other.1))
}

fn write_chunk(packet: &mut Writer, tsn: u32, slot: &Slot) {
    packet.chunk(kind::DATA, slot.flags, |out| {
        out.extend_from_slice(&tsn.to_be_bytes());
        out.extend_from_slice(&slot.stream.to_be_bytes());
        out.extend_from_slice(&slot.ssn.to_be_bytes());
        out.extend_from_slice(&slot.ppid.to_be_bytes());
        out.extend_from_slice(&slot.payload);
    });
}
