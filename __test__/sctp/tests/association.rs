//! What our engine does beyond `conformance.rs`: how soon, and what it gives up.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use support::{Kind, Line, Try, World};

const MS: Duration = Duration::from_millis(1);
/// How long after it was written a message is repaired.
const REPAIR: Duration = Duration::from_millis(200);

fn pattern(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((4..length).map(|at| (at as u32 * 31 + number) as u8));
    bytes.truncate(length.max(4));
    bytes
}

#[test]
fn both_ends_connect_within_two_round_trips() {
    let mut world = World::new(1, Line::new(20 * MS), &[Kind::RENO; 2]);
    world.ends[0].engine.connect();
    assert!(world.run_until(Duration::from_secs(5), |world| world.ends.iter().all(|end| end.connected)));
    assert!(world.now - world.start <= 81 * MS, "{:?}", world.now - world.start);
}

#[test]
fn the_handshake_survives_the_loss_of_each_of_its_packets() {
    for victim in 0..4 {
        let mut world = World::new(3, Line::new(10 * MS), &[Kind::RENO; 2]);
        let mut count = 0;
        world.filter = Some(Box::new(move |_, _| {
            count += 1;
            count - 1 == victim
        }));
        world.ends[0].engine.connect();
        assert!(
            world.run_until(Duration::from_secs(10), |world| world.ends.iter().all(|end| end.connected)),
            "packet {victim}"
        );
    }
}

#[test]
fn what_may_be_lost_is_given_up_and_nothing_waits_for_it() {
    for seed in 0..20 {
        let line = Line { loss: 0.1, reorder: 0.05, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, &[Kind::RENO; 2]);
        world.open(0, 1, true, Try::Times(0));
        for number in 0..500_u32 {
            world.write(0, 1, &pattern(number, 2000));
            world.run_for(2 * MS);
        }
        world.run_for(Duration::from_secs(10));
        let received = world.ends[1].received.len();
        // Two packets each, of which one in ten is lost: four in five arrive.
        assert!((340..=480).contains(&received), "seed {seed}: {received}");
        let mut seen = std::collections::HashSet::new();
        for (_, bytes) in &world.ends[1].received {
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(bytes[..], pattern(number, 2000)[..]);
            assert!(seen.insert(number), "seed {seed}: {number} came twice");
        }
        assert_eq!(world.buffered(0, 1), 0, "seed {seed}");
    }
}

#[test]
fn an_ordered_stream_with_losses_goes_on_after_the_gap() {
    let line = Line { loss: 0.2, ..Line::new(10 * MS) };
    let mut world = World::established(6, line, &[Kind::RENO; 2]);
    world.open(0, 1, false, Try::Times(0));
    for number in 0..300_u32 {
        world.write(0, 1, &pattern(number, 100));
        world.run_for(5 * MS);
    }
    world.run_for(Duration::from_secs(10));
    let numbers: Vec<u32> = world.ends[1]
        .received
        .iter()
        .map(|(_, bytes)| u32::from_be_bytes(bytes[..4].try_into().unwrap()))
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(numbers.len() > 200, "{}", numbers.len());
    assert!(*numbers.last().unwrap() > 290);
}

#[test]
fn a_message_whose_time_is_over_is_not_sent() {
    let line = Line { rate: 100_000, queue: Duration::from_secs(10), ..Line::new(10 * MS) };
    let mut world = World::established(7, line, &[Kind::RENO; 2]);
    world.open(0, 1, true, Try::Ms(200));
    for number in 0..400_u32 {
        world.write(0, 1, &pattern(number, 1000));
    }
    world.run_for(Duration::from_secs(20));
    let received = world.ends[1].received.len();
    assert!((10..200).contains(&received), "{received}");
    assert_eq!(world.buffered(0, 1), 0);
}

#[test]
fn a_lone_packet_that_is_lost_is_found_without_the_long_timeout() {
    let mut world = World::established(8, Line::new(10 * MS), &[Kind::RENO; 2]);
    world.open(0, 1, false, Try::Always);
    for number in 0..10 {
        world.write(0, 1, &pattern(number, 100));
        world.run_for(50 * MS);
    }
    let mut dropped = false;
    world.filter = Some(Box::new(move |from, _| from == 0 && !std::mem::replace(&mut dropped, true)));
    let sent = world.now;
    world.write(0, 1, b"lost once");
    assert!(world.run_until(Duration::from_secs(2), |world| world.ends[1].received.len() == 11));
    assert!(world.now - sent < 300 * MS, "{:?}", world.now - sent);
}

#[test]
fn a_promise_is_not_kept_waiting_by_a_delayed_acknowledgement() {
    let mut world = World::established(9, Line::new(10 * MS), &[Kind::RENO; 2]);
    world.open(0, 1, false, Try::Always);
    for count in 1..=20 {
        let sent = world.now;
        world.write(0, 1, b"alone");
        assert!(world.run_until(Duration::from_secs(1), |world| world.ends[1].received.len() == count));
        world.run_for(11 * MS);
        assert_eq!(world.buffered(0, 1), 0, "{:?} after it was sent", world.now - sent);
        world.run_for(500 * MS);
    }
}

#[test]
fn what_was_written_before_a_close_arrives() {
    for seed in 0..20 {
        let line = Line { loss: 0.05, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, &[Kind::RENO; 2]);
        world.open(0, 1, false, Try::Always);
        for number in 0..50 {
            world.write(0, 1, &pattern(number, 5000));
        }
        world.ends[0].engine.close_stream(1);
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.ends[1].received.len(), 50, "seed {seed}");
        assert_eq!(world.ends[1].closed_streams, [1]);
        assert_eq!(world.ends[0].reset_streams, [1]);
    }
}

#[test]
fn nothing_is_sent_while_nothing_happens() {
    let mut world = World::established(14, Line::new(10 * MS), &[Kind::RENO; 2]);
    world.open(0, 1, true, Try::Times(0));
    world.write(0, 1, b"one");
    world.run_for(Duration::from_secs(2));
    let before = [world.ends[0].packets_sent, world.ends[1].packets_sent];
    world.run_for(Duration::from_secs(600));
    assert_eq!([world.ends[0].packets_sent, world.ends[1].packets_sent], before);
}

#[test]
fn a_lone_packet_that_may_be_lost_is_given_up_soon_and_not_sent_again() {
    let mut world = World::established(10, Line::new(10 * MS), &[Kind::RENO; 2]);
    world.open(0, 1, true, Try::Times(0));
    for number in 0..10 {
        world.write(0, 1, &pattern(number, 100));
        world.run_for(50 * MS);
    }
    let mut dropped = false;
    world.filter = Some(Box::new(move |from, _| from == 0 && !std::mem::replace(&mut dropped, true)));
    world.write(0, 1, b"lost for good");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.buffered(0, 1), 0);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.ends[1].received.len(), 10);
}

/// Whether the packet has a DATA chunk with that many bytes of a message: as the last one of a message has.
fn has_chunk_of(packet: &[u8], length: usize) -> bool {
    let mut at = 12;
    while let Some(header) = packet.get(at..at + 4) {
        let size = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] == 0 && size == 16 + length {
            return true;
        }
        at += size.max(4).next_multiple_of(4);
    }
    false
}

/// Sends a message of several chunks, the last of which has 77 bytes and is lost so often. Returns how long it took to
/// arrive; `None`: it did not.
fn lose_the_last_chunk(times: usize, line: Line) -> Option<Duration> {
    let mut world = World::established(11, line, &[Kind::GATED; 2]);
    world.repair = Some(REPAIR);
    world.open(0, 1, true, Try::Times(0));
    for number in 0..10 {
        world.write(0, 1, &pattern(number, 3000));
        world.run_for(50 * MS);
    }
    let mut left = times;
    world.filter = Some(Box::new(move |from, packet| {
        let lose = from == 0 && left > 0 && has_chunk_of(packet, 77);
        left -= usize::from(lose);
        lose
    }));
    let sent = world.now;
    world.write(0, 1, &pattern(10, 3 * 1160 + 77));
    let arrived = world.run_until(Duration::from_secs(5), |world| world.ends[1].received.len() == 11);
    let time = world.now - sent;
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.buffered(0, 1), 0);
    arrived.then_some(time)
}

#[test]
fn a_lost_part_of_a_message_is_sent_once_more_and_not_twice() {
    let soon = lose_the_last_chunk(1, Line::new(10 * MS)).unwrap();
    assert!(soon < 100 * MS, "{soon:?}");
    assert_eq!(lose_the_last_chunk(2, Line::new(10 * MS)), None);
}

#[test]
fn a_lost_part_of_a_message_is_not_sent_when_it_would_come_late() {
    assert_eq!(lose_the_last_chunk(1, Line::new(150 * MS)), None);
}

#[test]
fn a_message_of_one_chunk_is_not_repaired() {
    let mut world = World::established(12, Line::new(10 * MS), &[Kind::GATED; 2]);
    world.repair = Some(REPAIR);
    world.open(0, 1, true, Try::Times(0));
    let mut left = 1;
    world.filter = Some(Box::new(move |from, packet| {
        let lose = from == 0 && left > 0 && has_chunk_of(packet, 77);
        left -= usize::from(lose);
        lose
    }));
    for number in 0..3 {
        world.write(0, 1, &pattern(number, 77));
        world.run_for(50 * MS);
    }
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.ends[1].received.len(), 2);
}

#[test]
fn a_loss_after_a_pause_leaves_the_window_open() {
    let line = Line { rate: 10_000_000, ..Line::new(20 * MS) };
    let mut world = World::established(15, line, &[Kind::GATED; 2]);
    world.open(0, 1, true, Try::Times(0));
    for number in 0..200 {
        world.write(0, 1, &pattern(number, 15_000));
        world.run_for(10 * MS);
    }
    let (_, before) = world.ends[0].engine.window().unwrap();
    let mut count = 0;
    world.filter = Some(Box::new(move |from, _| {
        count += u32::from(from == 0);
        from == 0 && count == 20
    }));
    world.run_for(Duration::from_secs(1));
    for number in 0..20 {
        world.write(0, 1, &pattern(number, 15_000));
        world.run_for(10 * MS);
    }
    let (_, after) = world.ends[0].engine.window().unwrap();
    assert!(after >= before, "{after} after {before}");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.ends[1].received.len(), 219);
}

#[test]
fn nearly_all_large_messages_arrive_on_a_line_that_loses() {
    for (loss, least) in [(0.01, 990), (0.05, 900)] {
        let mut world = World::established(13, Line::new(20 * MS), &[Kind::GATED; 2]);
        world.repair = Some(REPAIR);
        world.open(0, 1, true, Try::Times(0));
        for number in 0..1100 {
            world.write(0, 1, &pattern(number, 15_000));
            world.run_for(10 * MS);
            if number == 100 {
                // The window is open.
                world.lines[0].loss = loss;
                world.ends[1].received.clear();
            }
        }
        world.run_for(Duration::from_secs(5));
        let received = world.ends[1].received.len();
        assert!(received >= least, "{received} at a loss of {loss}");
        assert_eq!(world.buffered(0, 1), 0);
    }
}

/// Offers 9.6 MB/s for six seconds to ends that look for packets only now and then, after seconds in which they were
/// idle. Returns the messages of 16 kB that arrived in the last two of them; 1,200 were offered.
fn to_busy_ends(kind: Kind, delay: Duration, wakes: Duration) -> usize {
    let line = Line { rate: 60_000_000, ..Line::new(delay) };
    let mut world = World::established(16, line, &[kind; 2]);
    world.open(0, 1, true, Try::Times(0));
    for number in 0..20 {
        world.write(0, 1, &pattern(number, 100));
        world.run_for(100 * MS);
    }
    world.wakes = Some(wakes);
    for _ in 0..3 {
        world.ends[1].received.clear();
        for _ in 0..200 {
            let frame = if world.buffered(0, 1) < 1_000_000 { 6 } else { 0 };
            for number in 0..frame {
                world.write(0, 1, &pattern(number, 16_000));
            }
            world.run_for(10 * MS);
        }
    }
    world.ends[1].received.len()
}

#[test]
fn ends_that_are_busy_do_not_narrow_the_window() {
    for kind in [Kind::Stock, Kind::RENO, Kind::GATED] {
        for (delay, wakes) in [(MS / 20, 10 * MS), (3 * MS, 3 * MS), (20 * MS, 10 * MS)] {
            let received = to_busy_ends(kind, delay, wakes);
            assert!(received > 1100, "{kind:?}, {delay:?}, {wakes:?}: {received}");
        }
    }
}

/// Whether the packet has an acknowledgement.
fn has_sack(packet: &[u8]) -> bool {
    let mut at = 12;
    while let Some(header) = packet.get(at..at + 4) {
        if header[0] == 3 {
            return true;
        }
        at += usize::from(u16::from_be_bytes([header[2], header[3]])).max(4).next_multiple_of(4);
    }
    false
}

/// A peer whose acknowledgements were lost on a dead path waits for its timeout, unless it gets another one.
#[test]
fn the_first_chunk_after_a_pause_carries_an_acknowledgement() {
    let mut world = World::established(18, Line::new(10 * MS), &[Kind::GATED; 2]);
    world.open(0, 1, true, Try::Times(0));
    world.open(1, 2, true, Try::Times(0));
    for (pause, repeated) in [(2000, true), (500, false), (2000, true)] {
        world.write(0, 1, b"message");
        world.run_for(pause * MS);
        world.watch = true;
        world.write(1, 2, b"answer");
        world.settle();
        assert_eq!(world.seen.len(), 1);
        assert_eq!(has_sack(&world.seen[0].1), repeated, "after {pause} ms");
        world.watch = false;
        world.seen.clear();
        world.run_for(Duration::from_secs(1));
    }
}
