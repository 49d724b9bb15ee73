//! What our engine does beyond `conformance.rs`: how soon, and what it gives up.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use support::{Kind, Line, Try, World};

const MS: Duration = Duration::from_millis(1);

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
