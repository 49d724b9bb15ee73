//! Duplicates, replays and jumps of frame numbers.

use super::*;

/// Fills `WINDOW`.
#[test]
fn each_of_the_last_1024_frames_is_recognised_as_a_duplicate() {
    let mut harness = Harness::with_slots(2);
    for number in 0..3_000 {
        harness.single(number);
    }
    for back in 0..1_024 {
        harness.dropped(nth(2_999 - back, 0, 0, 1), PacketDrop::Duplicate);
    }
    assert_eq!(harness.depacketizer.stats().completed, 3_000);
}

#[test]
fn frames_that_were_skipped_are_delivered_late() {
    let mut harness = Harness::with_slots(2);
    harness.single(0);
    harness.single(1_000);
    for number in 1..1_000 {
        harness.single(number);
    }
}

#[test]
fn a_jump_of_1025_moves_the_window() {
    jump(1_025);
}

#[test]
fn a_jump_of_32768_moves_the_window() {
    jump(32_768);
}

#[test]
fn a_jump_of_65535_is_one_frame_back() {
    let mut harness = Harness::with_slots(2);
    harness.single(3_000);
    harness.single(2_999);
    harness.dropped(nth(3_000, 0, 0, 1), PacketDrop::Duplicate);
    harness.single(3_001);
}

/// Frames of one packet and of several are delivered right after a jump, and duplicates are recognised.
fn jump(by: u16) {
    for count in [1, 2] {
        let mut harness = Harness::with_slots(2);
        for number in 2_000..3_000 {
            harness.single(number);
        }
        for step in 0..2_000 {
            let number = (2_999 + by).wrapping_add(step);
            for index in 0..count - 1 {
                harness.pending(nth(number, 0, index, count));
            }
            assert_eq!(harness.frame(nth(number, 0, count - 1, count)).number, number);
            harness.dropped(nth(number, 0, 0, count), PacketDrop::Duplicate);
        }
    }
}

#[test]
fn a_publisher_that_restarts_at_0_is_not_blacked_out() {
    for before in [1_024, 5_000, 40_000, 60_000] {
        let mut harness = Harness::with_slots(2);
        harness.single(before - 1);
        harness.single(before);
        for number in 0..3_000 {
            harness.single(number);
        }
    }
}

#[test]
fn a_restart_while_a_frame_is_open_is_delivered_at_once_if_a_slot_is_free() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(5_000, 0, 0, 2));
    harness.pending(nth(0, 0, 0, 2));
    harness.frame(nth(0, 0, 1, 2));
    harness.single(1);
    harness.pending(nth(2, 3, 0, 2));
    harness.frame(nth(2, 3, 1, 2));
}

#[test]
fn with_one_slot_a_restart_while_a_frame_is_open_waits_no_longer_than_its_time() {
    let mut harness = Harness::with_slots(1);
    harness.pending(nth(5_000, 0, 0, 2));
    harness.dropped(nth(0, 0, 0, 2), PacketDrop::Superseded);
    harness.advance(500);
    harness.pending(nth(2, 3, 0, 2));
    harness.frame(nth(2, 3, 1, 2));
}

#[test]
fn a_frame_number_is_used_again_after_the_wrap() {
    let mut harness = Harness::with_slots(2);
    for number in (0..=u16::MAX).chain(0..=u16::MAX) {
        harness.single(number);
    }
    assert_eq!(harness.depacketizer.stats().completed, 131_072);
}

#[test]
fn a_frame_that_was_given_up_is_not_resurrected() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    harness.advance(500);
    for number in 1..1_024 {
        harness.dropped(nth(0, 0, 0, 2), PacketDrop::Superseded);
        harness.dropped(nth(0, 0, 1, 2), PacketDrop::Superseded);
        harness.single(number);
    }
    assert_eq!(harness.depacketizer.stats().opened, 1_024);
}

#[test]
fn a_frame_that_was_open_during_a_jump_is_completed() {
    let mut harness = Harness::with_slots(2);
    harness.pending(nth(0, 0, 0, 2));
    harness.single(5_000);
    harness.frame(nth(0, 0, 1, 2));
    harness.single(5_001);
    harness.dropped(nth(5_000, 0, 0, 1), PacketDrop::Duplicate);
}
