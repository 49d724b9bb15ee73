//! A peer that sends anything: no panic, no packet storm, and an association that goes on or ends with a reason.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{Algorithm, ReliabilityType};
use support::{Line, Random, World};

const MS: Duration = Duration::from_millis(1);

/// Packets of all kinds, by both ends.
fn recorded() -> Vec<(usize, Bytes)> {
    let line = Line { loss: 0.1, reorder: 0.1, ..Line::new(10 * MS) };
    let mut world = World::new(77, line);
    world.watch = true;
    world.connect(0, Algorithm::NewReno);
    world.run_until(Duration::from_secs(30), |world| world.ends.iter().all(|end| end.connected));
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    world.open(0, 3, true, ReliabilityType::Rexmit, 0);
    world.open(1, 2, false, ReliabilityType::Rexmit, 0);
    for number in 0..40_u8 {
        world.write(0, 1, &vec![number; 3000]);
        world.write(0, 3, &vec![number; 2000]);
        world.write(1, 2, &vec![number; 500]);
        world.run_for(5 * MS);
    }
    world.run_for(Duration::from_secs(5));
    world.ends[0].association.as_mut().unwrap().stream(3).unwrap().close().unwrap();
    world.run_for(Duration::from_secs(5));
    world.ends[1].association.as_mut().unwrap().shutdown().unwrap();
    world.run_for(Duration::from_secs(5));
    world.seen
}

/// Changes some bytes; the checksum becomes zero, which stands for none.
fn damaged(packet: &Bytes, tag: &[u8], random: &mut Random) -> Bytes {
    let mut bytes = packet.to_vec();
    bytes[4..8].copy_from_slice(tag);
    bytes[8..12].fill(0);
    for _ in 0..random.next() % 6 {
        let at = 12 + random.next() as usize % (bytes.len() - 12);
        bytes[at] = match random.next() % 4 {
            0 => 0,
            1 => 0xff,
            2 => bytes[at].wrapping_add(1),
            _ => random.next() as u8,
        };
    }
    if random.chance(0.1) {
        bytes.truncate(12 + random.next() as usize % (bytes.len() - 12));
    }
    Bytes::from(bytes)
}

#[test]
fn damaged_packets_in_any_order_panic_nothing_and_cause_no_storm() {
    let packets = recorded();
    assert!(packets.len() > 100);
    let mut survived = 0;
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut world = World::established(seed, Line::new(10 * MS), Algorithm::DelayGated);
        world.open(0, 1, false, ReliabilityType::Reliable, 0);
        world.watch = true;
        world.write(0, 1, &[1; 5000]);
        world.run_for(100 * MS);
        // The tag by which each end knows its packets.
        let tags: Vec<Bytes> = (0..2)
            .map(|end| world.seen.iter().find(|(from, _)| *from == 1 - end).unwrap().1.slice(4..8))
            .collect();
        world.watch = false;
        for _ in 0..300 {
            let (from, packet) = &packets[random.next() as usize % packets.len()];
            let packet = damaged(packet, &tags[1 - from], &mut random);
            if packet.len() > 12 {
                world.inject(1 - from, packet);
            }
            world.run_for(MS);
        }
        let before = [world.ends[0].packets_sent, world.ends[1].packets_sent];
        world.run_for(Duration::from_secs(10));
        for (end, before) in world.ends.iter().zip(before) {
            assert!(end.packets_sent - before < 2_000, "seed {seed}: {} packets", end.packets_sent - before);
        }
        survived += usize::from(world.ends.iter().all(|end| end.lost.is_none()));
    }
    // Damage that looks like an ABORT ends an association; most of it does not.
    assert!(survived > 0);
}

#[test]
fn bytes_that_are_no_packet_are_dropped() {
    let mut world = World::established(5, Line::new(10 * MS), Algorithm::NewReno);
    let mut random = Random(9);
    for length in 0..600 {
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        world.inject(1, Bytes::from(bytes));
        world.run_for(MS);
    }
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    world.write(0, 1, b"still there");
    assert!(world.run_until(Duration::from_secs(5), |world| world.ends[1].received.len() == 1));
}

#[test]
fn fragments_that_make_no_message_fill_the_buffer_and_no_more() {
    let mut world = World::established(6, Line::new(10 * MS), Algorithm::NewReno);
    world.watch = true;
    world.open(0, 1, false, ReliabilityType::Reliable, 0);
    world.write(0, 1, &[1; 100]);
    world.run_for(Duration::from_secs(1));
    let (_, packet) = world.seen.iter().find(|(from, packet)| *from == 0 && packet[12] == 0).unwrap().clone();
    let first = u32::from_be_bytes(packet[16..20].try_into().unwrap());
    // The first fragment of a message, and then its middle without end.
    for number in 1..200_000_u32 {
        let mut bytes = packet.to_vec();
        bytes[8..12].fill(0);
        bytes[13] = if number == 1 { 2 } else { 0 };
        bytes[16..20].copy_from_slice(&first.wrapping_add(number).to_be_bytes());
        world.inject(1, Bytes::from(bytes));
        if world.ends[1].association.as_ref().unwrap().is_closed() {
            break;
        }
    }
    world.settle();
    assert_eq!(world.ends[1].lost.as_deref(), Some("the receive buffer is full of incomplete messages"));
}
