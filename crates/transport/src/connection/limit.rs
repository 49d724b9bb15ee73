use std::time::{Duration, Instant};

/// Bytes that the data track's channel may hold at the start.
const START: usize = 128 << 10;
/// Bytes it may always hold: two packets.
const LEAST: usize = 32 << 10;
/// Bytes it may hold at most, on the longest and fattest path.
const MOST: usize = 4 << 20;
/// How much may wait in the channel on top of what is under way: as long as this lasts, and at most `QUEUE_MOST`.
const QUEUE: Duration = Duration::from_millis(40);
const QUEUE_MOST: usize = 128 << 10;
/// What is assumed of a path that has not been measured.
const UNKNOWN_RTT: Duration = Duration::from_millis(50);
/// Least length of a measurement.
const LEAST_WINDOW: Duration = Duration::from_millis(20);
/// Measurements of which the best one counts.
const WINDOWS: usize = 4;

/// How many bytes of data tracks the channel may hold, those under way included.
///
/// What a channel has taken cannot be taken back, so this is how old a frame can become there; and a channel that holds
/// less than the path does (rate times round-trip time) leaves it idle. So the limit follows what the path is seen to
/// carry: only while the channel was full all the time, since what the application offers says nothing of the path.
#[derive(Debug)]
pub(super) struct BacklogLimit {
    limit: usize,
    rtts: [Option<Duration>; WINDOWS],
    rates: [f64; WINDOWS],
    next: usize,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    acknowledged: u64,
}

impl BacklogLimit {
    pub(super) const fn new() -> Self {
        Self { limit: START, rtts: [None; WINDOWS], rates: [0.0; WINDOWS], next: 0, window: None }
    }

    /// Bytes that may be held now.
    pub(super) const fn get(&self) -> usize {
        self.limit
    }

    /// The path was measured. The least of the last few counts: a queue on the way is no reason for a longer one.
    pub(super) fn handle_rtt(&mut self, rtt: Duration) {
        self.rtts.rotate_right(1);
        if let Some(newest) = self.rtts.first_mut() {
            *newest = Some(rtt);
        }
    }

    /// The channel was filled up to the limit, or (`full` false) all that there was fitted in.
    pub(super) fn handle_pump(&mut self, full: bool, acknowledged: u64, now: Instant) {
        if !full {
            self.window = None;
            return;
        }
        let rtt = self.rtts.iter().flatten().min().copied().unwrap_or(UNKNOWN_RTT);
        let Some(window) = &self.window else {
            self.window = Some(Window { start: now, acknowledged });
            return;
        };
        let length = now.saturating_duration_since(window.start);
        if length < rtt.max(LEAST_WINDOW) {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes of a few milliseconds")]
        let rate = acknowledged.saturating_sub(window.acknowledged) as f64 / length.as_secs_f64();
        self.window = Some(Window { start: now, acknowledged });
        if let Some(oldest) = self.rates.get_mut(self.next) {
            *oldest = rate;
        }
        self.next = (self.next + 1) % WINDOWS;
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut to a range that fits"
        )]
        let (under_way, queue) =
            ((1.25 * best * rtt.as_secs_f64()) as usize, (best * QUEUE.as_secs_f64()) as usize);
        self.limit = under_way.saturating_add(queue.min(QUEUE_MOST)).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of that rate (bytes a second) and round-trip time that is offered more than it carries, for two seconds.
    fn saturate(limit: &mut BacklogLimit, rate: f64, rtt: Duration, start: Instant) -> Instant {
        const STEP: Duration = Duration::from_millis(5);
        let mut now = start;
        let mut acknowledged = 0.0;
        limit.handle_rtt(rtt);
        for _ in 0..400 {
            now += STEP;
            // No more than the limit comes back each round trip.
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
        assert_eq!(limit.get(), LEAST);
    }

    #[test]
    fn a_short_path_holds_what_it_held() {
        let mut limit = BacklogLimit::new();
        saturate(&mut limit, 27e6, Duration::from_micros(200), Instant::now());
        assert!((START..START + 10_000).contains(&limit.get()), "{}", limit.get());
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
    fn a_path_that_became_fast_again_is_noticed() {
        let mut limit = BacklogLimit::new();
        let rtt = Duration::from_millis(40);
        let now = saturate(&mut limit, 10e6, rtt, Instant::now());
        let now = saturate(&mut limit, 50e3, rtt, now);
        assert_eq!(limit.get(), LEAST);
        saturate(&mut limit, 10e6, rtt, now);
        assert!(limit.get() > 400_000, "{}", limit.get());
    }
}
