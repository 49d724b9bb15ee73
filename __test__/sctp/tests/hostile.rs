//! A peer that sends anything: no panic, no packet storm, and an association that goes on or ends with a reason.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::{Kind, Line, Random, Try, World};

const MS: Duration = Duration::from_millis(1);

/// Packets of all kinds, by both ends.
fn recorded() -> Vec<(usize, Bytes)> {
    let line = Line { loss: 0.1, reorder: 0.1, ..Line::new(10 * MS) };
    let mut world = World::new(77, line, &[Kind::RENO; 2]);
    world.watch = true;
    world.ends[0].engine.connect();
    world.run_until(Duration::from_secs(30), |world| world.ends.iter().all(|end| end.connected));
    world.open(0, 1, false, Try::Always);
    world.open(0, 3, true, Try::Times(0));
    world.open(1, 2, false, Try::Times(0));
    for number in 0..40_u8 {
        world.write(0, 1, &vec![number; 3000]);
        world.write(0, 3, &vec![number; 2000]);
        world.write(1, 2, &vec![number; 500]);
        world.run_for(5 * MS);
    }
    world.run_for(Duration::from_secs(5));
    world.ends[0].engine.close_stream(3);
    world.run_for(Duration::from_secs(5));
    world.ends[1].engine.shutdown();
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
        let mut world = World::established(seed, Line::new(10 * MS), &[Kind::GATED; 2]);
        world.open(0, 1, false, Try::Always);
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
    let mut world = World::established(5, Line::new(10 * MS), &[Kind::RENO; 2]);
    let mut random = Random(9);
    for length in 0..600 {
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        world.inject(1, Bytes::from(bytes));
        world.run_for(MS);
    }
    world.open(0, 1, false, Try::Always);
    world.write(0, 1, b"still there");
    assert!(world.run_until(Duration::from_secs(5), |world| world.ends[1].received.len() == 1));
}

#[test]
fn fragments_that_make_no_message_fill_the_buffer_and_no_more() {
    let mut world = World::established(6, Line::new(10 * MS), &[Kind::RENO; 2]);
    world.watch = true;
    world.open(0, 1, false, Try::Always);
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
        if world.ends[1].engine.is_closed() {
            break;
        }
    }
    world.settle();
    assert_eq!(world.ends[1].lost.as_deref(), Some("the receive buffer is full of incomplete messages"));
}

/// Makes packets in the name of one end, for the other.
struct Forger {
    header: [u8; 12],
    next_tsn: u32,
}

impl Forger {
    /// An established pair, and what end 0 could send to end 1.
    fn new(seed: u64, kinds: &[Kind]) -> (World, Self) {
        let mut world = World::established(seed, Line::new(10 * MS), kinds);
        world.watch = true;
        world.open(0, 1, false, Try::Always);
        world.write(0, 1, &[1; 100]);
        world.run_for(Duration::from_secs(1));
        world.watch = false;
        let (_, packet) = world.seen.iter().find(|(from, packet)| *from == 0 && packet[12] == 0).unwrap();
        let mut header: [u8; 12] = packet[..12].try_into().unwrap();
        // No checksum.
        header[8..].fill(0);
        let next_tsn = u32::from_be_bytes(packet[16..20].try_into().unwrap()).wrapping_add(1);
        (world, Self { header, next_tsn })
    }

    fn data(&self, ahead: u32, flags: u8, stream: u16, payload: &[u8]) -> Bytes {
        let mut bytes = self.header.to_vec();
        bytes.extend([0, flags]);
        bytes.extend((16 + payload.len() as u16).to_be_bytes());
        bytes.extend(self.next_tsn.wrapping_add(ahead).to_be_bytes());
        bytes.extend(stream.to_be_bytes());
        bytes.extend([0; 6]);
        bytes.extend(payload);
        Bytes::from(bytes)
    }

    fn sack(&self, cumulative: u32, window: u32) -> Bytes {
        let mut bytes = self.header.to_vec();
        bytes.extend([3, 0, 0, 16]);
        bytes.extend(cumulative.to_be_bytes());
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]);
        Bytes::from(bytes)
    }
}

/// Beyond `MAX_STREAMS`.
#[test]
fn a_peer_that_opens_streams_without_end_is_given_up() {
    let (mut world, forger) = Forger::new(21, &[Kind::RENO; 2]);
    for number in 0..3000 {
        world.inject(1, forger.data(number, 7, number as u16, b"x"));
    }
    world.settle();
    assert_eq!(world.ends[1].lost.as_deref(), Some("the peer broke the protocol: too many streams"));
}

/// Beyond `MAX_RUNS`.
#[test]
fn gaps_without_end_are_refused_and_an_acknowledgement_fits_its_packet() {
    let (mut world, forger) = Forger::new(22, &[Kind::RENO; 2]);
    world.watch = true;
    world.seen.clear();
    for number in 0..20_000 {
        world.inject(1, forger.data(2 * number + 1, 7, 1, b"x"));
        world.settle();
    }
    let largest =
        world.seen.iter().filter(|(from, _)| *from == 1).map(|(_, packet)| packet.len()).max().unwrap();
    assert!((1000..=1200).contains(&largest), "{largest}");
    // 512 runs are kept; what would make one more is refused.
    assert_eq!(world.ends[1].engine.refused(), Some(20_000 - 512));
    assert_eq!(world.ends[1].lost, None);
}

/// Beyond `MAX_AHEAD`.
#[test]
fn numbers_far_ahead_are_refused() {
    let (mut world, forger) = Forger::new(23, &[Kind::RENO; 2]);
    for number in [65_535, 70_000, 1 << 30, (1 << 31) - 2] {
        world.inject(1, forger.data(number, 7, 1, b"x"));
    }
    assert_eq!(world.ends[1].engine.refused(), Some(4));
    world.inject(1, forger.data(65_534, 7, 1, b"x"));
    assert_eq!(world.ends[1].engine.refused(), Some(4));
}

/// Beyond `MAX_DUPLICATES`.
#[test]
fn duplicates_without_end_are_answered_by_small_packets() {
    let (mut world, forger) = Forger::new(24, &[Kind::RENO; 2]);
    world.inject(1, forger.data(0, 7, 1, b"x"));
    let before = world.ends[1].packets_sent;
    world.watch = true;
    world.seen.clear();
    for _ in 0..1000 {
        // A hundred at once, as one read of a socket brings them.
        for _ in 0..100 {
            world.inject(1, forger.data(0, 7, 1, b"x"));
        }
        world.settle();
    }
    assert!(world.ends[1].packets_sent - before <= 1001);
    assert!(
        world.seen.iter().all(|(_, packet)| packet.len() <= 28 + 4 * 16),
        "too many duplicates are named"
    );
}

#[test]
fn a_window_that_stays_closed_is_asked_seldom_and_kept_waiting_for() {
    let (mut world, forger) = Forger::new(25, &[Kind::RENO; 2]);
    world.open(1, 2, false, Try::Always);
    world.filter = Some(Box::new(|_, _| true));
    let first = {
        world.watch = true;
        world.seen.clear();
        for _ in 0..500 {
            world.write(1, 2, &[2; 1000]);
        }
        world.settle();
        let (_, packet) = world.seen.iter().find(|(from, packet)| *from == 1 && packet[12] == 0).unwrap();
        u32::from_be_bytes(packet[16..20].try_into().unwrap())
    };
    let sent = world.ends[1].packets_sent;
    for _ in 0..600 {
        // All that came so far is acknowledged, and nothing more is wanted.
        let next = world.seen.iter().rev().find(|(from, packet)| *from == 1 && packet[12] == 0).unwrap();
        let last = u32::from_be_bytes(next.1[16..20].try_into().unwrap());
        assert!(last.wrapping_sub(first) < 500);
        world.inject(1, forger.sack(last, 0));
        world.run_for(Duration::from_secs(1));
    }
    // In each second a chunk, its probe, and two timeouts.
    assert!(world.ends[1].packets_sent - sent <= 2400, "{}", world.ends[1].packets_sent - sent);
    assert_eq!(world.ends[1].lost, None);
}

#[test]
fn fragments_of_one_byte_take_no_more_than_the_buffer() {
    let (mut world, forger) = Forger::new(26, &[Kind::RENO; 2]);
    let mut number = 0;
    while !world.ends[1].engine.is_closed() {
        world.inject(1, forger.data(number, if number == 0 { 2 } else { 0 }, 1, b"x"));
        number += 1;
    }
    // Each costs its bookkeeping, too: 4 MiB hold as many, and not four millions.
    assert!((50_000..=4 * 1024 * 1024 / 64).contains(&number), "{number}");
    world.settle();
    assert_eq!(world.ends[1].lost.as_deref(), Some("the receive buffer is full of incomplete messages"));
}

#[test]
fn a_number_before_the_first_one_is_skipped_without_harm() {
    let (mut world, forger) = Forger::new(27, &[Kind::RENO; 2]);
    world.open(1, 9, false, Try::Always);
    let mut bytes = forger.header.to_vec();
    bytes.extend([192, 0, 0, 12]);
    bytes.extend(forger.next_tsn.wrapping_add(5).to_be_bytes());
    bytes.extend([0, 9, 0xff, 0xff]);
    world.inject(1, Bytes::from(bytes));
    world.inject(1, forger.data(6, 3, 9, b"first"));
    world.settle();
    assert_eq!(world.ends[1].received.last().unwrap(), &(9, Bytes::from_static(b"first")));
}
