//! What an association does on good and bad lines, on virtual time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use sctp_proto::{Algorithm, ReliabilityType};
use support::{Line, World};

const MS: Duration = Duration::from_millis(1);

fn pattern(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((4..length).map(|at| (at as u32 * 31 + number) as u8));
    bytes.truncate(length.max(4));
    bytes
}

#[test]
fn both_ends_connect_within_two_round_trips() {
    let mut world = World::new(1, Line::new(20 * MS));
    world.connect(0, Algorithm::NewReno);
    assert!(world.run_until(Duration::from_secs(5), |world| world.ends.iter().all(|end| end.connected)));
    assert!(world.now - world.start <= 81 * MS, "{:?}", world.now - world.start);
}

#[test]
fn both_may_begin_at_once() {
    for seed in 0..20 {
        let mut world = World::new(seed, Line::new(20 * MS));
        world.connect(0, Algorithm::NewReno);
        world.connect(1, Algorithm::NewReno);
        assert!(world.run_until(Duration::from_secs(5), |world| world.ends.iter().all(|end| end.connected)));
        world.open(0, 1, false, ReliabilityType::Reliable, 0);
        world.write(0, 1, b"after a collision");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.ends[1].received.len(), 1);
    }
}

#[test]
fn the_handshake_survives_the_loss_of_each_of_its_packets() {
    for victim in 0..4 {
        let mut world = World::new(3, Line::new(10 * MS));
        let mut count = 0;
        world.filter = Some(Box::new(move |_, _| {
            count += 1;
            count - 1 == victim
        }));
        world.connect(0, Algorithm::NewReno);
        assert!(
            world.run_until(Duration::from_secs(10), |world| world.ends.iter().all(|end| end.connected)),
            "packet {victim}"
        );
    }
}

#[test]
fn messages_of_all_sizes_arrive_once_and_in_order() {
    let mut world = World::established(4, Line::new(5 * MS), Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    let sizes = [4, 5, 1159, 1160, 1161, 2320, 15_000, 65_536, 4, 40_000];
    for (number, size) in sizes.iter().enumerate() {
        world.write(0, 1, &pattern(number as u32, *size));
    }
    world.run_for(Duration::from_secs(3));
    let received = &world.ends[1].received;
    assert_eq!(received.len(), sizes.len());
    for (number, (size, (_, bytes))) in sizes.iter().zip(received).enumerate() {
        assert_eq!(bytes[..], pattern(number as u32, *size)[..]);
    }
    assert_eq!(world.buffered(0, 1), 0);
}

#[test]
fn a_reliable_stream_loses_nothing_on_a_line_that_loses_doubles_and_reorders() {
    for seed in 0..30 {
        let line = Line { loss: 0.1, duplicate: 0.05, reorder: 0.1, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, Algorithm::NewReno);
        world.open(0, 1, false, ReliabilityType::Reliable, 0);
        world.open(1, 2, false, ReliabilityType::Reliable, 0);
        for number in 0..200 {
            let size = 4 + (number as usize * 397) % 6000;
            world.write(0, 1, &pattern(number, size));
            world.write(1, 2, &pattern(number, size));
        }
        let done = world.run_until(Duration::from_secs(120), |world| {
            world.ends.iter().all(|end| end.received.len() >= 200)
        });
        assert!(done, "seed {seed}: {} and {}", world.ends[0].received.len(), world.ends[1].received.len());
        for end in &world.ends {
            for (number, (_, bytes)) in end.received.iter().enumerate() {
                let number = number as u32;
                assert_eq!(bytes[..], pattern(number, 4 + (number as usize * 397) % 6000)[..], "seed {seed}");
            }
        }
        world.run_for(Duration::from_secs(30));
        assert_eq!((world.buffered(0, 1), world.buffered(1, 2)), (0, 0));
    }
}

#[test]
fn what_may_be_lost_is_given_up_and_nothing_waits_for_it() {
    for seed in 0..20 {
        let line = Line { loss: 0.1, reorder: 0.05, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, Algorithm::NewReno);
        world.open(0, 1, true, ReliabilityType::Rexmit, 0);
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
    let mut world = World::established(6, line, Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Rexmit, 0);
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
    let mut world = World::established(7, line, Algorithm::NewReno);
    world.open(0, 1, true, ReliabilityType::Timed, 200);
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
    let mut world = World::established(8, Line::new(10 * MS), Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
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
    let mut world = World::established(9, Line::new(10 * MS), Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
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
fn streams_are_reset_by_either_side_and_can_be_used_again() {
    for seed in 0..20 {
        let line = Line { loss: 0.1, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, Algorithm::NewReno);
        for round in 0..3_u32 {
            let closer = (round as usize) % 2;
            world.open(0, 1, false, ReliabilityType::Reliable, 0);
            world.write(0, 1, &pattern(round, 30_000));
            let done = world.run_until(Duration::from_secs(60), |world| {
                world.ends[1].received.len() == round as usize + 1
            });
            assert!(done, "seed {seed}, round {round}");
            world.ends[closer].association.as_mut().unwrap().stream(1).unwrap().close().unwrap();
            let done = world.run_until(Duration::from_secs(60), |world| {
                world.ends.iter().all(|end| end.reset_streams.len() == round as usize + 1)
            });
            assert!(done, "seed {seed}, round {round}: {:?}", world.ends[0].reset_streams);
        }
    }
}

#[test]
fn what_was_written_before_a_close_arrives() {
    for seed in 0..20 {
        let line = Line { loss: 0.05, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, Algorithm::NewReno);
        world.open(0, 1, false, ReliabilityType::Reliable, 0);
        for number in 0..50 {
            world.write(0, 1, &pattern(number, 5000));
        }
        world.ends[0].association.as_mut().unwrap().stream(1).unwrap().close().unwrap();
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.ends[1].received.len(), 50, "seed {seed}");
        assert_eq!(world.ends[1].closed_streams, [1]);
        assert_eq!(world.ends[0].reset_streams, [1]);
    }
}

#[test]
fn a_shutdown_waits_for_what_was_written_and_ends_both() {
    for seed in 0..20 {
        let line = Line { loss: 0.1, ..Line::new(10 * MS) };
        let mut world = World::established(seed, line, Algorithm::NewReno);
        world.open(0, 1, false, ReliabilityType::Reliable, 0);
        for number in 0..50 {
            world.write(0, 1, &pattern(number, 5000));
        }
        world.ends[0].association.as_mut().unwrap().shutdown().unwrap();
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.ends[1].received.len(), 50, "seed {seed}");
        assert!(world.ends.iter().all(|end| end.association.as_ref().unwrap().is_closed()), "seed {seed}");
    }
}

#[test]
fn a_reader_that_does_not_read_stops_its_sender_and_loses_nothing() {
    let mut world = World::established(12, Line::new(5 * MS), Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    world.ends[1].read = false;
    for number in 0..1000 {
        world.write(0, 1, &pattern(number, 10_000));
    }
    world.run_for(Duration::from_secs(5));
    assert!(world.buffered(0, 1) > 5_000_000, "{}", world.buffered(0, 1));
    world.ends[1].read = true;
    let association = world.ends[1].association.as_mut().unwrap();
    let mut first = 0;
    while let Ok(Some(_)) = association.stream(1).unwrap().read() {
        first += 1;
    }
    let done = world.run_until(Duration::from_secs(60), |world| world.ends[1].received.len() + first == 1000);
    assert!(done, "{} and {first}", world.ends[1].received.len());
    assert!(world.ends.iter().all(|end| end.lost.is_none()), "{:?}", world.ends[1].lost);
}

#[test]
fn a_path_that_stands_still_goes_on_where_it_was() {
    let mut world = World::established(13, Line::new(10 * MS), Algorithm::NewReno);
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    world.write(0, 1, b"before");
    world.run_for(Duration::from_secs(1));
    world.filter = Some(Box::new(|_, _| true));
    for number in 0..100 {
        world.write(0, 1, &pattern(number, 1000));
    }
    world.run_for(Duration::from_secs(12));
    world.filter = None;
    assert!(world.run_until(Duration::from_secs(11), |world| world.ends[1].received.len() == 101));
}

#[test]
fn nothing_is_sent_while_nothing_happens() {
    let mut world = World::established(14, Line::new(10 * MS), Algorithm::NewReno);
    world.open(0, 1, true, ReliabilityType::Rexmit, 0);
    world.write(0, 1, b"one");
    world.run_for(Duration::from_secs(2));
    let before = [world.ends[0].packets_sent, world.ends[1].packets_sent];
    world.run_for(Duration::from_secs(600));
    assert_eq!([world.ends[0].packets_sent, world.ends[1].packets_sent], before);
}
