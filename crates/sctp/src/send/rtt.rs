//! Round trips and the retransmission timeout (RFC 9260, section 6.3), the least round trip, and the rate of delivery.

use std::time::{Duration, Instant};

use crate::config::{RTO_INITIAL, RTO_MAX, RTO_MIN};
use crate::congestion::Path;

/// How long a least round trip counts: routes change.
const LEAST_WINDOW: Duration = Duration::from_secs(10);
/// How long a rate counts, in round trips; the greatest one of these is taken.
const RATE_ROUNDS: u32 = 10;

#[derive(Debug)]
pub(crate) struct PathEstimate {
    smoothed: Option<Duration>,
    variation: Duration,
    latest: Duration,
    least: Duration,
    least_at: Option<Instant>,
    timeout: Duration,
    rate: Option<(f64, Instant)>,
}

impl PathEstimate {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            latest: Duration::ZERO,
            least: Duration::MAX,
            least_at: None,
            timeout: RTO_INITIAL,
            rate: None,
        }
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(crate) fn latest(&self) -> Duration {
        self.latest
    }

    /// The least round trip of late; zero where none was measured.
    pub(crate) fn least(&self) -> Duration {
        if self.least_at.is_none() { Duration::ZERO } else { self.least }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn back_off(&mut self) {
        self.timeout = (self.timeout * 2).min(RTO_MAX);
    }

    /// Undoes what back_off did: the peer has answered.
    pub(crate) fn reset_back_off(&mut self) {
        self.timeout = self
            .smoothed
            .map_or(RTO_INITIAL, |smoothed| (smoothed + 4 * self.variation).clamp(RTO_MIN, RTO_MAX));
    }

    pub(crate) fn sample_rtt(&mut self, now: Instant, rtt: Duration) {
        self.latest = rtt;
        if rtt <= self.least
            || self.least_at.is_none_or(|at| now.saturating_duration_since(at) > LEAST_WINDOW)
        {
            self.least = rtt;
            self.least_at = Some(now);
        }
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((7 * smoothed + rtt) / 8);
            }
        }
        self.reset_back_off();
    }

    /// Bytes that arrived in a time: a sample of the rate of delivery.
    pub(crate) fn sample_rate(&mut self, now: Instant, bytes: u64, time: Duration) {
        if time.is_zero() {
            return;
        }
        let sample = bytes as f64 / time.as_secs_f64();
        let window = self.smoothed.unwrap_or(RTO_INITIAL) * RATE_ROUNDS;
        match self.rate {
            Some((rate, at)) if sample < rate && now.saturating_duration_since(at) <= window => {}
            _ => self.rate = Some((sample, now)),
        }
    }

    /// `None` until a round trip was measured.
    pub(crate) fn path(&self) -> Option<Path> {
        self.smoothed?;
        Some(Path { rtt: self.latest, least_rtt: self.least, rate: self.rate.map(|(rate, _)| rate) })
    }
}
