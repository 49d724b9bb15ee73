//! The SFU's handle tables, packets that come before them, and sessions that reuse handles.

use std::time::Duration;

use bytes::Bytes;
use datatrack::subscriber::{Epoch, StreamId, SubscribeOptions, SubscriberConfig, SubscriberEvent, TrackId};
use datatrack::{PIECE_OVERHEAD, Subscriber};

use crate::support::*;

/// Tracks a and b, read by streams 1 and 2, under handles 9 and 10.
fn two_tracks(subscriber: &mut Subscriber) -> Vec<TrackId> {
    let tracks = announce(subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    for (stream, &track) in (1..).zip(&tracks) {
        subscriber.subscribe(track, StreamId(stream), SubscribeOptions::default(), at(0)).unwrap();
    }
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a")), (handle(10), sid("b"))], at(0));
    events(subscriber);
    tracks
}

fn one(number: u16, payload: &[u8]) -> Vec<Bytes> {
    Sender::new(number).frame(payload)
}

#[test]
fn two_handles_may_be_swapped_in_one_table() {
    let swapped = [(handle(10), sid("a")), (handle(9), sid("b"))];
    for table in [swapped.to_vec(), swapped.iter().rev().cloned().collect()] {
        let mut subscriber = subscriber();
        two_tracks(&mut subscriber);
        receive(&mut subscriber, one(9, b"a1"), at(0));
        receive(&mut subscriber, one(10, b"b1"), at(0));
        subscriber.handle_subscriber_handles(table, at(0));
        receive(&mut subscriber, one(9, b"b2"), at(0));
        receive(&mut subscriber, one(10, b"a2"), at(0));
        assert_eq!(read(&mut subscriber, 1), [b"a1", b"a2"]);
        assert_eq!(read(&mut subscriber, 2), [b"b1", b"b2"]);
        assert_eq!(subscriber.packet_stats().dropped.total(), 0);
    }
}

#[test]
fn packets_before_the_table_are_held_and_replayed_in_order() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    let mut sender = Sender::new(9);
    for number in 0..10_u8 {
        receive(&mut subscriber, sender.frame(&[number]), at(1));
    }
    receive(&mut subscriber, one(77, b"other"), at(1));
    assert_eq!(subscriber.packet_stats().held, 11);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(2));
    assert_eq!(read(&mut subscriber, 1), (0..10).map(|number| [number]).collect::<Vec<_>>());
    let stats = subscriber.packet_stats();
    assert_packets_close(stats);
    assert_eq!((stats.held, stats.accepted), (1, 10));
}

/// Goes beyond `EARLY_PACKET_MS`.
#[test]
fn early_packets_expire_after_exactly_a_second() {
    for late in [false, true] {
        let mut subscriber = subscriber();
        let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
        subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(200)).unwrap();
        receive(&mut subscriber, one(9, b"x"), at(100));
        assert_eq!(subscriber.poll_timeout(), Some(at(1_100)));
        // The result does not depend on whether the driver's timer was on time.
        let table = at(1_100 - u64::from(!late));
        subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], table);
        assert_eq!(read(&mut subscriber, 1).len(), usize::from(!late));
        let stats = subscriber.packet_stats();
        assert_packets_close(stats);
        assert_eq!((stats.held, stats.dropped.unknown_handle), (0, u64::from(late)));
    }
}

/// Fills `EARLY_PACKET_BYTES`.
#[test]
fn early_packets_are_bounded_in_bytes_the_oldest_go_first() {
    let mut subscriber = Subscriber::new(SubscriberConfig {
        early_packet_bytes: 10_000,
        early_packet_age: Duration::from_secs(1),
        ..Default::default()
    });
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    let mut sender = Sender::new(9);
    for number in 0..100_u8 {
        receive(&mut subscriber, sender.frame(&[number; 860]), at(0));
    }
    receive(&mut subscriber, sender.frame(&[0; 15_000]), at(0));
    let stats = subscriber.packet_stats();
    assert_packets_close(stats);
    assert_eq!(
        (stats.held, stats.dropped.unknown_handle),
        (10, 91),
        "a packet costs 128 bytes beside its own"
    );
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    assert_eq!(read(&mut subscriber, 1)[0], [90; 860]);
}

#[test]
fn empty_early_packets_are_bounded_too() {
    let mut subscriber = subscriber();
    let mut sender = Sender::new(9);
    for _ in 0..100_000 {
        receive(&mut subscriber, sender.frame(b""), at(0));
    }
    assert_eq!(subscriber.packet_stats().held, (256 << 10) / (12 + PIECE_OVERHEAD as u64));
    assert_packets_close(subscriber.packet_stats());
}

#[test]
fn packets_of_an_old_epoch_are_dropped_and_counted() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    receive(&mut subscriber, one(50, b"early"), at(0));
    subscriber.handle_rebuilt(at(0));
    assert_eq!(subscriber.epoch(), Epoch(1));
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a")), (handle(50), sid("a"))], at(0));
    for packet in Sender::new(50).frame(b"late") {
        subscriber.handle_packet(packet, Epoch(0), at(0));
    }
    assert_eq!(read(&mut subscriber, 1).len(), 0);
    let stats = subscriber.packet_stats();
    assert_packets_close(stats);
    assert_eq!((stats.dropped.stale_epoch, stats.held), (2, 0), "what was held is of the old session too");
}

#[test]
fn after_a_rebuild_a_handle_may_be_another_track() {
    let mut subscriber = subscriber();
    let tracks = two_tracks(&mut subscriber);
    // Half of a frame of track a, under handle 9.
    receive(&mut subscriber, Sender::new(9).frame(&payload(1, 20_000)).into_iter().take(1), at(0));
    subscriber.handle_rebuilt(at(1));
    assert_eq!(events(&mut subscriber).len(), 2, "both are asked for again");
    // In the new session handle 9 is track b. Its packets come before the table.
    receive(&mut subscriber, Sender::new(9).frame(&payload(2, 20_000)), at(1));
    assert!(read(&mut subscriber, 1).is_empty());
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("b"))], at(2));
    assert!(read(&mut subscriber, 1).is_empty());
    assert_eq!(read(&mut subscriber, 2), [payload(2, 20_000)]);
    let stats = subscriber.track_stats(tracks[0]).unwrap();
    assert_frames_close(stats);
    assert_eq!(stats.dropped.ended, 1);
}

#[test]
fn old_handles_route_within_a_session_until_replaced() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame(b"1"), at(0));
    subscriber.handle_subscriber_handles(vec![], at(0));
    receive(&mut subscriber, sender.frame(b"2"), at(0));
    subscriber.handle_subscriber_handles(vec![(handle(10), sid("a"))], at(0));
    receive(&mut subscriber, sender.frame(b"3"), at(0));
    receive(&mut subscriber, one(10, b"4"), at(0));
    assert_eq!(read(&mut subscriber, 1), [b"1", b"2", b"4"]);
    let stats = subscriber.packet_stats();
    assert_eq!((stats.dropped.unknown_handle, stats.held), (1, 0), "a replaced handle is not waited for");
}

#[test]
fn a_handle_that_gets_another_track_takes_nothing_along() {
    let mut subscriber = subscriber();
    two_tracks(&mut subscriber);
    let packets = Sender::new(9).frame(&payload(1, 40_000));
    receive(&mut subscriber, packets[..2].iter().cloned(), at(0));
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("b"))], at(0));
    receive(&mut subscriber, packets[2..].iter().cloned(), at(0));
    assert!(read(&mut subscriber, 1).is_empty());
    assert!(read(&mut subscriber, 2).is_empty());
}

#[test]
fn a_handle_of_a_track_not_announced_yet_is_taken_from_the_old_track_at_once() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("b"))], at(0));
    receive(&mut subscriber, one(9, b"of b"), at(0));
    assert!(read(&mut subscriber, 1).is_empty(), "the table says that it is not of a");
    assert_eq!(subscriber.packet_stats().held, 1);
    let infos = vec![info(1, "a", "a"), info(2, "b", "b")];
    subscriber.handle_publication_update(ALICE, infos, at(0));
    assert!(read(&mut subscriber, 1).is_empty());
    let stats = subscriber.packet_stats();
    assert_packets_close(stats);
    assert_eq!((stats.held, stats.dropped.unsubscribed), (0, 1), "no stream reads b");
}

#[test]
fn a_table_may_come_before_the_track_is_announced() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![info(1, "a", "a")], at(0));
    // Alice's connection was rebuilt. The table with the new SID overtakes the update that announces it.
    subscriber.handle_subscriber_handles(vec![(handle(20), sid("new"))], at(1));
    receive(&mut subscriber, one(20, b"early"), at(1));
    assert!(read(&mut subscriber, 1).is_empty());
    subscriber.handle_publication_update(ALICE, vec![info(1, "new", "a")], at(2));
    assert_eq!(read(&mut subscriber, 1), [b"early"]);
    subscriber.handle_timeout(at(60_000));
    let told = events(&mut subscriber);
    assert!(!told.iter().any(|event| matches!(event, SubscriberEvent::StreamEnded { .. })), "{told:?}");
}

#[test]
fn a_handle_of_an_unannounced_track_spoils_nothing() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    let table = vec![(handle(8), sid("unannounced")), (handle(9), sid("a")), (handle(7), sid("no"))];
    subscriber.handle_subscriber_handles(table, at(0));
    receive(&mut subscriber, one(9, b"x"), at(0));
    assert_eq!(read(&mut subscriber, 1), [b"x"]);
}

#[test]
fn late_packets_of_an_unpublished_track_do_not_reach_the_next_one_under_its_handle() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![], at(0));
    receive(&mut subscriber, one(9, b"late"), at(0));
    let track = announce(&mut subscriber, vec![info(2, "b", "b")], at(0))[0];
    subscriber.subscribe(track, StreamId(2), SubscribeOptions::default(), at(0)).unwrap();
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("b"))], at(0));
    receive(&mut subscriber, one(9, b"mine"), at(0));
    assert_eq!(read(&mut subscriber, 2), [b"mine"]);
    let stats = subscriber.packet_stats();
    assert_eq!((stats.dropped.unknown_handle, stats.held), (1, 0));
}

#[test]
fn packets_of_a_track_without_streams_are_counted_as_such() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let packets = Sender::new(9).frame(&payload(1, 40_000));
    receive(&mut subscriber, packets[..1].iter().cloned(), at(0));
    subscriber.unsubscribe(StreamId(1));
    receive(&mut subscriber, packets[1..].iter().cloned(), at(0));
    assert_eq!(subscriber.packet_stats().dropped.unsubscribed, 2);
    let stats = subscriber.track_stats(track).unwrap();
    assert_frames_close(stats);
    assert_eq!((stats.open, stats.dropped.ended), (0, 1));
}

#[test]
fn malformed_packets_are_counted_and_change_nothing() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let good = one(9, b"x").remove(0);
    let mut wrong_version = good.to_vec();
    wrong_version[0] |= 0x20;
    let mut no_handle = good.to_vec();
    no_handle[2..4].fill(0);
    let mut cut_extension = good.to_vec();
    cut_extension[0] |= 0b100;
    for packet in [vec![], vec![0; 11], wrong_version, no_handle, cut_extension] {
        receive(&mut subscriber, [Bytes::from(packet)], at(0));
    }
    receive(&mut subscriber, [good], at(0));
    assert_eq!(subscriber.packet_stats().dropped.malformed, 5);
    assert_eq!(read(&mut subscriber, 1), [b"x"]);
    assert_packets_close(subscriber.packet_stats());
}
