//! One test for each rule about frames of several packets.

use super::*;
use crate::packet::E2eeExtension;

#[test]
fn a_frame_in_one_packet_is_handed_on_without_a_copy() {
    let mut harness = Harness::with_slots(2);
    let payload = Bytes::from(vec![7; 100]);
    let header = header(5, Marker::Single, 9);
    let Outcome::Frame(frame) = harness.depacketizer.handle_packet(&header, payload.clone(), harness.now)
    else {
        panic!("no frame")
    };
    assert_eq!((frame.number, frame.timestamp), (5, 450));
    assert_eq!(frame.payload.to_bytes().as_ptr(), payload.as_ptr());
    assert_eq!(harness.depacketizer.poll_timeout(), None);
}

#[test]
fn the_pieces_of_a_frame_are_the_received_buffers() {
    let mut harness = Harness::with_slots(2);
    let pieces = [Bytes::from(vec![1; 10]), Bytes::from(vec![2; 20]), Bytes::from(vec![3; 30])];
    let mut last = Outcome::Pending;
    for (index, piece) in (0..3).zip(&pieces) {
        last = harness.depacketizer.handle_packet(&nth(0, 0, index, 3), piece.clone(), harness.now);
    }
    let Outcome::Frame(frame) = last else { panic!("no frame") };
    assert_eq!(frame.payload.len(), 60);
    for (left, right) in frame.payload.pieces().iter().zip(&pieces) {
        assert_eq!((left.as_ptr(), left.len()), (right.as_ptr(), right.len()));
    }
}

#[test]
fn an_empty_frame_is_a_frame() {
    let mut harness = Harness::with_slots(2);
    let outcome = harness.depacketizer.handle_packet(&nth(0, 0, 0, 1), Bytes::new(), harness.now);
    assert!(matches!(outcome, Outcome::Frame(frame) if frame.payload.is_empty()));
}

#[test]
fn packets_of_a_frame_may_come_in_any_order() {
    // Every permutation of five packets, across the wrap of the sequence number.
    let first = 65_533;
    let mut order = [0, 1, 2, 3, 4];
    let mut number = 0;
    permute(&mut order, 0, &mut |order| {
        let mut harness = Harness::with_slots(2);
        let (last, others) = order.split_last().unwrap();
        for &index in others {
            harness.pending(nth(number, first, index, 5));
        }
        let frame = harness.frame(nth(number, first, *last, 5));
        assert_eq!(frame.payload.to_bytes(), expected(number, first, 5), "{order:?}");
        number += 1;
    });
    assert_eq!(number, 120);
}

fn permute(items: &mut [u16; 5], from: usize, visit: &mut impl FnMut(&[u16; 5])) {
    if from == items.len() {
        return visit(items);
    }
    for other in from..items.len() {
        items.swap(from, other);
        permute(items, from + 1, visit);
        items.swap(from, other);
    }
}

#[test]
fn a_final_that_overtakes_an_inter_loses_nothing() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 3));
    harness.pending(nth(0, 0, 2, 3));
    assert_eq!(harness.frame(nth(0, 0, 1, 3)).payload.to_bytes(), expected(0, 0, 3));
}

#[test]
fn an_inter_that_overtakes_its_start_loses_nothing() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 1, 3));
    harness.pending(nth(0, 0, 0, 3));
    assert_eq!(harness.frame(nth(0, 0, 2, 3)).payload.to_bytes(), expected(0, 0, 3));
}

#[test]
fn the_start_packets_extensions_and_timestamp_count() {
    let mut harness = Harness::with_slots(2);
    let e2ee = Some(E2eeExtension { key_index: 1, iv: [1; 12] });
    let mut start = nth(0, 0, 0, 2);
    start.extensions = Extensions { e2ee, user_timestamp: Some(0) };
    start.timestamp = 77;
    let mut end = nth(0, 0, 1, 2);
    end.extensions.user_timestamp = Some(9);
    harness.pending(end);
    let frame = harness.frame(start);
    assert_eq!((frame.timestamp, frame.extensions), (77, start.extensions));
}

#[test]
fn the_same_sequence_number_twice_the_first_counts() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    let twin = harness.depacketizer.handle_packet(&nth(0, 0, 0, 2), Bytes::from_static(b"twin"), harness.now);
    assert!(matches!(twin, Outcome::Dropped(PacketDrop::Duplicate)));
    assert_eq!(harness.frame(nth(0, 0, 1, 2)).payload.to_bytes(), expected(0, 0, 2));
}

#[test]
fn two_finals_that_disagree_drop_the_frame() {
    for (one, other) in [(4, 5), (5, 4)] {
        let mut harness = Harness::with_slots(2);
        harness.pending(header(0, Marker::Start, 0));
        harness.pending(header(0, Marker::Final, one));
        harness.dropped(header(0, Marker::Final, other), PacketDrop::Inconsistent);
        assert_eq!(harness.frames_dropped(FrameDrop::Malformed), 1);
        harness.dropped(header(0, Marker::Inter, 1), PacketDrop::Superseded);
    }
}

#[test]
fn packets_that_contradict_each_other_drop_the_frame() {
    use Marker::{Final, Inter, Single, Start};
    for packets in [
        [(Start, 5), (Start, 6)],
        [(Start, 5), (Start, 4)],
        [(Start, 5), (Inter, 4)],
        [(Start, 5), (Final, 4)],
        [(Inter, 5), (Start, 6)],
        [(Final, 5), (Inter, 6)],
        [(Final, 5), (Start, 6)],
        [(Inter, 5), (Final, 4)],
        [(Start, 5), (Single, 6)],
        [(Start, 5), (Single, 4)],
    ] {
        let mut harness = Harness::with_slots(2);
        let [first, second] = packets.map(|(marker, sequence)| header(0, marker, sequence));
        harness.pending(first);
        harness.dropped(second, PacketDrop::Inconsistent);
        assert_eq!(harness.frames_dropped(FrameDrop::Malformed), 1, "{packets:?}");
    }
}

#[test]
fn an_offset_at_or_beyond_the_maximum_drops_the_frame() {
    let options = DepacketizerOptions { max_packets_per_frame: 4, ..DepacketizerOptions::default() };
    for (first, second, fits) in
        [(0, 3, true), (0, 4, false), (0, 32_767, false), (0, 32_768, false), (0, 32_769, false)]
    {
        let mut harness = Harness::new(options);
        harness.pending(header(0, Marker::Start, first));
        match harness.take(header(0, Marker::Inter, second)) {
            Outcome::Pending => assert!(fits, "{second}"),
            Outcome::Dropped(PacketDrop::Inconsistent) => assert!(!fits, "{second}"),
            outcome => panic!("{outcome:?}"),
        }
    }
    // Also packets that come before the first one that arrived.
    let mut harness = Harness::new(options);
    harness.pending(header(0, Marker::Final, 3));
    harness.pending(header(0, Marker::Inter, 1));
    harness.pending(header(0, Marker::Start, 0));
    let mut harness = Harness::new(options);
    harness.pending(header(0, Marker::Final, 4));
    harness.dropped(header(0, Marker::Start, 0), PacketDrop::Inconsistent);
}

#[test]
fn the_most_packets_that_may_be_allowed_come_together_backwards() {
    let count = MAX_PACKETS;
    let mut harness =
        Harness::new(DepacketizerOptions { max_packets_per_frame: count, ..Default::default() });
    for index in (1..count).rev() {
        harness.pending(nth(0, 60_000, index, count));
    }
    assert_eq!(harness.frame(nth(0, 60_000, 0, count)).payload.to_bytes(), expected(0, 60_000, count));
}

const MAX_PACKETS: u16 = crate::packetizer::MAX_PACKETS_PER_FRAME;

#[test]
fn more_bytes_than_allowed_drop_the_frame() {
    let options = DepacketizerOptions { max_frame_len: 7, ..DepacketizerOptions::default() };
    let mut harness = Harness::new(options);
    harness.pending(nth(0, 0, 0, 2));
    harness.dropped(nth(0, 0, 1, 2), PacketDrop::Inconsistent);
    assert_eq!(harness.frames_dropped(FrameDrop::Malformed), 1);
    // Only the first packet, of a frame of one packet or of several: the frame is not even opened.
    let options = DepacketizerOptions { max_frame_len: 3, ..DepacketizerOptions::default() };
    let mut harness = Harness::new(options);
    harness.dropped(nth(0, 0, 0, 1), PacketDrop::Inconsistent);
    harness.dropped(nth(1, 1, 0, 2), PacketDrop::Inconsistent);
    harness.dropped(nth(1, 1, 1, 2), PacketDrop::Superseded);
    assert_eq!(harness.depacketizer.stats().opened, 0);
}

#[test]
fn a_late_packet_of_an_older_frame_evicts_nothing() {
    for slots in 1..=3 {
        let mut harness = Harness::with_slots(usize::from(slots));
        for number in 10..10 + slots {
            harness.pending(nth(number, number * 2, 0, 2));
        }
        harness.dropped(nth(9, 17, 1, 2), PacketDrop::Superseded);
        harness.dropped(nth(9, 16, 0, 2), PacketDrop::Superseded);
        for number in 10..10 + slots {
            harness.frame(nth(number, number * 2, 1, 2));
        }
        // Nor is the frame opened by a later packet, since it can never be completed.
        harness.dropped(nth(9, 17, 1, 2), PacketDrop::Superseded);
        assert_eq!(harness.depacketizer.stats().open, 0);
    }
}

#[test]
fn a_frame_overtaken_by_the_first_packet_of_a_newer_one_opens_in_a_free_slot() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(1, 2, 0, 2));
    harness.pending(nth(0, 0, 0, 2));
    assert_eq!(harness.frame(nth(0, 0, 1, 2)).number, 0);
    assert_eq!(harness.frame(nth(1, 2, 1, 2)).number, 1);
    assert_eq!(harness.depacketizer.stats().dropped.total(), 0);
}

#[test]
fn a_frame_between_the_open_ones_takes_the_place_of_the_oldest() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(1, 2, 0, 2));
    harness.pending(nth(3, 6, 0, 2));
    harness.pending(nth(2, 4, 0, 2));
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 1);
    harness.dropped(nth(1, 2, 1, 2), PacketDrop::Superseded);
    harness.frame(nth(2, 4, 1, 2));
    harness.frame(nth(3, 6, 1, 2));
}

#[test]
fn only_newer_frames_that_open_count_against_a_frame() {
    let mut harness = Harness::with_slots(3);
    harness.pending(nth(10, 20, 0, 2));
    for number in 1..8 {
        harness.pending(nth(number, number * 2, 0, 2));
        harness.frame(nth(number, number * 2, 1, 2));
    }
    harness.frame(nth(10, 20, 1, 2));
    assert_eq!(harness.depacketizer.stats().dropped.total(), 0);
}

#[test]
fn an_older_frame_opens_when_none_is_open() {
    let mut harness = Harness::with_slots(2);
    harness.single(10);
    harness.pending(nth(9, 20, 0, 2));
    assert_eq!(harness.frame(nth(9, 20, 1, 2)).number, 9);
}

#[test]
fn newer_is_serial_arithmetic() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(65_535, 0, 0, 2));
    harness.pending(nth(0, 2, 0, 2));
    harness.dropped(nth(65_534, 65_534, 0, 2), PacketDrop::Superseded);
    assert_eq!(harness.frame(nth(65_535, 0, 1, 2)).number, 65_535);
    assert_eq!(harness.frame(nth(0, 2, 1, 2)).number, 0);
}

#[test]
fn with_two_slots_a_packet_late_by_one_frame_loses_none() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    for number in 1..100 {
        let first = number * 2;
        harness.pending(nth(number, first, 0, 2));
        assert_eq!(harness.frame(nth(number - 1, first - 2, 1, 2)).number, number - 1);
    }
    assert_eq!(harness.depacketizer.stats().dropped.total(), 0);
}

#[test]
fn the_oldest_dies_when_the_slots_are_full() {
    let mut harness = Harness::with_slots(2);
    for number in 0..3 {
        harness.pending(nth(number, number * 2, 0, 2));
    }
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 1);
    harness.dropped(nth(0, 0, 1, 2), PacketDrop::Superseded);
    harness.frame(nth(1, 2, 1, 2));
    harness.frame(nth(2, 4, 1, 2));
}

#[test]
fn a_frame_dies_when_more_newer_ones_than_there_are_slots_have_opened() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    for number in 1..=2 {
        harness.pending(nth(number, number * 2, 0, 2));
        harness.frame(nth(number, number * 2, 1, 2));
    }
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 0);
    harness.pending(nth(3, 6, 0, 2));
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 1);
    harness.dropped(nth(0, 0, 1, 2), PacketDrop::Superseded);
}

#[test]
fn one_packet_frames_take_no_slot_and_evict_nothing() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    harness.pending(nth(1, 2, 0, 2));
    for number in 2..200 {
        harness.single(number);
    }
    harness.frame(nth(0, 0, 1, 2));
    harness.frame(nth(1, 2, 1, 2));
    assert_eq!(harness.depacketizer.stats().dropped.total(), 0);
}

#[test]
fn frames_come_in_the_order_of_completion() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    harness.pending(nth(1, 2, 0, 2));
    assert_eq!(harness.frame(nth(1, 2, 1, 2)).number, 1);
    harness.single(2);
    assert_eq!(harness.frame(nth(0, 0, 1, 2)).number, 0);
}

#[test]
fn with_one_slot_a_frame_older_than_the_newest_delivered_is_dropped_as_superseded() {
    let mut harness = Harness::with_slots(1);
    harness.single(5);
    harness.dropped(nth(4, 4, 0, 1), PacketDrop::Superseded);
    harness.dropped(nth(3, 2, 0, 2), PacketDrop::Superseded);
    harness.pending(nth(6, 6, 0, 2));
    harness.single(7);
    assert_eq!(harness.frames_dropped(FrameDrop::Superseded), 1);
    harness.dropped(nth(6, 6, 1, 2), PacketDrop::Superseded);
    harness.single(8);
}

#[test]
fn with_one_slot_a_newer_frame_replaces_the_open_one() {
    let mut harness = Harness::with_slots(1);
    harness.pending(nth(0, 0, 0, 2));
    harness.pending(nth(1, 2, 0, 2));
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 1);
    harness.frame(nth(1, 2, 1, 2));
}

#[test]
fn with_one_slot_a_publisher_that_starts_anew_is_not_blacked_out() {
    let mut harness = Harness::with_slots(1);
    harness.single(5_000);
    for number in 0..6_000 {
        harness.single(number);
    }
}

#[test]
fn late_packets_of_a_completed_frame_are_duplicates() {
    let mut harness = Harness::with_slots(2);
    for index in 0..3 {
        let _ = harness.take(nth(0, 0, index, 3));
    }
    for index in 0..3 {
        harness.dropped(nth(0, 0, index, 3), PacketDrop::Duplicate);
    }
    harness.single(1);
    harness.dropped(nth(1, 1, 0, 1), PacketDrop::Duplicate);
    assert_eq!(harness.depacketizer.stats().opened, 2);
}

#[test]
fn a_partial_frame_dies_after_its_time() {
    let mut harness = Harness::with_slots(2);
    let opened = harness.now;
    harness.pending(nth(0, 0, 0, 2));
    harness.advance(499);
    harness.pending(nth(1, 2, 0, 2));
    assert_eq!(harness.depacketizer.poll_timeout(), Some(opened + Duration::from_millis(500)));
    harness.advance(1);
    assert_eq!(harness.frames_dropped(FrameDrop::TimedOut), 1);
    harness.dropped(nth(0, 0, 1, 2), PacketDrop::Superseded);
    harness.frame(nth(1, 2, 1, 2));
    assert_eq!(harness.depacketizer.poll_timeout(), None);
}

#[test]
fn a_frame_that_grows_is_kept_however_slow_its_way_is() {
    let mut harness = Harness::with_slots(2);
    for index in 0..63 {
        harness.pending(nth(0, 0, index, 64));
        harness.advance(499);
    }
    harness.frame(nth(0, 0, 63, 64));
}

#[test]
fn only_packets_that_are_accepted_keep_a_frame() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 3));
    harness.advance(300);
    harness.dropped(nth(0, 0, 0, 3), PacketDrop::Duplicate);
    harness.advance(200);
    harness.dropped(nth(0, 0, 1, 3), PacketDrop::Superseded);
}

#[test]
fn a_younger_frame_may_die_before_an_older_one() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 3));
    harness.pending(nth(1, 3, 0, 3));
    harness.advance(300);
    harness.pending(nth(0, 0, 1, 3));
    harness.advance(200);
    assert_eq!(harness.frames_dropped(FrameDrop::TimedOut), 1);
    harness.dropped(nth(1, 3, 1, 3), PacketDrop::Superseded);
    harness.frame(nth(0, 0, 2, 3));
}

#[test]
fn a_timer_that_fires_late_does_not_lengthen_a_frames_time() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    harness.now = harness.now + Duration::from_millis(500);
    harness.dropped(nth(0, 0, 1, 2), PacketDrop::Superseded);
    assert_eq!(harness.frames_dropped(FrameDrop::TimedOut), 1);
}

#[test]
fn closing_counts_open_frames_as_ended() {
    let mut harness = Harness::with_slots(4);
    for number in 0..3 {
        harness.pending(nth(number, number * 2, 0, 2));
    }
    harness.depacketizer.close();
    harness.depacketizer.close();
    assert_eq!(harness.frames_dropped(FrameDrop::Ended), 3);
    assert_eq!(harness.depacketizer.stats().open, 0);
    assert!(harness.depacketizer.stats().closes());
    assert_eq!(harness.depacketizer.poll_timeout(), None);
}

#[test]
fn fewer_slots_evict_the_oldest_at_once() {
    let mut harness = Harness::with_slots(4);
    for number in 0..4 {
        harness.pending(nth(number, number * 2, 0, 2));
    }
    let options = DepacketizerOptions { max_partial_frames: 1, ..DepacketizerOptions::default() };
    harness.depacketizer.set_options(options);
    assert_eq!(harness.frames_dropped(FrameDrop::Incomplete), 3);
    assert!(harness.depacketizer.stats().closes());
    harness.frame(nth(3, 6, 1, 2));
}

#[test]
fn options_are_brought_into_range() {
    let wild = DepacketizerOptions {
        max_partial_frames: 0,
        max_packets_per_frame: u16::MAX,
        ..DepacketizerOptions::default()
    };
    let mut depacketizer = Depacketizer::new(wild);
    assert_eq!(depacketizer.options().max_partial_frames, 1);
    assert_eq!(depacketizer.options().max_packets_per_frame, 32_767);
    depacketizer.set_options(DepacketizerOptions {
        max_partial_frames: 1_000,
        max_packets_per_frame: 0,
        ..wild
    });
    assert_eq!(depacketizer.options().max_partial_frames, 64);
    assert_eq!(depacketizer.options().max_packets_per_frame, 1);
}
