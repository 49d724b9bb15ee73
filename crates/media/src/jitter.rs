//! Puts the packets of a track in order, and says which ones to wait for no longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::RTP_RATE;

/// Packets that are held behind a gap. With packets of 20 ms it is a second.
pub const MAX_HELD: usize = 50;

/// How long a gap is waited for at least, and at most. In between it follows the jitter of the arrivals.
const LEAST_PATIENCE: Duration = Duration::from_millis(30);
const MOST_PATIENCE: Duration = Duration::from_millis(200);

/// A packet that is this far from the expected one belongs to another stream: the sender or its server started anew.
const RESTART_DISTANCE: u64 = 3_000;

/// A packet of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its sequence number, extended to 64 bits.
    pub sequence: u64,
    /// Its timestamp, extended to 64 bits, in ticks of [`RTP_RATE`].
    pub time: u64,
    /// What the codec made.
    pub payload: Arc<[u8]>,
    /// Whether it did not arrive itself, and was taken from what a later packet repeats.
    pub repaired: bool,
}

/// What became of a packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// It is held, until its turn comes.
    Held,
    /// Its place was given up already.
    Late,
    /// It is there already.
    Duplicate,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next packet.
    Packet(Packet),
    /// So many packets before the next one are given up.
    Lost(u64),
    /// A gap is waited for; see [`Jitter::poll_timeout`].
    Wait,
    /// There are no packets.
    Nothing,
}

/// The packets of one track that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Jitter {
    /// The sequence number whose turn it is.
    next: Option<u64>,
    held: BTreeMap<u64, Packet>,
    /// When the packet behind the gap arrived.
    gap_since: Option<Instant>,
    /// When a packet arrived last, and its timestamp.
    last_arrival: Option<(Instant, u64)>,
    /// Late packets in a row.
    late: usize,
    /// The mean deviation of the arrivals, in seconds (RFC 3550, section 6.4.1).
    deviation: f64,
}

impl Jitter {
    /// Packets that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Forgets everything, because another stream follows. Returns how many packets were held.
    pub(crate) fn restart(&mut self) -> usize {
        let held = self.held.len();
        *self = Self { deviation: self.deviation, ..Self::default() };
        held
    }

    /// Whether the packet does not belong to the stream of the packets before it: it is far from them, or more packets
    /// came late in a row than the network holds back.
    pub(crate) fn is_foreign(&self, sequence: u64) -> bool {
        self.late > MAX_HELD || self.next.is_some_and(|next| sequence.abs_diff(next) > RESTART_DISTANCE)
    }

    pub(crate) fn insert(&mut self, packet: Packet, now: Instant) -> Insertion {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence < next {
            self.late += 1;
            return Insertion::Late;
        }
        self.late = 0;
        if self.held.contains_key(&packet.sequence) {
            return Insertion::Duplicate;
        }
        self.measure(packet.time, now);
        if packet.sequence > next && self.gap_since.is_none() {
            self.gap_since = Some(now);
        }
        self.held.insert(packet.sequence, packet);
        Insertion::Held
    }

    /// The next step. After [`Step::Packet`] and [`Step::Lost`], another one may follow.
    pub(crate) fn poll(&mut self, now: Instant) -> Step {
        let (Some(next), Some((&first, _))) = (self.next, self.held.first_key_value()) else {
            return Step::Nothing;
        };
        if first > next {
            let since = *self.gap_since.get_or_insert(now);
            if now < since + self.patience() && self.held.len() <= MAX_HELD {
                return Step::Wait;
            }
            self.next = Some(first);
            self.gap_since = None;
            return Step::Lost(first - next);
        }
        let Some((_, packet)) = self.held.pop_first() else { return Step::Nothing };
        self.next = Some(next + 1);
        // The next gap, if there is one, begins to count now: its packets came while this one was waited for.
        let gap = self.held.first_key_value().is_some_and(|(&first, _)| first > next + 1);
        self.gap_since = gap.then(|| self.gap_since.unwrap_or(now));
        Step::Packet(packet)
    }

    /// When a gap is given up, if there is one.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.gap_since.map(|since| since + self.patience())
    }

    fn patience(&self) -> Duration {
        let jitter = Duration::try_from_secs_f64(4.0 * self.deviation).unwrap_or(MOST_PATIENCE);
        (LEAST_PATIENCE + jitter).min(MOST_PATIENCE)
    }

    fn measure(&mut self, time: u64, now: Instant) {
        if let Some((arrival, before)) = self.last_arrival {
            #[expect(clippy::cast_precision_loss, reason = "differences of neighbours are small")]
            let sent = (time as f64 - before as f64) / f64::from(RTP_RATE);
            let arrived = now.saturating_duration_since(arrival).as_secs_f64();
            // After a pause of the sender, the difference says nothing.
            if sent.abs() < 1.0 {
                self.deviation += ((arrived - sent).abs().min(1.0) - self.deviation) / 16.0;
            }
        }
        self.last_arrival = Some((now, time));
    }
}

#[cfg(test)]
mod tests;
