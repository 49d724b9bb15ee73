//! Which TSNs have arrived, and when the peer is told (RFC 9260, section 6.2; RFC 7053).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::ACK_DELAY;
use crate::serial::{after, before};
use crate::wire::{Writer, kind};

/// Runs beyond the cumulative number that are kept. A chunk that would make one more is dropped; its sender sends it
/// again.
const MAX_RUNS: usize = 512;
/// Runs that one SACK names.
const MAX_BLOCKS: usize = 256;
/// Duplicates that one SACK names.
const MAX_DUPLICATES: usize = 16;
/// After so long without an acknowledgement the next chunk carries one, although nothing new has arrived. If the path was
/// dead for a while, the peer waits for its timeout with all that it had in flight. The acknowledgement lets it go on.
const REPEATED_AFTER: Duration = Duration::from_secs(1);
/// How far ahead of the cumulative number a TSN may be: what a block of a SACK can name.
const MAX_AHEAD: u32 = 65_535;

/// What a TSN is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    Duplicate,
    /// Too far ahead, or one gap too many.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Arrivals {
    cumulative: u32,
    /// First and last of each run beyond, in order.
    runs: VecDeque<(u32, u32)>,
    duplicates: Vec<u32>,
    /// Packets with data since the last acknowledgement.
    packets: u32,
    due: Option<Instant>,
    immediate: bool,
    /// When the last acknowledgement was written.
    told: Option<Instant>,
}

impl Arrivals {
    pub(crate) fn new(first_tsn: u32) -> Self {
        Self {
            cumulative: first_tsn.wrapping_sub(1),
            runs: VecDeque::new(),
            duplicates: Vec::new(),
            packets: 0,
            due: None,
            immediate: false,
            told: None,
        }
    }

    /// All up to this one have arrived, or are not coming.
    pub(crate) fn cumulative(&self) -> u32 {
        self.cumulative
    }

    /// What a TSN is; it is not noted yet.
    pub(crate) fn look(&self, tsn: u32) -> Arrival {
        if !after(tsn, self.cumulative) {
            return Arrival::Duplicate;
        }
        if tsn.wrapping_sub(self.cumulative) > MAX_AHEAD {
            return Arrival::Refused;
        }
        let place = self.runs.partition_point(|run| !after(run.0, tsn));
        let run = place.checked_sub(1).and_then(|before| self.runs.get(before));
        if run.is_some_and(|run| !after(tsn, run.1)) {
            return Arrival::Duplicate;
        }
        let joins = tsn == self.cumulative.wrapping_add(1)
            || run.is_some_and(|run| run.1.wrapping_add(1) == tsn)
            || self.runs.get(place).is_some_and(|next| next.0 == tsn.wrapping_add(1));
        if !joins && self.runs.len() >= MAX_RUNS { Arrival::Refused } else { Arrival::New }
    }

    /// Notes a TSN that is new.
    pub(crate) fn note(&mut self, tsn: u32) {
        if tsn == self.cumulative.wrapping_add(1) {
            self.cumulative = tsn;
            self.join_front();
            return;
        }
        let place = self.runs.partition_point(|run| !after(run.0, tsn));
        let follows = place
            .checked_sub(1)
            .filter(|&before| self.runs.get(before).is_some_and(|run| run.1.wrapping_add(1) == tsn));
        let precedes = self.runs.get(place).is_some_and(|next| next.0 == tsn.wrapping_add(1));
        match (follows, precedes) {
            (Some(before), true) => {
                if let Some((_, end)) = self.runs.remove(place)
                    && let Some(run) = self.runs.get_mut(before)
                {
                    run.1 = end;
                }
            }
            (Some(before), false) => {
                if let Some(run) = self.runs.get_mut(before) {
                    run.1 = tsn;
                }
            }
            (None, true) => {
                if let Some(run) = self.runs.get_mut(place) {
                    run.0 = tsn;
                }
            }
            (None, false) => self.runs.insert(place, (tsn, tsn)),
        }
    }

    /// The peer does not send what is up to there (RFC 3758).
    pub(crate) fn skip_to(&mut self, tsn: u32) {
        if !after(tsn, self.cumulative) {
            return;
        }
        self.cumulative = tsn;
        while let Some(run) = self.runs.front_mut() {
            if !after(run.1, tsn) {
                self.runs.pop_front();
                continue;
            }
            if !after(run.0, tsn) {
                run.0 = tsn.wrapping_add(1);
            }
            break;
        }
        self.join_front();
    }

    fn join_front(&mut self) {
        while let Some(&(start, end)) = self.runs.front() {
            if before(self.cumulative.wrapping_add(1), start) {
                break;
            }
            self.cumulative = end;
            self.runs.pop_front();
        }
    }

    /// Whether something between is missing.
    pub(crate) fn has_gaps(&self) -> bool {
        !self.runs.is_empty()
    }

    /// A duplicate came: its sender wants an answer.
    pub(crate) fn note_duplicate(&mut self, tsn: u32) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push(tsn);
        }
        self.immediate = true;
    }

    /// Acknowledges at once.
    pub(crate) fn hurry(&mut self) {
        self.immediate = true;
    }

    /// A packet with data is through: every second one is acknowledged, a lone one after a while, one that leaves a
    /// gap at once.
    pub(crate) fn packet_done(&mut self, now: Instant) {
        self.packets += 1;
        if self.packets >= 2 || self.has_gaps() {
            self.immediate = true;
        }
        self.due.get_or_insert(now + ACK_DELAY);
    }

    /// When an acknowledgement is due that nothing else carries.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.immediate = true;
            self.due = None;
        }
    }

    /// Whether one must be sent now.
    pub(crate) fn must_acknowledge(&self) -> bool {
        self.immediate
    }

    /// Whether one may go with other chunks.
    pub(crate) fn may_acknowledge(&self, now: Instant) -> bool {
        let old = self.told.is_some_and(|told| now.saturating_duration_since(told) > REPEATED_AFTER);
        self.immediate || self.due.is_some() || old
    }

    /// Bytes of the SACK that [`Self::write`] writes, at most.
    pub(crate) fn size(&self) -> usize {
        16 + 4 * self.runs.len().min(MAX_BLOCKS) + 4 * self.duplicates.len()
    }

    pub(crate) fn write(&mut self, now: Instant, packet: &mut Writer, window: u32, limit: usize) {
        self.told = Some(now);
        let room = limit.saturating_sub(packet.len() + 16 + 4 * self.duplicates.len()) / 4;
        let blocks = self.runs.len().min(MAX_BLOCKS).min(room);
        packet.chunk(kind::SACK, 0, |out| {
            out.extend_from_slice(&self.cumulative.to_be_bytes());
            out.extend_from_slice(&window.to_be_bytes());
            out.extend_from_slice(&(blocks as u16).to_be_bytes());
            out.extend_from_slice(&(self.duplicates.len() as u16).to_be_bytes());
            for (start, end) in self.runs.iter().take(blocks) {
                // `look` refuses what is further ahead than 16 bits can say.
                out.extend_from_slice(&(start.wrapping_sub(self.cumulative) as u16).to_be_bytes());
                out.extend_from_slice(&(end.wrapping_sub(self.cumulative) as u16).to_be_bytes());
            }
            for tsn in &self.duplicates {
                out.extend_from_slice(&tsn.to_be_bytes());
            }
        });
        self.duplicates.clear();
        self.packets = 0;
        self.due = None;
        self.immediate = false;
    }
}
