//! One direction of the link: which packet leaves when. Takes the time as a parameter, and no thread waits in it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use crate::settings::Settings;

/// Bytes that are under way at most, whatever the settings: 2 s at 30 MB/s.
const MOST_UNDER_WAY: usize = 64 << 20;

/// What happened to the packets so far. `received = delivered + lost + dropped + queued`, with `duplicated` ones more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counters {
    received: u64,
    received_bytes: u64,
    delivered: u64,
    delivered_bytes: u64,
    duplicated: u64,
    reordered: u64,
    /// By chance.
    lost: u64,
    /// They did not fit, or the direction was cut.
    dropped: u64,
    /// Those in here now.
    queued: u64,
    queued_bytes: u64,
}

/// The protocol of a packet of IPv4, and where the packet names it.
const UDP: u8 = 17;
const PROTOCOL_AT: usize = 9;

fn is_udp(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4) && packet.get(PROTOCOL_AT) == Some(&UDP)
}

/// A direction with the packets in it.
pub(crate) struct Direction {
    settings: Settings,
    random: Rng,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    under_way_bytes: usize,
    /// When the next packet may start.
    free_at: Instant,
    /// When the last packet that keeps the order arrives.
    last_due: Instant,
    order: u64,
    counters: Counters,
}

struct Waiting {
    since: Instant,
    packet: Box<[u8]>,
}

struct UnderWay {
    due: Instant,
    order: u64,
    packet: Box<[u8]>,
}

impl Direction {
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        Self {
            settings: Settings::default(),
            random: Rng::with_seed(seed),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: BinaryHeap::new(),
            under_way_bytes: 0,
            free_at: now,
            last_due: now,
            order: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) const fn settings(&self) -> Settings {
        self.settings
    }

    pub(crate) fn set(&mut self, settings: Settings, now: Instant) {
        if self.settings.stall && !settings.stall {
            // The time of the stall is lost: what waits does not leave all at once.
            self.free_at = now;
        }
        self.settings = settings;
    }

    pub(crate) fn counters(&self) -> Counters {
        let queued = self.waiting.len() + self.under_way.len();
        let queued_bytes = self.waiting_bytes + self.under_way_bytes;
        Counters { queued: queued as u64, queued_bytes: queued_bytes as u64, ..self.counters }
    }

    /// A packet was sent.
    pub(crate) fn push(&mut self, packet: &[u8], now: Instant) {
        self.counters.received += 1;
        self.counters.received_bytes += packet.len() as u64;
        if self.random.f64() < self.settings.loss {
            self.counters.lost += 1;
            return;
        }
        // What could leave by now makes room.
        self.advance(now);
        let full = self.waiting_bytes + packet.len() > self.settings.queue_bytes
            || self.under_way_bytes + packet.len() > MOST_UNDER_WAY;
        let cut = self.settings.cut || (self.settings.cut_udp && is_udp(packet));
        if cut || full {
            self.counters.dropped += 1;
            return;
        }
        self.waiting_bytes += packet.len();
        self.waiting.push_back(Waiting { since: now, packet: packet.into() });
    }

    /// A packet that arrives now.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Box<[u8]>> {
        if self.settings.stall {
            return None;
        }
        self.advance(now);
        if self.under_way.peek()?.0.due > now {
            return None;
        }
        let Reverse(UnderWay { packet, .. }) = self.under_way.pop()?;
        self.under_way_bytes -= packet.len();
        self.counters.delivered += 1;
        self.counters.delivered_bytes += packet.len() as u64;
        Some(packet)
    }

    /// When to poll again, unless something is pushed or set before.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.settings.stall {
            return None;
        }
        let starts = self.waiting.front().map(|first| first.since.max(self.free_at));
        let arrives = self.under_way.peek().map(|first| first.0.due);
        starts.into_iter().chain(arrives).min()
    }

    /// Sends what waits and may start.
    fn advance(&mut self, now: Instant) {
        while !self.settings.stall && self.free_at <= now {
            let Some(Waiting { since, packet }) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= packet.len();
            self.free_at = self.free_at.max(since) + self.length_of(packet.len());
            let due = self.free_at + self.settings.delay + self.settings.jitter.mul_f64(self.random.f64());
            if self.random.f64() < self.settings.duplicate {
                self.counters.duplicated += 1;
                self.last_due = self.last_due.max(due);
                self.send(self.last_due, packet.clone());
            }
            if self.random.f64() < self.settings.reorder {
                self.counters.reordered += 1;
                self.send(due + self.settings.reorder_by, packet);
            } else {
                self.last_due = self.last_due.max(due);
                self.send(self.last_due, packet);
            }
        }
    }

    fn send(&mut self, due: Instant, packet: Box<[u8]>) {
        self.under_way_bytes += packet.len();
        self.order += 1;
        self.under_way.push(Reverse(UnderWay { due, order: self.order, packet }));
    }

    fn length_of(&self, bytes: usize) -> Duration {
        let rate = self.settings.bytes_per_second;
        #[expect(clippy::cast_precision_loss, reason = "a packet is small")]
        if rate > 0.0 { Duration::from_secs_f64(bytes as f64 / rate) } else { Duration::ZERO }
    }
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn direction(settings: Settings, now: Instant) -> Direction {
        let mut direction = Direction::new(1, now);
        direction.set(settings, now);
        direction
    }

    /// Polls whenever the direction asks for it: the first byte of each packet, and the time since `start`.
    fn drain(direction: &mut Direction, start: Instant) -> Vec<(u8, Duration)> {
        let mut arrived = Vec::new();
        while let Some(due) = direction.next_due() {
            while let Some(packet) = direction.poll(due) {
                arrived.push((packet[0], due - start));
            }
        }
        arrived
    }

    /// The counters close at every moment.
    fn closes(direction: &Direction) {
        let counters = direction.counters();
        assert_eq!(
            counters.received + counters.duplicated,
            counters.delivered + counters.lost + counters.dropped + counters.queued,
            "{counters:?}"
        );
    }

    #[test]
    fn without_settings_packets_pass_at_once() {
        let now = Instant::now();
        let mut direction = direction(Settings::default(), now);
        direction.push(&[7; 100], now);
        assert_eq!(direction.poll(now).unwrap().len(), 100);
        assert_eq!((direction.poll(now), direction.next_due()), (None, None));
        closes(&direction);
    }

    #[test]
    fn a_delay_with_jitter_keeps_the_order() {
        let now = Instant::now();
        let mut direction =
            direction(Settings { delay: 20 * MS, jitter: 10 * MS, ..Settings::default() }, now);
        for number in 0..100 {
            direction.push(&[number], now);
        }
        let arrived = drain(&mut direction, now);
        assert_eq!(
            arrived.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        assert!(arrived.iter().all(|(_, at)| (20 * MS..=30 * MS).contains(at)), "{arrived:?}");
    }

    #[test]
    fn a_rate_spaces_packets_and_its_queue_is_bounded() {
        let now = Instant::now();
        let settings = Settings { bytes_per_second: 100e3, queue_bytes: 1000, ..Settings::default() };
        let mut direction = direction(settings, now);
        for number in 0..20 {
            direction.push(&[number; 100], now);
        }
        // The first one started at once, and ten wait.
        let arrived = drain(&mut direction, now);
        let expected: Vec<_> = (0..11).map(|number| (number, (u32::from(number) + 1) * MS)).collect();
        assert_eq!(arrived, expected);
        assert_eq!(direction.counters().dropped, 9);
        closes(&direction);
    }

    #[test]
    fn a_stall_holds_what_fits_and_then_sends_it_in_order() {
        let now = Instant::now();
        let settings = Settings { delay: 5 * MS, queue_bytes: 1000, ..Settings::default() };
        let mut direction = direction(settings, now);
        direction.push(&[0; 100], now);
        direction.set(Settings { stall: true, ..settings }, now);
        for number in 1..21 {
            direction.push(&[number; 100], now + MS);
        }
        assert_eq!((direction.poll(now + 1000 * MS), direction.next_due()), (None, None));
        closes(&direction);
        direction.set(settings, now + 1000 * MS);
        let arrived = drain(&mut direction, now);
        assert_eq!(
            arrived.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
        assert_eq!(direction.counters().dropped, 11);
    }

    #[test]
    fn a_cut_drops() {
        let now = Instant::now();
        let mut direction = direction(Settings { cut: true, ..Settings::default() }, now);
        direction.push(&[0; 100], now);
        assert_eq!((direction.poll(now), direction.counters().dropped), (None, 1));
    }

    #[test]
    fn a_cut_of_udp_drops_nothing_else() {
        let now = Instant::now();
        let mut direction = direction(Settings { cut_udp: true, ..Settings::default() }, now);
        let mut packet = [0; 100];
        packet[0] = 0x45;
        for (protocol, passes) in [(UDP, false), (6, true)] {
            packet[PROTOCOL_AT] = protocol;
            direction.push(&packet, now);
            assert_eq!(direction.poll(now).is_some(), passes, "{protocol}");
        }
    }

    #[test]
    fn chance_loses_doubles_and_reorders_the_same_packets_for_the_same_seed() {
        let run = || {
            let now = Instant::now();
            let settings = Settings { loss: 0.1, duplicate: 0.1, reorder: 0.1, ..Settings::default() };
            let mut direction = direction(settings, now);
            for number in 0..200 {
                direction.push(&[number], now + MS * u32::from(number));
            }
            let arrived = drain(&mut direction, now);
            closes(&direction);
            (arrived, direction.counters())
        };
        let (arrived, counters) = run();
        for count in [counters.lost, counters.duplicated, counters.reordered] {
            assert!((5..50).contains(&count), "{counters:?}");
        }
        assert!(!arrived.is_sorted_by_key(|(number, _)| *number));
        assert_eq!(run(), (arrived, counters));
    }
}
