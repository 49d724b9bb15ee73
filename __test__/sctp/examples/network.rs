//! What arrives over bad networks and what it costs, with our engine and with the one that str0m has by itself, on
//! virtual time. Prints one line of JSON for each figure; `npm run bench:network` makes a table of them.
//!
//!     cargo run --release --manifest-path __test__/sctp/Cargo.toml --example network -- [--quick] [part of a row's name]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use support::{Kind, Line, Try, World};

const MS: Duration = Duration::from_millis(1);
const MBIT: u64 = 125_000;
/// Rounds in which flows begin at other times, of which the mean is taken.
const ROUNDS: u64 = 8;
const KINDS: [(Kind, &str); 3] =
    [(Kind::Stock, "stock"), (Kind::RENO, "NewReno"), (Kind::GATED, "delay-gated")];

/// Messages of one size that are written as fast as the channel takes them, as `connection/limit.rs` of the driver
/// says: the measured rate × the round trip, a tenth more, and 20 ms of queue.
struct Pump {
    from: usize,
    size: usize,
    written: u64,
    /// Rates of the last four round trips.
    rates: [f64; 4],
    next: usize,
    window: (Instant, u64),
    round_trip: Duration,
    limit: usize,
    start: Instant,
}

impl Pump {
    fn new(world: &mut World, from: usize, size: usize, tried: Try, round_trip: Duration) -> Self {
        world.open(from, 1, tried != Try::Always, tried);
        Self {
            from,
            size,
            written: 0,
            rates: [0.0; 4],
            next: 0,
            window: (world.now, 0),
            round_trip: round_trip.max(20 * MS),
            limit: 32 << 10,
            start: world.now,
        }
    }

    fn run(&mut self, world: &mut World) {
        let mut held = world.buffered(self.from, 1);
        let acknowledged = self.written - held as u64;
        let time = world.now - self.window.0;
        if time >= self.round_trip {
            let best = self.rates.iter().copied().fold(0.0, f64::max);
            let rate = (acknowledged - self.window.1) as f64 / time.as_secs_f64();
            let growing = rate > 1.25 * best;
            self.rates[self.next % 4] = rate;
            self.next += 1;
            let best = self.rates.iter().copied().fold(0.0, f64::max);
            let seen = best * self.round_trip.as_secs_f64();
            let headroom = if growing && seen < 128e3 { 1.5 } else { 1.1 };
            let queue = best * if growing { 0.04 } else { 0.02 };
            self.limit =
                ((headroom * seen) as usize + (queue as usize).min(128 << 10)).clamp(4 << 10, 4 << 20);
            self.window = (world.now, acknowledged);
        }
        while held + self.size <= self.limit || held <= self.limit.min(1200) {
            let mut message = vec![7; self.size];
            let age = (world.now - self.start).as_nanos() as u64;
            message[..8].copy_from_slice(&age.to_be_bytes());
            world.write(self.from, 1, &message);
            self.written += self.size as u64;
            held += self.size;
        }
    }
}

#[derive(Default, Clone)]
struct Arrived {
    bytes: u64,
    messages: u64,
    ages: Vec<f64>,
}

struct Measured {
    /// MB/s that arrive.
    goodput: f64,
    /// Share of the written bytes that arrives.
    delivered: f64,
    /// Of the packets of the first flow, those that its own queue dropped.
    dropped: f64,
    p99_ms: f64,
}

/// Flows side by side: measured from after the first three seconds on.
fn measure(line: Line, flows: &[(Kind, Try, usize)], time: Duration, seed: u64) -> Vec<Measured> {
    let kinds: Vec<Kind> = flows.iter().flat_map(|(kind, ..)| [*kind; 2]).collect();
    let mut world = World::established(seed, line, &kinds);
    // As the driver does it: for `maxQueueAge`.
    world.repair = Some(100 * MS);
    let round_trip = line.delay * 2;
    let mut pumps: Vec<Pump> = flows
        .iter()
        .enumerate()
        .map(|(at, (_, tried, size))| Pump::new(&mut world, 2 * at, *size, *tried, round_trip))
        .collect();
    let start = world.now;
    // Two flows fall into step with each other, so what they get depends on when they begin.
    let begins: Vec<_> = (0..flows.len() as u64).map(|at| MS * (at * (seed * 173 % 1000)) as u32).collect();
    let arrived = Rc::new(RefCell::new(vec![Arrived::default(); flows.len()]));
    let counts = Rc::clone(&arrived);
    world.taker = Some(Box::new(move |end, now, message| {
        let entry = &mut counts.borrow_mut()[end / 2];
        entry.bytes += message.len() as u64;
        entry.messages += 1;
        let written = u64::from_be_bytes(message[..8].try_into().unwrap());
        entry.ages.push((now - start).saturating_sub(Duration::from_nanos(written)).as_secs_f64() * 1e3);
    }));
    let mut run = |world: &mut World, time: Duration| {
        let end = world.now + time;
        while world.now < end {
            for (pump, begins) in pumps.iter_mut().zip(&begins) {
                if world.now - start >= *begins {
                    pump.run(world);
                }
            }
            let limit = (world.now + MS).min(end);
            // A pump runs after each input, as in the driver.
            world.step(limit);
        }
        pumps.iter().map(|pump| pump.written).collect::<Vec<_>>()
    };
    let written_before = run(&mut world, Duration::from_secs(3));
    let before = std::mem::replace(&mut *arrived.borrow_mut(), vec![Arrived::default(); flows.len()]);
    let packets = |world: &World, at: usize| {
        (world.ends[2 * at].packets_sent as f64, world.ends[2 * at].packets_dropped as f64)
    };
    let sent_before: Vec<_> = (0..flows.len()).map(|at| packets(&world, at)).collect();
    let written = run(&mut world, time);
    let arrived = arrived.borrow();
    drop(before);
    (0..flows.len())
        .map(|at| {
            let mut ages = arrived[at].ages.clone();
            ages.sort_by(f64::total_cmp);
            let (sent, dropped) = packets(&world, at);
            Measured {
                goodput: arrived[at].bytes as f64 / time.as_secs_f64() / 1e6,
                delivered: arrived[at].bytes as f64 / (written[at] - written_before[at]).max(1) as f64,
                dropped: (dropped - sent_before[at].1) / (sent - sent_before[at].0).max(1.0),
                p99_ms: ages.get(ages.len() * 99 / 100).copied().unwrap_or(f64::INFINITY),
            }
        })
        .collect()
}

/// Milliseconds of one core for each MB, both ends and the virtual link.
fn cost(kind: Kind, round_trip: Duration, rate: u64, held: usize, megabytes: u64) -> f64 {
    let line = Line { rate, queue: Duration::from_secs(1), ..Line::new(round_trip / 2) };
    let mut world = World::established(1, line, &[kind; 2]);
    world.open(0, 1, true, Try::Times(0));
    let received = Rc::new(RefCell::new(0_u64));
    let counter = Rc::clone(&received);
    world.taker = Some(Box::new(move |_, _, message| *counter.borrow_mut() += message.len() as u64));
    let message = vec![7; 15_000];
    let run = |world: &mut World, bytes: u64| {
        let end = *received.borrow() + bytes;
        while *received.borrow() < end {
            while world.buffered(0, 1) + message.len() <= held {
                world.write(0, 1, &message);
            }
            let limit = world.now + MS;
            world.step(limit);
        }
    };
    // Until the window is open.
    run(&mut world, 8_000_000);
    let start = Instant::now();
    run(&mut world, megabytes * 1_000_000);
    start.elapsed().as_secs_f64() * 1e3 / megabytes as f64
}

fn print(row: &str, engine: &str, figures: &[(&str, f64)]) {
    let figures: Vec<String> = figures.iter().map(|(name, value)| format!("\"{name}\":{value:.4}")).collect();
    println!("{{\"row\":\"{row}\",\"engine\":\"{engine}\",{}}}", figures.join(","));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let part = arguments.iter().find(|argument| !argument.starts_with("--"));
    let wants = |row: &str| part.is_none_or(|part| row.contains(part.as_str()));
    let time = Duration::from_secs(if quick { 10 } else { 60 });
    let lossy = Try::Times(0);

    let goodput = |row: &str, line: Line, size: usize| {
        if wants(row) {
            for (kind, name) in KINDS {
                let measured = &measure(line, &[(kind, lossy, size)], time, 1)[0];
                let Measured { goodput, delivered, p99_ms, .. } = *measured;
                print(row, name, &[("goodput", goodput), ("delivered", delivered), ("p99", p99_ms)]);
            }
        }
    };
    let narrow = Line { rate: 20 * MBIT, ..Line::new(20 * MS) };
    for (loss, name) in [(0.0, "0"), (0.001, "0.1"), (0.01, "1"), (0.05, "5")] {
        goodput(&format!("20 Mbit/s, 40 ms, 1 KiB, {name} %"), Line { loss, ..narrow }, 1024);
    }
    goodput("20 Mbit/s, 40 ms, 15 kB, 1 %", Line { loss: 0.01, ..narrow }, 15_000);
    goodput("100 Mbit/s, 40 ms, 1 KiB, 1 %", Line { rate: 100 * MBIT, loss: 0.01, ..narrow }, 1024);
    goodput("20 Mbit/s, 150 ms, 1 KiB, 1 %", Line { loss: 0.01, delay: 75 * MS, ..narrow }, 1024);

    // A reliable flow of the stock engine, and beside it data tracks on each engine.
    for queue in [10, 50, 200] {
        for (loss, name) in [(0.0, ""), (0.01, ", 1 %")] {
            let row = format!("beside, queue {queue} ms{name}");
            if wants(&row) {
                for (kind, name) in KINDS {
                    let line = Line { queue: queue * MS, loss, ..narrow };
                    let flows = [(Kind::Stock, Try::Always, 1024), (kind, lossy, 1024)];
                    let rounds: Vec<_> = (0..ROUNDS).map(|seed| measure(line, &flows, time, seed)).collect();
                    let mean =
                        |at: usize| rounds.iter().map(|round| round[at].goodput).sum::<f64>() / ROUNDS as f64;
                    print(&row, name, &[("stock flow", mean(0)), ("goodput", mean(1))]);
                }
            }
        }
    }
    let row = "alone, queue 2 ms";
    if wants(row) {
        for (kind, name) in KINDS {
            let measured = &measure(Line { queue: 2 * MS, ..narrow }, &[(kind, lossy, 1024)], time, 1)[0];
            print(row, name, &[("goodput", measured.goodput), ("dropped", measured.dropped)]);
        }
    }

    let megabytes = if quick { 10 } else { 50 };
    for (row, round_trip, rate, held) in [
        ("cost, 1 ms, 128 KiB in flight", MS, 0, 128 << 10),
        ("cost, 1 ms, 1 MB in flight", MS, 0, 1 << 20),
        ("cost, 40 ms, 200 Mbit/s, 1 MB in flight", 40 * MS, 200 * MBIT, 1 << 20),
    ] {
        if wants(row) {
            for (kind, name) in KINDS {
                let least =
                    (0..3).map(|_| cost(kind, round_trip, rate, held, megabytes)).fold(f64::MAX, f64::min);
                print(row, name, &[("ms per MB", least)]);
            }
        }
    }
}
