use std::time::{Duration, Instant};

/// Bytes that a channel may hold at the start.
const START: usize = 32 << 10;
/// Bytes that a channel may always hold. A single packet may be larger.
const LEAST: usize = 4 << 10;
/// Largest size of a datagram, in bytes. So much of a channel's data may wait for a delayed acknowledgement.
const DATAGRAM: usize = 1_200;
/// Bytes that a channel may hold at most, on the path with the largest product of bandwidth and RTT.
const MOST: usize = 4 << 20;
/// Queue in the channel beyond the data in flight: as much as is sent in this time, and at most `QUEUE_MOST`. It is
/// enough while the task gets no processor time for a while, and little enough for a router with a queue of 30 ms.
const QUEUE: Duration = Duration::from_millis(20);
const QUEUE_MOST: usize = 128 << 10;
/// The queue during slow start, that is, while each measurement exceeds the best one before by the factor `GROWTH`.
/// SCTP's window grows only while data waits.
const QUEUE_GROWING: Duration = Duration::from_millis(40);
const GROWTH: f64 = 1.25;
/// Factor by which the data in flight may exceed the measured rate times RTT. It is enough to find out whether the path
/// carries more, and little enough for the router before a narrow line. On a path with high bandwidth and a long RTT,
/// SCTP takes minutes to recover from a loss.
const HEADROOM: f64 = 1.1;
/// The factor during slow start while rate times RTT is below `GROWING_MOST` bytes.
const HEADROOM_GROWING: f64 = 1.5;
const GROWING_MOST: f64 = 128e3;
/// The RTT that is assumed before the first measurement.
pub(super) const UNKNOWN_RTT: Duration = Duration::from_millis(50);
/// Minimum length of a measurement.
const LEAST_WINDOW: Duration = Duration::from_millis(20);
/// Number of rate measurements of which the best one counts.
const WINDOWS: usize = 4;
/// How many RTTs in a row may exceed the minimum RTT before the minimum is doubted: those of half a minute. ICE measures
/// one each half second.
const DOUBT: u32 = 60;
/// How many RTTs are measured while the minimum is doubted, until the last of them becomes the minimum. The queues on
/// the path have to drain first.
const DOUBTED: u32 = 12;
/// Queue while the minimum RTT is doubted.
const DOUBT_QUEUE: Duration = Duration::from_millis(10);

/// How many bytes a channel may hold, those in flight included.
///
/// Limit = bandwidth × minimum RTT, plus at most 20 ms of queue (40 ms during slow start) or 128 KiB.
///
/// Data that a channel has taken cannot be taken back, so the limit bounds the age of a frame in the channel. A channel
/// that holds less than bandwidth × RTT leaves the path idle. So the limit follows the measured bandwidth. What the
/// application offers says little about the path. So a measurement in which the channel was not always full counts
/// only if the channel was full at some time and the measured rate asks for a higher limit: the path carries at least
/// so much.
#[derive(Debug)]
pub(super) struct BacklogLimit {
    limit: usize,
    /// The part of the limit that is in flight.
    under_way: usize,
    rtt: Option<Duration>,
    /// RTTs since the last one that was about as short as the minimum.
    longer: u32,
    rates: [f64; WINDOWS],
    next: usize,
    window: Option<Window>,
    last: Option<Measured>,
}

/// The start of a measurement.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    acknowledged: u64,
    /// Whether the channel was full at some time since the start.
    full: bool,
    /// Whether it was not full at some time since the start, or at the start.
    gap: bool,
}

/// The previous measurement.
#[derive(Debug, Clone, Copy)]
struct Measured {
    window: Window,
    rate: f64,
}

impl BacklogLimit {
    pub(super) const fn new() -> Self {
        Self {
            limit: START,
            under_way: 0,
            rtt: None,
            longer: 0,
            rates: [0.0; WINDOWS],
            next: 0,
            window: None,
            last: None,
        }
    }

    /// Bytes that the channel may hold now.
    pub(super) const fn get(&self) -> usize {
        self.limit
    }

    /// The part of the limit that is in flight, as far as it was measured.
    pub(super) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether a packet may be added to the held bytes. One packet above the limit is allowed where the path would fall
    /// idle otherwise. One case is a slow path whose limit is below two packets. The other is a channel that holds only
    /// one datagram: that datagram is acknowledged only after another one follows, or after 200 ms.
    pub(super) fn takes(&self, held: usize, packet: usize) -> bool {
        held + packet <= self.limit || held <= self.under_way.max(DATAGRAM)
    }

    /// How long a packet behind `held` bytes waits before it is sent. Zero on a path that was never full. `most`: bytes a
    /// second that congestion control lets through now; it may have narrowed its window since the rate was measured.
    pub(super) fn wait(&self, held: usize, most: f64) -> Duration {
        let best = self.best_rate().min(most);
        if best <= 0.0 {
            return Duration::ZERO;
        }
        #[expect(clippy::cast_precision_loss, reason = "some megabytes at most")]
        let all = Duration::try_from_secs_f64(held as f64 / best).unwrap_or(Duration::ZERO);
        all.saturating_sub(self.rtt())
    }

    fn best_rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(UNKNOWN_RTT)
    }

    /// Takes a measured RTT. The minimum counts. A longer RTT includes a queue on the path, most likely of data that
    /// this limit let through. That is no reason for a longer queue.
    ///
    /// If no RTT is as short as the minimum for a while, the path may have changed. Then the limit lets next to nothing
    /// queue, and the RTT that is measured under it becomes the minimum.
    pub(super) fn handle_rtt(&mut self, rtt: Duration) {
        match self.rtt {
            Some(shortest) if rtt > shortest + shortest / 8 + Duration::from_millis(1) => {
                self.longer += 1;
                if self.longer >= DOUBT + DOUBTED {
                    self.rtt = Some(shortest.max(rtt.saturating_sub(DOUBT_QUEUE)));
                    self.longer = 0;
                }
            }
            shortest => {
                self.rtt = Some(shortest.map_or(rtt, |shortest| shortest.min(rtt)));
                self.longer = 0;
            }
        }
    }

    /// Acknowledgements have stopped. After a stall SCTP opens its window from the start, so earlier measurements are
    /// void.
    pub(super) const fn handle_stall(&mut self) {
        self.limit = LEAST;
        self.under_way = 0;
        self.rates = [0.0; WINDOWS];
        self.window = None;
        self.last = None;
    }

    /// The channel was filled up to the limit (`full`), or everything that waited fitted in (`full` false).
    pub(super) fn handle_pump(&mut self, full: bool, acknowledged: u64, now: Instant) {
        let rtt = self.rtt();
        let next = Window { start: now, acknowledged, full: false, gap: !full };
        let mut window = self.window.unwrap_or(next);
        if !full && !window.gap {
            // A time in which the channel was always full, and a time with gaps, are not measured together.
            let begun = if window.full { next } else { window };
            window = Window { gap: true, ..begun };
            self.last = self.last.filter(|last| last.window.gap);
        }
        window.full |= full;
        self.window = Some(window);
        if now.saturating_duration_since(window.start) < rtt.max(LEAST_WINDOW) {
            return;
        }
        self.window = Some(next);
        // If the previous measurement was below the best rate, measure across both. When the task was delayed, late
        // acknowledgements arrive together with those of the next measurement. That next measurement alone would
        // overstate the path's rate.
        let last = self.last.filter(|last| last.window.gap == window.gap && last.rate < self.best_rate());
        let start = last.map_or(window, |last| last.window);
        let length = now.saturating_duration_since(start.start);
        #[expect(clippy::cast_precision_loss, reason = "bytes of a few milliseconds")]
        let rate = acknowledged.saturating_sub(start.acknowledged) as f64 / length.as_secs_f64();
        self.last = Some(Measured { window, rate });
        let growing = rate > GROWTH * self.best_rate();
        if window.gap && !(window.full && self.limit_for(rate, growing).1 > self.limit) {
            return;
        }
        // A rate that is measured under a limit without headroom says little.
        if self.longer < DOUBT {
            if let Some(oldest) = self.rates.get_mut(self.next) {
                *oldest = rate;
            }
            self.next = (self.next + 1) % WINDOWS;
        }
        (self.under_way, self.limit) = self.limit_for(self.best_rate(), growing);
    }

    /// The part of the limit that is in flight, and the limit, for a path of this rate.
    fn limit_for(&self, rate: f64, growing: bool) -> (usize, usize) {
        let seen = rate * self.rtt().as_secs_f64();
        let (headroom, queue) = if self.longer >= DOUBT {
            (1.0, DOUBT_QUEUE)
        } else if growing {
            (if seen < GROWING_MOST { HEADROOM_GROWING } else { HEADROOM }, QUEUE_GROWING)
        } else {
            (HEADROOM, QUEUE)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut to a range that fits"
        )]
        let (under_way, queue) = ((headroom * seen) as usize, (rate * queue.as_secs_f64()) as usize);
        (under_way, under_way.saturating_add(queue.min(QUEUE_MOST)).clamp(LEAST, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers more than the path carries for two seconds. `rate` is in bytes a second.
    fn saturate(limit: &mut BacklogLimit, rate: f64, rtt: Duration, start: Instant) -> Instant {
        const STEP: Duration = Duration::from_millis(5);
        let mut now = start;
        let mut acknowledged = 0.0;
        limit.handle_rtt(rtt);
        for _ in 0..400 {
            now += STEP;
            // In each round trip no more than the limit is acknowledged.
            let most = limit.get() as f64 / rtt.as_secs_f64();
            acknowledged += rate.min(most) * STEP.as_secs_f64();
            limit.handle_pump(true, acknowledged as u64, now);
        }
        now
    }

    #[test]
    fn a_long_fat_path_is_filled() {
        let mut limit = BacklogLimit::new();
        saturate(&mut limit, 20e6, Duration::from_millis(40), Instant::now());
        assert!(limit.get() > 800_000, "20 MB/s at 40 ms are 800 kB under way: {}", limit.get());
        assert!(limit.get() < 1_300_000, "{}", limit.get());
    }

    #[test]
    fn a_slow_path_holds_little() {
        let mut limit = BacklogLimit::new();
        saturate(&mut limit, 100e3, Duration::from_millis(40), Instant::now());
        assert!((LEAST..10_000).contains(&limit.get()), "{}", limit.get());
        // A packet that is larger than the limit does not wait until the path is idle.
        assert!(limit.takes(4_000, 16_000) && !limit.takes(5_000, 16_000));
    }

    #[test]
    fn a_short_path_holds_what_it_held() {
        let mut limit = BacklogLimit::new();
        saturate(&mut limit, 27e6, Duration::from_micros(200), Instant::now());
        assert!((QUEUE_MOST..QUEUE_MOST + 10_000).contains(&limit.get()), "{}", limit.get());
    }

    #[test]
    fn acknowledgements_that_come_late_and_then_together_are_no_faster_path() {
        let rtt = Duration::from_millis(40);
        let mut limit = BacklogLimit::new();
        let mut now = saturate(&mut limit, 1e6, rtt, Instant::now());
        let (before, mut acknowledged) = (limit.get(), 100_000_000);
        limit.handle_pump(false, acknowledged, now);
        // 40 kB in each 40 ms, but half of one measurement's bytes arrive in the next one.
        for bytes in [0, 40, 40, 40, 20, 60, 40, 40, 40, 40] {
            now += rtt;
            acknowledged += bytes * 1_000;
            limit.handle_pump(true, acknowledged, now);
            assert!(limit.get() <= before + before / 20, "{} after {before}", limit.get());
        }
    }

    #[test]
    fn little_traffic_says_nothing_of_the_path() {
        let mut limit = BacklogLimit::new();
        let start = Instant::now();
        limit.handle_rtt(Duration::from_millis(1));
        for step in 0..100 {
            limit.handle_pump(step % 2 == 0, 100 * step, start + Duration::from_millis(30 * step));
        }
        assert_eq!(limit.get(), START);
    }

    #[test]
    fn bursts_after_pauses_say_nothing_of_the_pauses() {
        let rtt = Duration::from_millis(40);
        let mut limit = BacklogLimit::new();
        let mut now = saturate(&mut limit, 10e6, rtt, Instant::now());
        let (before, mut acknowledged) = (limit.get(), 100_000_000);
        for _ in 0..2 * WINDOWS {
            limit.handle_pump(false, acknowledged, now);
            now += Duration::from_secs(5);
            limit.handle_pump(false, acknowledged, now);
            // For a little longer than one measurement.
            for _ in 0..10 {
                limit.handle_pump(true, acknowledged, now);
                now += Duration::from_millis(5);
                acknowledged += 50_000;
            }
        }
        assert!(limit.get() > before - before / 10, "{} after {before}", limit.get());
    }

    #[test]
    fn a_path_that_became_fast_again_is_noticed() {
        let mut limit = BacklogLimit::new();
        let rtt = Duration::from_millis(40);
        let now = saturate(&mut limit, 10e6, rtt, Instant::now());
        let now = saturate(&mut limit, 50e3, rtt, now);
        assert!(limit.get() < 6_000, "{}", limit.get());
        saturate(&mut limit, 10e6, rtt, now);
        assert!(limit.get() > 400_000, "{}", limit.get());
    }

    /// A saturated path. Everything that the limit allows beyond the data in flight queues on it.
    fn queue(limit: &mut BacklogLimit, rate: f64, rtt: Duration, start: Instant, minutes: u32) -> Instant {
        let mut now = start;
        for _ in 0..minutes * 120 {
            let measured =
                rtt.max(Duration::from_secs_f64(limit.get() as f64 / rate)) + Duration::from_millis(2);
            now = saturate(limit, rate, measured, now) + Duration::from_secs(1);
        }
        now
    }

    #[test]
    fn a_queue_of_its_own_does_not_make_it_longer() {
        let (rate, rtt) = (2e6, Duration::from_millis(40));
        let mut limit = BacklogLimit::new();
        let now = saturate(&mut limit, rate, rtt, Instant::now());
        let before = limit.get();
        queue(&mut limit, rate, rtt, now, 10);
        assert!(limit.get() <= before + before / 4, "{} after {before}", limit.get());
    }

    #[test]
    fn a_path_that_became_longer_is_noticed() {
        let rate = 2e6;
        let mut limit = BacklogLimit::new();
        let now = saturate(&mut limit, rate, Duration::from_millis(2), Instant::now());
        queue(&mut limit, rate, Duration::from_millis(150), now, 3);
        assert!(limit.get() > 300_000, "{}", limit.get());
    }

    #[test]
    fn what_was_seen_before_a_stall_is_void() {
        let mut limit = BacklogLimit::new();
        let rtt = Duration::from_millis(40);
        let now = saturate(&mut limit, 10e6, rtt, Instant::now());
        assert!(limit.wait(limit.get(), f64::MAX) > Duration::ZERO);
        limit.handle_stall();
        assert_eq!((limit.get(), limit.wait(100_000, f64::MAX)), (LEAST, Duration::ZERO));
        assert!(
            limit.takes(0, 16_000) && limit.takes(DATAGRAM, 16_000) && !limit.takes(DATAGRAM + 1, 16_000)
        );
        saturate(&mut limit, 10e6, rtt, now);
        assert!(limit.get() > 400_000, "{}", limit.get());
    }

    #[test]
    fn what_waits_is_told_from_what_is_under_way() {
        let mut limit = BacklogLimit::new();
        assert_eq!(limit.wait(START, f64::MAX), Duration::ZERO);
        saturate(&mut limit, 1e6, Duration::from_millis(40), Instant::now());
        assert_eq!(limit.wait(40_000, f64::MAX).as_millis(), 0);
        assert_eq!(limit.wait(90_000, f64::MAX).as_millis(), 50);
        assert_eq!(limit.wait(90_000, 0.5e6).as_millis(), 140);
    }
}
