//! NewReno with a gate: a loss halves the window only where packets also wait in a queue, or where many are lost.
//!
//! A router that drops because its queue is full has made packets wait first, so the round trip has grown. A radio
//! link that loses packets has not. Without the gate 1 % of such losses leaves 12 % of a line with a round trip of 40
//! ms.

use std::time::{Duration, Instant};

use super::{Acknowledged, Controller, Lost, Path, new_reno::NewReno};

/// A queue that is shorter than this says nothing: timers and threads of the peer cost as much.
const LEAST_QUEUE: Duration = Duration::from_millis(5);
/// More lost bytes than one in so many is congestion, whatever the delay.
const TOLERATED: usize = 10;
/// Over how many round trips the share of losses is taken.
const SHARE_ROUNDS: u32 = 8;
/// While the queue is empty the window grows by one in so many bytes acknowledged: 12 % a round trip.
const FAST_GROWTH: usize = 8;

#[derive(Debug)]
pub(crate) struct DelayGate {
    reno: NewReno,
    acknowledged: usize,
    lost: usize,
    counted_since: Option<Instant>,
}

impl DelayGate {
    pub(crate) fn new(mtu: usize) -> Self {
        Self { reno: NewReno::new(mtu), acknowledged: 0, lost: 0, counted_since: None }
    }

    /// Whether packets wait in a queue.
    fn is_queued(path: &Path) -> bool {
        path.queueing() > LEAST_QUEUE.max(path.least_rtt / 8)
    }

    /// Forgets half of the counts every few round trips.
    fn age(&mut self, now: Instant, rtt: Duration) {
        let since = *self.counted_since.get_or_insert(now);
        if now.saturating_duration_since(since) > rtt * SHARE_ROUNDS {
            self.acknowledged /= 2;
            self.lost /= 2;
            self.counted_since = Some(now);
        }
    }

    fn loses_much(&self) -> bool {
        let total = self.acknowledged + self.lost;
        // A few packets are no share.
        total > 64 * self.reno.mtu() && self.lost * TOLERATED > total
    }
}

impl Controller for DelayGate {
    fn window(&self) -> usize {
        self.reno.window()
    }

    fn on_acknowledged(&mut self, acknowledged: Acknowledged) {
        let Acknowledged { now, bytes, limited, path } = acknowledged;
        self.acknowledged += bytes;
        self.age(now, path.rtt);
        if limited && !self.reno.in_slow_start() && path.queueing() < LEAST_QUEUE.max(path.least_rtt / 8) / 2
        {
            self.reno.grow(bytes / FAST_GROWTH);
        } else {
            self.reno.on_acknowledged(acknowledged);
        }
    }

    fn on_lost(&mut self, lost: Lost) {
        self.lost += lost.bytes;
        if !self.reno.is_news(lost.sent) {
            return;
        }
        match lost.path {
            Some(path) if !Self::is_queued(&path) && !self.loses_much() => {
                // What the path carries with its queue empty; growth tries for more from there.
                let Some(rate) = path.rate else { return };
                let carried = (rate * path.least_rtt.as_secs_f64()) as usize;
                self.reno.shrink_to(carried.min(self.reno.window()), lost.now);
            }
            _ => self.reno.on_lost(lost),
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        self.reno.on_timeout(now);
    }
}
