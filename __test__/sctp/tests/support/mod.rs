//! Associations with a link between them, on virtual time: delay, rate, a queue, and seeded loss. All pairs of ends
//! share the link: what one has in the queue delays the others.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod engine;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use engine::{Engine, Happened, Kind, Try};

/// A small generator of numbers, repeatable.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
    }
}

/// One direction of a link.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub delay: Duration,
    /// Bytes a second; 0: no limit.
    pub rate: u64,
    /// How long packets may wait for their turn.
    pub queue: Duration,
    pub loss: f64,
    pub duplicate: f64,
    /// Share of packets that come later by this.
    pub reorder: f64,
    pub late: Duration,
}

impl Line {
    pub const fn new(delay: Duration) -> Self {
        Self {
            delay,
            rate: 0,
            queue: Duration::from_millis(50),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            late: Duration::from_millis(5),
        }
    }
}

/// One end of a pair. The first of the pair is even, the second odd.
pub struct End {
    pub engine: Box<dyn Engine>,
    pub events: Vec<Happened>,
    pub received: Vec<(u16, Bytes)>,
    pub closed_streams: Vec<u16>,
    pub reset_streams: Vec<u16>,
    pub connected: bool,
    pub lost: Option<String>,
    pub packets_sent: u64,
    pub packets_dropped: u64,
    pub read: bool,
}

/// Says of a packet whether it is dropped: the end that sends it, and its bytes.
pub type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;
/// Takes messages in place of [`End::received`]: the end that receives, the time, and the bytes.
pub type Taker = Box<dyn FnMut(usize, Instant, &Bytes)>;

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub ends: Vec<End>,
    /// From the even ends, and from the odd ones.
    pub lines: [Line; 2],
    free_at: [Instant; 2],
    random: Random,
    in_air: BinaryHeap<Reverse<(Instant, u64, usize, Bytes)>>,
    count: u64,
    /// Packets that a test wants to see: end and bytes.
    pub seen: Vec<(usize, Bytes)>,
    pub watch: bool,
    /// Drops packets for which it says so.
    pub filter: Option<Filter>,
    pub taker: Option<Taker>,
    /// How long after it was written a message is repaired; only ours does so.
    pub repair: Option<Duration>,
    /// How often the ends look for packets; `None`: they take each one as it comes. A busy machine gives a process the
    /// CPU only now and then.
    pub wakes: Option<Duration>,
}

impl World {
    /// Pairs of ends that are not connected.
    pub fn new(seed: u64, line: Line, kinds: &[Kind]) -> Self {
        let now = Instant::now();
        let end = |(salt, kind): (usize, &Kind)| End {
            engine: kind.make(seed ^ (salt as u64 + 1)),
            events: Vec::new(),
            received: Vec::new(),
            closed_streams: Vec::new(),
            reset_streams: Vec::new(),
            connected: false,
            lost: None,
            packets_sent: 0,
            packets_dropped: 0,
            read: true,
        };
        Self {
            now,
            start: now,
            ends: kinds.iter().enumerate().map(end).collect(),
            lines: [line, line],
            free_at: [now, now],
            random: Random(seed),
            in_air: BinaryHeap::new(),
            count: 0,
            seen: Vec::new(),
            watch: false,
            filter: None,
            taker: None,
            repair: None,
            wakes: None,
        }
    }

    /// Connects all pairs on a good line, and makes it what it should be.
    pub fn established(seed: u64, line: Line, kinds: &[Kind]) -> Self {
        let quiet = Line { loss: 0.0, duplicate: 0.0, reorder: 0.0, ..line };
        let mut world = Self::new(seed, quiet, kinds);
        for end in (0..kinds.len()).step_by(2) {
            world.ends[end].engine.connect();
        }
        world.run_until(Duration::from_secs(30), |world| world.ends.iter().all(|end| end.connected));
        assert!(world.ends.iter().all(|end| end.connected), "not connected: {kinds:?}");
        world.lines = [line, line];
        world
    }

    pub fn open(&mut self, end: usize, id: u16, unordered: bool, tried: Try) {
        self.ends[end].engine.open(id, unordered, tried);
    }

    pub fn write(&mut self, end: usize, id: u16, data: &[u8]) {
        let until = self.repair.map(|age| self.now + age);
        let taken = datatrack_sctp::repair_until(|| until, || self.ends[end].engine.write(id, data));
        assert!(taken, "a message was not taken");
    }

    pub fn buffered(&mut self, end: usize, id: u16) -> usize {
        self.ends[end].engine.buffered(id)
    }

    /// Hands out what all have to send, and takes what they tell.
    pub fn settle(&mut self) {
        for end in 0..self.ends.len() {
            while let Some(packet) = self.ends[end].engine.poll_packet(self.now) {
                self.ends[end].packets_sent += 1;
                self.send(end, packet);
            }
            self.collect(end);
        }
    }

    fn collect(&mut self, end: usize) {
        let side = &mut self.ends[end];
        while let Some(happened) = side.engine.poll() {
            match &happened {
                Happened::Connected => side.connected = true,
                Happened::Lost(reason) => side.lost = Some(reason.clone()),
                Happened::Finished(id) => side.closed_streams.push(*id),
                Happened::ResetComplete(id) => side.reset_streams.push(*id),
                Happened::Readable(id) if side.read => {
                    while let Some(message) = side.engine.read(*id) {
                        match &mut self.taker {
                            Some(taker) => taker(end, self.now, &message),
                            None => side.received.push((*id, message)),
                        }
                    }
                }
                _ => {}
            }
            if self.taker.is_none() {
                side.events.push(happened);
            }
        }
    }

    fn send(&mut self, from: usize, packet: Bytes) {
        if self.watch {
            self.seen.push((from, packet.clone()));
        }
        if let Some(filter) = &mut self.filter
            && filter(from, &packet)
        {
            return;
        }
        let way = from % 2;
        let line = self.lines[way];
        if self.random.chance(line.loss) {
            return;
        }
        let mut leaves = self.now;
        let size = packet.len() as u64 + 80;
        if let Some(nanos) = (size * 1_000_000_000).checked_div(line.rate) {
            let starts = self.free_at[way].max(self.now);
            if starts - self.now > line.queue {
                self.ends[from].packets_dropped += 1;
                return;
            }
            leaves = starts + Duration::from_nanos(nanos);
            self.free_at[way] = leaves;
        }
        let late = if self.random.chance(line.reorder) { line.late } else { Duration::ZERO };
        let copies = if self.random.chance(line.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            self.count += 1;
            let taken = self.wake_after(leaves + line.delay + late);
            self.in_air.push(Reverse((taken, self.count, from ^ 1, packet.clone())));
        }
    }

    fn wake_after(&self, arrival: Instant) -> Instant {
        let Some(wakes) = self.wakes else { return arrival };
        let past = (arrival - self.start).as_nanos() % wakes.as_nanos();
        arrival + wakes.saturating_sub(Duration::from_nanos(past as u64))
    }

    pub fn inject(&mut self, to: usize, packet: Bytes) {
        self.ends[to].engine.handle_packet(self.now, packet);
    }

    /// Goes on to the next thing that happens, at `limit` at the latest. `false`: nothing happens before that.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.settle();
        let arrival = self.in_air.peek().map(|Reverse((at, ..))| *at);
        let timeout = self.ends.iter().filter_map(|end| end.engine.poll_timeout()).min();
        let Some(next) = [arrival, timeout].into_iter().flatten().min().filter(|next| *next <= limit) else {
            self.now = limit.max(self.now);
            return false;
        };
        self.now = next.max(self.now);
        while let Some(Reverse((at, ..))) = self.in_air.peek()
            && *at <= self.now
        {
            if let Some(Reverse((_, _, to, packet))) = self.in_air.pop() {
                self.inject(to, packet);
            }
        }
        let now = self.now;
        for end in &mut self.ends {
            end.engine.handle_timeout(now);
        }
        self.settle();
        true
    }

    pub fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    pub fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + time;
        while !done(self) {
            if !self.step(limit) {
                return done(self);
            }
        }
        true
    }
}
