//! Whatever the network does to packets, each delivered frame was sent, is whole and comes once, and the counters add
//! up.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use datatrack::depacketizer::{Depacketizer, DepacketizerOptions, Outcome};
use datatrack::packet::{Extensions, Handle, Header, MTU};
use datatrack::packetizer::{Packetizer, PacketizerOptions};
use datatrack::{AssembledFrame, Instant, PIECE_OVERHEAD};
use proptest::prelude::*;

/// A frame as it was sent.
#[derive(Debug, Clone)]
struct Sent {
    payload: Vec<u8>,
    extensions: Extensions,
    timestamp: u32,
}

/// A packet with its parsed header. Its numbers are moved to any place in their number spaces.
#[derive(Debug, Clone)]
struct Packet {
    header: Header,
    payload: Bytes,
}

/// What the network does to a packet, and the time until the next one.
#[derive(Debug, Clone)]
struct Fate {
    /// For each copy, how many packets it lets pass.
    delays: Vec<u8>,
    millis: u64,
}

/// Frames by number, and the packets of each.
fn send(
    sizes: &[(usize, Option<u64>)],
    first_frame: u16,
    first_sequence: u16,
) -> (HashMap<u16, Sent>, Vec<Vec<Packet>>) {
    let mut packetizer = Packetizer::new(Handle::new(1).unwrap(), PacketizerOptions::default());
    let mut sent = HashMap::new();
    let mut packets = Vec::new();
    for (index, &(size, user_timestamp)) in (0_u16..).zip(sizes) {
        let payload: Vec<u8> =
            (0..size).map(|at| (at.wrapping_mul(7) ^ (at >> 8)) as u8 ^ index as u8).collect();
        let extensions = Extensions { e2ee: None, user_timestamp };
        let timestamp = u32::from(index) * 90;
        let mut out = Vec::new();
        packetizer.packetize(&payload, 0, extensions, timestamp, &mut out).unwrap();
        let out = Bytes::from(out);
        packets.push(
            (0..out.len().div_ceil(MTU))
                .map(|index| {
                    let packet = out.slice(index * MTU..out.len().min((index + 1) * MTU));
                    let (mut header, payload_at) = Header::parse(&packet).unwrap();
                    header.frame_number = header.frame_number.wrapping_add(first_frame);
                    header.sequence = header.sequence.wrapping_add(first_sequence);
                    Packet { header, payload: packet.slice(payload_at..) }
                })
                .collect(),
        );
        sent.insert(first_frame.wrapping_add(index), Sent { payload, extensions, timestamp });
    }
    (sent, packets)
}

fn check(frame: &AssembledFrame, sent: &mut HashMap<u16, Sent>) {
    // The entry is removed, so that a second delivery fails.
    let expected =
        sent.remove(&frame.number).unwrap_or_else(|| panic!("{} twice, or never sent", frame.number));
    assert!(frame.payload.to_bytes() == expected.payload, "frame {} is corrupted", frame.number);
    assert_eq!((frame.extensions, frame.timestamp), (expected.extensions, expected.timestamp));
}

/// A random order that a seed fixes.
struct Random(u64);

impl Random {
    fn shuffled(&mut self, mut packets: Vec<Packet>) -> Vec<Packet> {
        let mut order = Vec::with_capacity(packets.len());
        while !packets.is_empty() {
            self.0 = (self.0 | 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 << 1);
            order.push(packets.swap_remove((self.0 >> 33) as usize % packets.len()));
        }
        order
    }
}

fn sizes(range: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(usize, Option<u64>)>> {
    let size = prop_oneof![3 => 0..100_usize, 2 => 15_900..16_100_usize, 3 => 16_000..70_000_usize];
    prop::collection::vec((size, any::<Option<u64>>()), range)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let copies = prop_oneof![1 => Just(0), 8 => Just(1), 1 => Just(2), 1 => Just(3)];
    let delay = prop_oneof![6 => Just(0_u8), 3 => 0..4_u8, 1 => 0..60_u8];
    let delays = copies.prop_flat_map(move |copies| prop::collection::vec(delay.clone(), copies));
    let millis = prop_oneof![8 => Just(0_u64), 4 => 0..10_u64, 1 => 0..700_u64];
    prop::collection::vec((delays, millis).prop_map(|(delays, millis)| Fate { delays, millis }), 64)
}

proptest! {
    #[test]
    fn under_loss_reorder_and_duplication_each_frame_comes_whole_and_at_most_once(
        sizes in sizes(1..24),
        fates in fates(),
        (first_frame, first_sequence) in any::<(u16, u16)>(),
        max_partial_frames in 1..5_usize,
    ) {
        let (mut unseen, packets) = send(&sizes, first_frame, first_sequence);
        let mut order = Vec::new();
        for (index, (packet, fate)) in packets.concat().into_iter().zip(fates.iter().cycle()).enumerate() {
            order.extend(fate.delays.iter().map(|&delay| (index + usize::from(delay), fate.millis, packet.clone())));
        }
        order.sort_by_key(|(at, ..)| *at);

        let options = DepacketizerOptions { max_partial_frames, ..DepacketizerOptions::default() };
        let mut depacketizer = Depacketizer::new(options);
        let mut now = Instant::ZERO;
        let mut received = 0;
        let mut delivered = 0;
        for (_, millis, packet) in order {
            let outcome = depacketizer.handle_packet(&packet.header, packet.payload, now);
            received += 1;
            if let Outcome::Frame(frame) = &outcome {
                check(frame, &mut unseen);
                delivered += 1;
            }
            prop_assert!(depacketizer.stats().closes(), "{:?}", depacketizer.stats());
            prop_assert!(depacketizer.stats().open <= max_partial_frames as u64);
            now = now + Duration::from_millis(millis);
            if depacketizer.poll_timeout().is_some_and(|deadline| deadline <= now) {
                depacketizer.handle_timeout(now);
                prop_assert!(depacketizer.stats().closes());
            }
        }
        depacketizer.close();
        let stats = depacketizer.stats();
        prop_assert!(stats.closes());
        prop_assert_eq!((stats.packets_received, stats.completed, stats.open), (received, delivered, 0));
    }

    #[test]
    fn with_nothing_lost_any_order_inside_the_frames_delivers_all_of_them(
        sizes in sizes(1..16),
        seed in any::<u64>(),
        (first_frame, first_sequence) in any::<(u16, u16)>(),
    ) {
        let (mut unseen, packets) = send(&sizes, first_frame, first_sequence);
        let mut depacketizer = Depacketizer::new(DepacketizerOptions::default());
        let mut random = Random(seed);
        for frame in packets {
            let number = frame[0].header.frame_number;
            let mut delivered = false;
            for packet in random.shuffled(frame) {
                prop_assert!(!delivered);
                match depacketizer.handle_packet(&packet.header, packet.payload, Instant::ZERO) {
                    Outcome::Frame(frame) => {
                        prop_assert_eq!(frame.number, number);
                        check(&frame, &mut unseen);
                        delivered = true;
                    }
                    Outcome::Pending => {}
                    Outcome::Dropped(reason) => prop_assert!(false, "{:?}", reason),
                }
            }
            prop_assert!(delivered);
        }
        prop_assert!(unseen.is_empty());
        prop_assert_eq!(depacketizer.stats().packets_dropped.total(), 0);
    }

    #[test]
    fn as_many_frames_as_there_are_slots_may_come_in_any_order_and_none_is_lost(
        sizes in sizes(1..16),
        seed in any::<u64>(),
        (first_frame, first_sequence) in any::<(u16, u16)>(),
        slots in 2..5_usize,
    ) {
        let (mut unseen, packets) = send(&sizes, first_frame, first_sequence);
        let options = DepacketizerOptions { max_partial_frames: slots, ..DepacketizerOptions::default() };
        let mut depacketizer = Depacketizer::new(options);
        let mut random = Random(seed);
        for group in packets.chunks(slots) {
            for packet in random.shuffled(group.concat()) {
                match depacketizer.handle_packet(&packet.header, packet.payload, Instant::ZERO) {
                    Outcome::Frame(frame) => check(&frame, &mut unseen),
                    Outcome::Pending => {}
                    Outcome::Dropped(reason) => prop_assert!(false, "{:?}", reason),
                }
            }
        }
        prop_assert!(unseen.is_empty(), "{} frames lost", unseen.len());
    }

    #[test]
    fn the_newest_frame_is_delivered_whatever_older_packets_come_between_its_own(
        sizes in sizes(2..20),
        seed in any::<u64>(),
        (first_frame, first_sequence) in any::<(u16, u16)>(),
        max_partial_frames in 1..5_usize,
    ) {
        let (mut unseen, packets) = send(&sizes, first_frame, first_sequence);
        let newest = packets[sizes.len() - 1][0].header.frame_number;
        let options = DepacketizerOptions { max_partial_frames, ..DepacketizerOptions::default() };
        let mut depacketizer = Depacketizer::new(options);
        for packet in Random(seed).shuffled(packets.concat()) {
            if let Outcome::Frame(frame) =
                depacketizer.handle_packet(&packet.header, packet.payload, Instant::ZERO)
            {
                check(&frame, &mut unseen);
            }
            prop_assert!(depacketizer.stats().closes());
        }
        prop_assert!(!unseen.contains_key(&newest));
    }

    #[test]
    fn arbitrary_packets_break_neither_the_counters_nor_the_limits(
        packets in prop::collection::vec((0..12_u8, 0..24_u16, 0..4_u16, 0..10_u64), 0..400),
        max_partial_frames in 1..4_usize,
        max_packets_per_frame in 1..20_u16,
    ) {
        use datatrack::packet::Marker::{Final, Inter, Single, Start};
        let options = DepacketizerOptions {
            max_partial_frames,
            max_packets_per_frame,
            max_frame_len: 22,
            ..DepacketizerOptions::default()
        };
        let mut depacketizer = Depacketizer::new(options);
        let mut now = Instant::ZERO;
        for (marker, sequence, frame_number, millis) in packets {
            now = now + Duration::from_millis(millis);
            let header = Header {
                // Mostly `Inter`: otherwise most frames would contradict themselves early.
                marker: *[Single, Start, Final].get(usize::from(marker)).unwrap_or(&Inter),
                handle: Handle::new(1).unwrap(),
                sequence: sequence.wrapping_sub(12),
                frame_number: frame_number.wrapping_sub(3),
                timestamp: 0,
                extensions: Extensions::default(),
            };
            depacketizer.handle_packet(&header, Bytes::from_static(&[0; 5]), now);
            prop_assert!(depacketizer.stats().closes());
            let most = max_partial_frames * usize::from(max_packets_per_frame);
            prop_assert!(depacketizer.held_packets() <= most);
            prop_assert!(depacketizer.held_bytes() <= max_partial_frames * 22 + most * PIECE_OVERHEAD);
        }
    }
}
