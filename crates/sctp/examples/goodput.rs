//! Prints what arrives on lines of limited rate, with and without random loss, on virtual time.
//!
//!     cargo run -p datatrack-sctp --release --example goodput
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use sctp_proto::{Algorithm, ReliabilityType};
use support::{Line, World};

const MS: Duration = Duration::from_millis(1);

/// MB/s that arrive over ten seconds, after two of warming up, and the share of messages that arrive.
fn goodput(algorithm: Algorithm, line: Line, size: usize, seed: u64) -> (f64, f64) {
    let mut world = World::established(seed, line, algorithm);
    world.open(0, 1, true, ReliabilityType::Rexmit, 0);
    let message = vec![7; size];
    let mut written = 0_usize;
    let mut run = |world: &mut World, time: Duration| {
        let end = world.now + time;
        while world.now < end {
            while world.buffered(0, 1) < 512 * 1024 {
                world.write(0, 1, &message);
                written += 1;
            }
            let limit = (world.now + MS).min(end);
            while world.step(limit) {}
        }
    };
    run(&mut world, Duration::from_secs(2));
    let before = world.ends[1].received.len();
    run(&mut world, Duration::from_secs(10));
    let bytes = (world.ends[1].received.len() - before) * size;
    let share = world.ends[1].received.len() as f64 / written as f64;
    (bytes as f64 / 10e6, share)
}

fn main() {
    for (name, rate) in [("20 Mbit/s", 2_500_000), ("100 Mbit/s", 12_500_000)] {
        for size in [1024, 15_000] {
            for loss in [0.0, 0.001, 0.01, 0.05] {
                let line = Line { rate, loss, ..Line::new(20 * MS) };
                let start = Instant::now();
                let (reno, _) = goodput(Algorithm::NewReno, line, size, 1);
                let reno_time = start.elapsed();
                let (gated, share) = goodput(Algorithm::DelayGated, line, size, 1);
                println!(
                    "{name} {size:>6} B {:>4} %: NewReno {reno:.2} MB/s ({reno_time:?}), gated {gated:.2} MB/s, {:.1} % arrive",
                    loss * 100.0,
                    share * 100.0
                );
            }
        }
    }
}
