//! A seeded bad network, itself sans-IO. Packets and time go in; packets come out when they are due.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use datatrack::Instant;

/// What the network does to each packet.
///
/// The seed fixes the fate of each packet: the n-th packet of a sender has the same fate in each run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkOptions {
    /// The seed of the random generator.
    pub seed: u64,
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of packets that are held back by at least [`REORDER_DELAY`] while later ones pass, 0 to 1.
    pub reorder: f64,
    /// How long each packet takes.
    pub delay: Duration,
    /// Upper bound of the random extra delay. The order of packets is kept.
    pub jitter: Duration,
    /// Bandwidth in bytes a second; 0: no limit.
    pub bytes_per_second: u64,
    /// How long a stall lasts. Nothing moves during a stall. Zero: no stalls.
    pub stall: Duration,
    /// From the start of one stall to the start of the next.
    pub stall_every: Duration,
}

/// The least time by which a reordered packet is held back.
pub const REORDER_DELAY: Duration = Duration::from_millis(5);

/// Bytes that a sender may have in flight before it has to wait, as with a data channel's send buffer.
pub const SEND_BUFFER: usize = 128 << 10;

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            bytes_per_second: 0,
            stall: Duration::ZERO,
            stall_every: Duration::ZERO,
        }
    }
}

impl NetworkOptions {
    /// Whether packets arrive at once, in order and without loss.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }
}

/// What the network did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkStats {
    /// Packets that were lost.
    pub lost: u64,
    /// Packets that arrived twice.
    pub duplicated: u64,
    /// Packets that were held back.
    pub reordered: u64,
}

impl NetworkStats {
    /// Adds the counts of another network.
    pub const fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }
}

/// The random numbers that decide on the packets of one sequence.
#[derive(Debug)]
pub struct Fates(fastrand::Rng);

impl Fates {
    /// Those of a sender's sequence: 0 is that of its frames' packets, others are those of its audio tracks. What one
    /// sequence has does not depend on how many packets the others have.
    #[must_use]
    pub fn new(seed: u64, sender: u64, sequence: u64) -> Self {
        let sender = sender.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let sequence = sequence.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self(fastrand::Rng::with_seed(seed ^ sender ^ sequence))
    }

    /// Each packet makes the same four draws. So a change of one option does not change which packets another option
    /// hits.
    fn draw(&mut self) -> [f64; 4] {
        std::array::from_fn(|_| self.0.f64())
    }
}

/// One sender's path through the network.
#[derive(Debug)]
pub struct Network<T> {
    options: NetworkOptions,
    fates: Fates,
    in_flight: BinaryHeap<InFlight<T>>,
    sent: u64,
    /// When the line is free for the next packet.
    line_free_at: Instant,
    /// The latest arrival so far. Packets that are not reordered arrive no earlier.
    last_due: Instant,
    /// Packets that have not crossed the line yet: `(when they will have, bytes)`, oldest first.
    backlog: std::collections::VecDeque<(Instant, usize)>,
    backlog_bytes: usize,
    stats: NetworkStats,
}

#[derive(Debug)]
struct InFlight<T> {
    due: Instant,
    number: u64,
    item: T,
}

impl<T> Network<T> {
    /// The path of the sender with that number. Each sender has its own sequence of fates.
    #[must_use]
    pub fn new(options: NetworkOptions, sender: u64) -> Self {
        Self {
            options,
            fates: Fates::new(options.seed, sender, 0),
            in_flight: BinaryHeap::new(),
            sent: 0,
            line_free_at: Instant::ZERO,
            last_due: Instant::ZERO,
            backlog: std::collections::VecDeque::new(),
            backlog_bytes: 0,
            stats: NetworkStats::default(),
        }
    }

    /// Changes the options for the packets that follow. Packets in flight arrive as planned.
    pub fn set_options(&mut self, options: NetworkOptions, sender: u64) {
        self.options = options;
        self.fates = Fates::new(options.seed, sender, 0);
    }

    /// Whether a packet may be handed on at once: nothing happens to it, and no packet is in flight before it.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.in_flight.is_empty() && self.options.is_perfect()
    }

    /// The packets in flight, in no order.
    pub fn in_flight(&self) -> impl Iterator<Item = &T> {
        self.in_flight.iter().map(|packet| &packet.item)
    }

    /// Whether the sender may send now.
    pub fn accepts(&mut self, now: Instant) -> bool {
        while let Some(&(crossed_at, bytes)) = self.backlog.front()
            && crossed_at <= now
        {
            self.backlog.pop_front();
            self.backlog_bytes -= bytes;
        }
        self.backlog_bytes < SEND_BUFFER
    }

    /// Sends a packet of `len` bytes.
    pub fn send(&mut self, item: T, len: usize, now: Instant)
    where
        T: Clone,
    {
        let drawn = self.fates.draw();
        self.carry(item, len, now, drawn);
    }

    /// Sends a packet of `len` bytes, of a sequence with fates of its own.
    pub fn send_with(&mut self, fates: &mut Fates, item: T, len: usize, now: Instant)
    where
        T: Clone,
    {
        self.carry(item, len, now, fates.draw());
    }

    fn carry(&mut self, item: T, len: usize, now: Instant, [loss, duplicate, reorder, jitter]: [f64; 4])
    where
        T: Clone,
    {
        let number = self.sent;
        self.sent += 1;

        let start = self.after_stall(self.line_free_at.max(now));
        let crossed_at = match self.options.bytes_per_second {
            0 => start,
            rate => start + Duration::from_secs_f64(len as f64 / rate as f64),
        };
        self.line_free_at = crossed_at;
        if crossed_at > now {
            self.backlog.push_back((crossed_at, len));
            self.backlog_bytes += len;
        }
        if loss < self.options.loss {
            self.stats.lost += 1;
            return;
        }
        let arrives = crossed_at + self.options.delay + self.options.jitter.mul_f64(jitter);
        let due = if reorder < self.options.reorder {
            self.stats.reordered += 1;
            arrives + REORDER_DELAY.max(self.options.jitter)
        } else {
            self.last_due = self.last_due.max(arrives);
            self.last_due
        };
        if duplicate < self.options.duplicate {
            self.stats.duplicated += 1;
            self.in_flight.push(InFlight { due, number, item: item.clone() });
        }
        self.in_flight.push(InFlight { due, number, item });
    }

    /// The first moment at or after `at` that lies outside of a stall.
    fn after_stall(&self, at: Instant) -> Instant {
        let every = self.options.stall_every.as_micros();
        let stall = self.options.stall.as_micros();
        if every == 0 || stall == 0 {
            return at;
        }
        // The first stall comes after one interval, so that something arrives before it.
        let phase = u128::from(at.as_micros()) % every;
        if u128::from(at.as_micros()) >= every && phase < stall {
            at + Duration::from_micros(u64::try_from(stall - phase).unwrap_or(u64::MAX))
        } else {
            at
        }
    }

    /// The next packet that has arrived.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        if self.in_flight.peek()?.due > now {
            return None;
        }
        self.in_flight.pop().map(|packet| packet.item)
    }

    /// When the next packet arrives, or when a sender that had to wait may send again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let arrival = self.in_flight.peek().map(|packet| packet.due);
        let room = self
            .backlog
            .front()
            .filter(|_| self.backlog_bytes >= SEND_BUFFER)
            .map(|&(crossed_at, _)| crossed_at);
        match (arrival, room) {
            (Some(arrival), Some(room)) => Some(arrival.min(room)),
            (one, other) => one.or(other),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> NetworkStats {
        self.stats
    }
}

impl<T> Ord for InFlight<T> {
    /// The earliest packet is the greatest, because the heap returns its greatest item first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl<T> PartialOrd for InFlight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for InFlight<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for InFlight<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends `count` numbered packets, one each millisecond. Returns each packet's number and its arrival in ms.
    fn run(options: NetworkOptions, count: u64) -> Vec<(u64, u64)> {
        let mut network = Network::new(options, 1);
        let mut arrived = Vec::new();
        for ms in 0..count + 10_000 {
            let now = Instant::from_millis(ms);
            if ms < count {
                network.send(ms, 1_000, now);
            }
            while let Some(packet) = network.poll(now) {
                arrived.push((packet, ms));
            }
        }
        arrived
    }

    #[test]
    fn a_perfect_network_delivers_at_once_and_in_order() {
        assert!(NetworkOptions { seed: 9, ..Default::default() }.is_perfect());
        let arrived = run(NetworkOptions::default(), 100);
        assert_eq!(arrived, (0..100).map(|number| (number, number)).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_fixes_who_is_lost() {
        let options = NetworkOptions { seed: 1, loss: 0.3, ..Default::default() };
        let first = run(options, 500);
        assert_eq!(first, run(options, 500));
        assert!((300..400).contains(&first.len()), "{}", first.len());
        assert_ne!(first, run(NetworkOptions { seed: 2, ..options }, 500));
    }

    #[test]
    fn one_option_does_not_change_what_another_does() {
        let loss = NetworkOptions { seed: 7, loss: 0.2, ..Default::default() };
        let survivors = |options| {
            let mut numbers = run(options, 300).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let with_more = NetworkOptions { duplicate: 0.5, reorder: 0.5, delay: MS, jitter: 3 * MS, ..loss };
        assert_eq!(survivors(loss), survivors(with_more));
    }

    #[test]
    fn jitter_alone_keeps_the_order_and_reordering_does_not() {
        let jitter = NetworkOptions { seed: 3, delay: 5 * MS, jitter: 20 * MS, ..Default::default() };
        let arrived = run(jitter, 200);
        assert!(arrived.is_sorted_by_key(|(number, _)| *number));
        assert!(arrived.iter().all(|(number, ms)| (number + 5..=number + 45).contains(ms)));
        let reordered = run(NetworkOptions { reorder: 0.2, ..jitter }, 200);
        assert_eq!(reordered.len(), 200);
        assert!(!reordered.is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    fn bandwidth_spaces_packets_out_and_makes_the_sender_wait() {
        let options = NetworkOptions { bytes_per_second: 100_000, ..Default::default() };
        let arrived = run(options, 20);
        assert_eq!(
            arrived.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(),
            (1..=20).map(|n| n * 10).collect::<Vec<_>>()
        );

        let mut network = Network::new(options, 1);
        for _ in 0..=SEND_BUFFER / 1_000 {
            assert!(network.accepts(Instant::ZERO));
            network.send((), 1_000, Instant::ZERO);
        }
        assert!(!network.accepts(Instant::ZERO));
        assert!(network.accepts(Instant::from_millis(20)));
    }

    #[test]
    fn a_stall_holds_everything_back() {
        let options = NetworkOptions { stall: 30 * MS, stall_every: 100 * MS, ..Default::default() };
        let arrived = run(options, 150);
        let in_stall = arrived.iter().filter(|(_, ms)| (100..130).contains(ms)).count();
        assert_eq!(in_stall, 0);
        assert_eq!(arrived.iter().filter(|(_, ms)| *ms == 130).count(), 31);
    }
}
