//! What any SCTP engine for data channels does, on good and bad lines and on virtual time: for ours, for the one that
//! str0m has by itself, and for one of each.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use support::{Happened, Kind, Line, Random, Try, World};

const MS: Duration = Duration::from_millis(1);

/// Who talks to whom. The stock engine makes random numbers of its own, so its packets differ from run to run.
const PAIRS: [[Kind; 2]; 5] = [
    [Kind::RENO, Kind::RENO],
    [Kind::GATED, Kind::GATED],
    [Kind::GATED, Kind::Stock],
    [Kind::Stock, Kind::GATED],
    [Kind::Stock, Kind::Stock],
];

fn pattern(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((4..length).map(|at| (at as u32 * 31 + number) as u8));
    bytes.truncate(length.max(4));
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn they_connect_on_a_line_that_loses_a_third() {
    for kinds in PAIRS {
        for seed in 0..10 {
            let mut world = World::new(seed, Line { loss: 0.33, ..Line::new(10 * MS) }, &kinds);
            world.ends[0].engine.connect();
            let connected = |world: &World| world.ends.iter().all(|end| end.connected);
            assert!(world.run_until(Duration::from_secs(600), connected), "{kinds:?}, seed {seed}");
        }
    }
}

#[test]
fn both_may_begin_at_once() {
    // Two of the stock engine never connect.
    for kinds in PAIRS.into_iter().filter(|kinds| *kinds != [Kind::Stock; 2]) {
        let mut world = World::new(1, Line::new(20 * MS), &kinds);
        world.ends[0].engine.connect();
        world.ends[1].engine.connect();
        let connected = |world: &World| world.ends.iter().all(|end| end.connected);
        assert!(world.run_until(Duration::from_secs(10), connected), "{kinds:?}");
        world.open(0, 1, false, Try::Always);
        world.write(0, 1, b"after a collision");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.ends[1].received.len(), 1, "{kinds:?}");
    }
}

#[test]
fn messages_of_all_sizes_arrive_once_and_in_order() {
    let sizes = [4, 5, 1159, 1160, 1161, 2320, 15_000, 65_536, 4, 40_000];
    for kinds in PAIRS {
        let mut world = World::established(4, Line::new(5 * MS), &kinds);
        world.open(0, 1, false, Try::Always);
        for (number, size) in sizes.iter().enumerate() {
            world.write(0, 1, &pattern(number as u32, *size));
        }
        world.run_for(Duration::from_secs(3));
        let received: Vec<_> = world.ends[1].received.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        let sent: Vec<_> =
            sizes.iter().enumerate().map(|(number, size)| pattern(number as u32, *size)).collect();
        assert!(received == sent, "{kinds:?}");
        assert_eq!(world.buffered(0, 1), 0, "{kinds:?}");
    }
}

#[test]
fn a_reliable_stream_loses_nothing_on_a_line_that_loses_doubles_and_reorders() {
    for kinds in PAIRS {
        for seed in 0..10 {
            let line = Line { loss: 0.1, duplicate: 0.05, reorder: 0.1, ..Line::new(10 * MS) };
            let mut world = World::established(seed, line, &kinds);
            world.open(0, 1, false, Try::Always);
            world.open(1, 2, false, Try::Always);
            let size = |number: u32| 4 + (number as usize * 397) % 6000;
            for number in 0..200 {
                world.write(0, 1, &pattern(number, size(number)));
                world.write(1, 2, &pattern(number, size(number)));
            }
            let all = |world: &World| world.ends.iter().all(|end| end.received.len() >= 200);
            assert!(world.run_until(Duration::from_secs(600), all), "{kinds:?}, seed {seed}");
            for end in &world.ends {
                for (number, (_, bytes)) in (0..).zip(&end.received) {
                    assert_eq!(bytes[..], pattern(number, size(number))[..], "{kinds:?}, seed {seed}");
                }
            }
            world.run_for(Duration::from_secs(60));
            for (end, id) in [(0, 1), (1, 2)] {
                // The stock engine keeps some bytes on its account after a duplicate.
                if kinds[end] != Kind::Stock {
                    assert_eq!(world.buffered(end, id), 0, "{kinds:?}, seed {seed}");
                }
            }
        }
    }
}

/// Streams of all kinds at once, both ways, on random lines. What must arrive arrives once, in order where there is
/// one, whole, and nothing is left behind.
#[test]
fn streams_of_all_kinds_keep_their_promises_on_random_lines() {
    const STREAMS: [(u16, bool, Try); 6] = [
        (1, false, Try::Always),
        (3, true, Try::Always),
        (5, false, Try::Times(0)),
        (7, true, Try::Times(0)),
        (9, true, Try::Times(2)),
        (11, false, Try::Ms(300)),
    ];
    for kinds in PAIRS {
        for seed in 0..16 {
            let mut random = Random(seed);
            let line = Line {
                loss: random.next() as f64 / u64::MAX as f64 * 0.1,
                duplicate: random.next() as f64 / u64::MAX as f64 * 0.05,
                reorder: random.next() as f64 / u64::MAX as f64 * 0.2,
                late: MS * (random.next() % 30) as u32,
                rate: 500_000 + random.next() % 5_000_000,
                ..Line::new(MS * (1 + random.next() % 60) as u32)
            };
            let about = format!("{kinds:?}, seed {seed}, {line:?}");
            let mut world = World::established(seed, line, &kinds);
            world.repair = (seed % 4 == 3).then_some(MS * 200);
            for (id, unordered, tried) in STREAMS {
                world.open(0, id, unordered, tried);
                world.open(1, id + 1, unordered, tried);
            }
            let mut written = [[0_u32; 13]; 2];
            for _ in 0..300 {
                let (id, ..) = STREAMS[random.next() as usize % STREAMS.len()];
                let from = (random.next() % 2) as usize;
                let id = id + from as u16;
                let count = &mut written[from][usize::from(id)];
                world.write(from, id, &pattern(*count, 4 + random.next() as usize % 9000));
                *count += 1;
                world.run_for(MS * (random.next() % 12) as u32);
            }
            world.run_for(Duration::from_secs(300));
            for from in 0..2 {
                for (id, unordered, tried) in STREAMS {
                    let id = id + from as u16;
                    let received: Vec<&[u8]> = world.ends[1 - from]
                        .received
                        .iter()
                        .filter(|(stream, _)| *stream == id)
                        .map(|(_, bytes)| &bytes[..])
                        .collect();
                    let numbers: Vec<u32> = received.iter().map(|bytes| number(bytes)).collect();
                    let distinct: HashSet<u32> = numbers.iter().copied().collect();
                    assert_eq!(distinct.len(), numbers.len(), "stream {id} doubled: {about}");
                    assert!(unordered || numbers.is_sorted(), "stream {id} out of order: {about}");
                    if tried == Try::Always {
                        let all = written[from][usize::from(id)] as usize;
                        assert_eq!(numbers.len(), all, "stream {id}: {about}");
                    }
                    for bytes in received {
                        assert_eq!(*bytes, pattern(number(bytes), bytes.len())[..], "{about}");
                    }
                    if kinds[from] != Kind::Stock {
                        assert_eq!(world.buffered(from, id), 0, "stream {id}: {about}");
                    }
                }
            }
            assert!(world.ends.iter().all(|end| end.lost.is_none()), "{about}");
        }
    }
}

#[test]
fn what_may_be_lost_is_given_up_and_nothing_waits_for_it() {
    for kinds in PAIRS {
        for seed in 0..8 {
            let line = Line { loss: 0.1, reorder: 0.05, ..Line::new(10 * MS) };
            let mut world = World::established(seed, line, &kinds);
            world.open(0, 1, true, Try::Times(0));
            for number in 0..500_u32 {
                world.write(0, 1, &pattern(number, 2000));
                world.run_for(2 * MS);
            }
            world.run_for(Duration::from_secs(120));
            let received = world.ends[1].received.len();
            // Two packets, of which each is lost with 10 %.
            assert!((340..=480).contains(&received), "{kinds:?}, seed {seed}: {received}");
            assert_eq!(world.buffered(0, 1), 0, "{kinds:?}, seed {seed}");
        }
    }
}

#[test]
fn streams_are_reset_by_either_side_and_can_be_used_again() {
    for kinds in PAIRS {
        for seed in 0..10 {
            let line = Line { loss: 0.1, ..Line::new(10 * MS) };
            let mut world = World::established(seed, line, &kinds);
            for round in 0..3_u32 {
                let closer = (round as usize) % 2;
                let count = round as usize + 1;
                world.open(0, 1, false, Try::Always);
                world.write(0, 1, &pattern(round, 30_000));
                let done =
                    world.run_until(Duration::from_secs(120), |world| world.ends[1].received.len() == count);
                assert!(done, "{kinds:?}, seed {seed}, round {round}");
                world.ends[closer].engine.close_stream(1);
                let done = world.run_until(Duration::from_secs(120), |world| {
                    world.ends.iter().all(|end| end.reset_streams.len() == count)
                });
                assert!(done, "{kinds:?}, seed {seed}, round {round}: {:?}", world.ends[0].events);
            }
            let failed = |happened: &Happened| matches!(happened, Happened::ResetFailed(_));
            assert!(!world.ends.iter().any(|end| end.events.iter().any(failed)), "{kinds:?}, seed {seed}");
        }
    }
}

#[test]
fn a_shutdown_waits_for_what_was_written_and_ends_both() {
    // The stock engine drops what it has not sent yet.
    for kinds in PAIRS.into_iter().filter(|kinds| kinds[0] != Kind::Stock) {
        for seed in 0..10 {
            let line = Line { loss: 0.1, ..Line::new(10 * MS) };
            let mut world = World::established(seed, line, &kinds);
            world.open(0, 1, false, Try::Always);
            for number in 0..50 {
                world.write(0, 1, &pattern(number, 5000));
            }
            world.ends[0].engine.shutdown();
            world.run_for(Duration::from_secs(300));
            assert_eq!(world.ends[1].received.len(), 50, "{kinds:?}, seed {seed}");
            // The stock engine does not know the last word where its tag is reflected, which is said once more.
            for (end, kind) in world.ends.iter().zip(kinds) {
                assert!(end.engine.is_closed() || kind == Kind::Stock, "{kinds:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_reader_that_does_not_read_stops_its_sender_and_loses_nothing() {
    for kinds in PAIRS {
        let mut world = World::established(12, Line::new(5 * MS), &kinds);
        world.open(0, 1, false, Try::Always);
        world.ends[1].read = false;
        for number in 0..1000 {
            world.write(0, 1, &pattern(number, 10_000));
        }
        world.run_for(Duration::from_secs(5));
        assert!(world.buffered(0, 1) > 5_000_000, "{kinds:?}: {}", world.buffered(0, 1));
        world.ends[1].read = true;
        let mut first = 0;
        while world.ends[1].engine.read(1).is_some() {
            first += 1;
        }
        let all = |world: &World| world.ends[1].received.len() + first == 1000;
        assert!(
            world.run_until(Duration::from_secs(120), all),
            "{kinds:?}: {first} and {}",
            world.ends[1].received.len()
        );
        assert!(world.ends.iter().all(|end| end.lost.is_none()), "{kinds:?}");
    }
}

#[test]
fn a_path_that_stands_still_goes_on_where_it_was() {
    for kinds in PAIRS {
        let mut world = World::established(13, Line::new(10 * MS), &kinds);
        world.open(0, 1, false, Try::Always);
        world.write(0, 1, b"before");
        world.run_for(Duration::from_secs(1));
        world.filter = Some(Box::new(|_, _| true));
        for number in 0..100 {
            world.write(0, 1, &pattern(number, 1000));
        }
        world.run_for(Duration::from_secs(12));
        world.filter = None;
        let all = |world: &World| world.ends[1].received.len() == 101;
        assert!(world.run_until(Duration::from_secs(60), all), "{kinds:?}");
    }
}
