//! Paces the samples that a program captures: 20 ms of them at a time, each at its deadline.
//!
//! A program may capture faster than real time, as speech synthesis does. Then the deadlines are 20 ms apart, whatever
//! the machine is busy with. A program may also capture in real time, as a microphone does. Then the deadlines follow
//! it: 20 ms are due as soon as they are complete.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::RTP_RATE;
use crate::converter::{Converter, Quality};

/// The rates at which the codec takes samples, in Hz. Samples of other rates are converted to [`RTP_RATE`].
pub const CODEC_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, RTP_RATE];

/// How much of the sound a [`Unit`] has.
pub const UNIT: Duration = Duration::from_millis(20);

/// Ticks of a unit at [`RTP_RATE`].
const UNIT_TICKS: u64 = RTP_RATE as u64 / 50;

/// The least that a source queues: a unit that is due, and one that is being completed.
const LEAST_QUEUE: Duration = Duration::from_millis(40);

/// After this time without samples, what does not make a unit is filled up with silence, and silence follows.
const QUIET: Duration = Duration::from_millis(40);

/// How many units of silence follow at most, 300 ms: the codec needs some 200 ms of silence to tell the receivers that
/// nothing more comes. Without that, they would make sounds up.
const MOST_SILENCE: u32 = 15;

/// By how much a deadline may be in the past when its unit is complete at last. A program that captures in real time
/// is seldom more irregular.
const SLACK: Duration = Duration::from_millis(20);

/// If a deadline is missed by more than this, for example because the machine slept, the next ones begin anew.
const MOST_BEHIND: Duration = Duration::from_millis(500);

/// The options of a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceOptions {
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u16,
    /// How much may wait. It is at least 40 ms in any case.
    pub queue: Duration,
}

/// 20 ms of interleaved samples that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The samples, at [`Source::codec_rate`].
    pub pcm: Vec<i16>,
    /// When they begin, in ticks of [`RTP_RATE`]. It follows the clock also over pauses.
    pub time: u64,
    /// Whether there was a pause before them.
    pub start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was captured for so long that nothing is sent.
    Idle,
    /// There are samples, or there were some a moment ago.
    Speaking,
    /// Silence follows what was captured: so many units more.
    Fading(u32),
}

/// A queue of captured samples.
#[derive(Debug)]
pub struct Source {
    options: SourceOptions,
    converter: Option<Converter>,
    codec_rate: u32,
    queue: VecDeque<i16>,
    state: State,
    start: bool,
    /// When the next unit is due.
    next: Instant,
    /// When samples were captured last.
    captured: Instant,
    time: u64,
}

impl Source {
    /// A source without samples. `None`: no conversion from that rate, or no such number of channels.
    #[must_use]
    pub fn new(options: SourceOptions, now: Instant) -> Option<Self> {
        if !(1..=2).contains(&options.channels) {
            return None;
        }
        let direct = CODEC_RATES.contains(&options.sample_rate);
        let converter = if direct {
            None
        } else {
            Some(Converter::new(options.sample_rate, RTP_RATE, options.channels, Quality::Low)?)
        };
        Some(Self {
            options: SourceOptions { queue: options.queue.max(LEAST_QUEUE), ..options },
            converter,
            codec_rate: if direct { options.sample_rate } else { RTP_RATE },
            queue: VecDeque::new(),
            state: State::Idle,
            start: true,
            next: now,
            captured: now,
            time: 0,
        })
    }

    /// The rate of the samples in units, one of [`CODEC_RATES`].
    #[must_use]
    pub const fn codec_rate(&self) -> u32 {
        self.codec_rate
    }

    /// The options, as they are in effect.
    #[must_use]
    pub const fn options(&self) -> SourceOptions {
        self.options
    }

    /// Takes interleaved samples, as many as fit. Returns how many it took, of all channels together.
    pub fn capture(&mut self, samples: &[i16], now: Instant) -> usize {
        let taken = samples.get(..self.room().min(samples.len())).unwrap_or_default();
        if taken.is_empty() {
            return 0;
        }
        if self.state == State::Idle {
            self.time += ticks(now.saturating_duration_since(self.next));
            self.next = self.next.max(now);
            self.start = true;
        }
        self.state = State::Speaking;
        let was_complete = self.is_complete();
        match &mut self.converter {
            Some(converter) => converter.convert(taken, &mut self.queue),
            None => self.queue.extend(taken),
        }
        if !was_complete && self.is_complete() {
            // The unit comes late because its samples did, so later ones will, too.
            self.next = self.next.max(now.checked_sub(SLACK).unwrap_or(now));
        }
        self.captured = now;
        taken.len()
    }

    /// How much waits.
    #[must_use]
    pub fn queued(&self) -> Duration {
        Duration::from_secs((self.queue.len() / self.channels()) as u64) / self.codec_rate
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what waits.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// The next unit, if it is due.
    pub fn poll(&mut self, now: Instant) -> Option<Unit> {
        if now < self.poll_timeout()? {
            return None;
        }
        if !self.is_complete() {
            self.state = match self.state {
                _ if !self.queue.is_empty() => State::Fading(MOST_SILENCE),
                State::Speaking => State::Fading(MOST_SILENCE - 1),
                State::Fading(left) if left > 0 => State::Fading(left - 1),
                State::Fading(_) | State::Idle => {
                    self.state = State::Idle;
                    return None;
                }
            };
        }
        let values = self.unit_values();
        let mut pcm: Vec<i16> = self.queue.drain(..values.min(self.queue.len())).collect();
        pcm.resize(values, 0);
        let unit = Unit { pcm, time: self.time, start: std::mem::take(&mut self.start) };
        self.time += UNIT_TICKS;
        if now.saturating_duration_since(self.next) > MOST_BEHIND {
            self.next = now;
        }
        self.next += UNIT;
        Some(unit)
    }

    /// When [`poll`](Self::poll) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_complete() {
            Some(self.next)
        } else if self.state == State::Idle {
            None
        } else {
            Some(self.next.max(self.captured) + QUIET)
        }
    }

    /// How many samples fit, of all channels together.
    fn room(&self) -> usize {
        let most = samples(self.options.queue, self.codec_rate);
        let room = most.saturating_sub(self.queue.len() / self.channels()) as u64;
        let room = room * u64::from(self.options.sample_rate) / u64::from(self.codec_rate);
        usize::try_from(room).unwrap_or(usize::MAX).saturating_mul(self.channels())
    }

    fn is_complete(&self) -> bool {
        self.queue.len() >= self.unit_values()
    }

    fn unit_values(&self) -> usize {
        samples(UNIT, self.codec_rate) * self.channels()
    }

    fn channels(&self) -> usize {
        usize::from(self.options.channels)
    }
}

fn samples(duration: Duration, rate: u32) -> usize {
    let samples = duration.as_micros() * u128::from(rate) / 1_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

fn ticks(duration: Duration) -> u64 {
    samples(duration, RTP_RATE) as u64
}

#[cfg(test)]
mod tests;
