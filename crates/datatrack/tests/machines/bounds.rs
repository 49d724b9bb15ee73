//! What a hostile peer or server can make a subscriber hold.

use bytes::Bytes;
use datatrack::packet::{E2eeExtension, Extensions, Header, Marker};
use datatrack::subscriber::{MAX_TRACKS, StreamId, SubscribeOptions, SubscriberEvent};

use crate::support::*;

/// A packet of any marker with `len` bytes of payload.
fn packet(number: u16, marker: Marker, sequence: u16, frame_number: u16, len: usize) -> Bytes {
    let header = Header {
        marker,
        handle: handle(number),
        sequence,
        frame_number,
        timestamp: 0,
        extensions: Extensions::default(),
    };
    let mut bytes = vec![0; header.len() + len];
    header.write(&mut bytes).unwrap();
    bytes.into()
}

#[test]
fn frames_that_are_never_completed_are_bounded_in_number_and_time() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let mut dice = Dice::new(1);
    for step in 0..50_000_u64 {
        let marker = [Marker::Start, Marker::Inter, Marker::Final][dice.below(3) as usize];
        let (sequence, frame) = (dice.below(65_536) as u16, dice.below(65_536) as u16);
        receive(&mut subscriber, [packet(9, marker, sequence, frame, 10)], at(step / 100));
        let stats = subscriber.track_stats(track).unwrap();
        assert!(stats.open <= 2, "{stats:?}");
        assert_frames_close(stats);
        assert_packets_close(subscriber.packet_stats());
    }
    let now = at(10_000);
    subscriber.handle_timeout(now);
    assert_eq!(subscriber.track_stats(track).unwrap().open, 0);
    assert_eq!(subscriber.poll_timeout(), None, "no timer is left behind");
}

#[test]
fn a_partial_frame_dies_after_half_a_second_without_another_packet() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    receive(&mut subscriber, [packet(9, Marker::Start, 0, 0, 100)], at(1));
    assert_eq!(subscriber.poll_timeout(), Some(at(501)));
    subscriber.handle_timeout(at(501));
    let stats = subscriber.track_stats(track).unwrap();
    assert_eq!((stats.open, stats.dropped.timed_out), (0, 1));
}

#[test]
fn sealed_frames_that_wait_for_a_key_are_bounded_in_number() {
    let mut subscriber = subscriber_with(hkdf());
    let track = announce(&mut subscriber, vec![sealed_info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    let mut sender = Sender::new(9);
    let extension = E2eeExtension { key_index: 0, iv: [1; 12] };
    let extensions = Extensions { e2ee: Some(extension), user_timestamp: None };
    for _ in 0..1_000 {
        receive(&mut subscriber, sender.frame_with(&[0; 40], extensions), at(0));
    }
    let stats = subscriber.track_stats(track).unwrap();
    assert_frames_close(stats);
    assert_eq!((stats.open, stats.dropped.no_key), (256, 744));
    for _ in 0..100 {
        receive(&mut subscriber, sender.frame_with(&[0; 100_000], extensions), at(0));
    }
    assert_eq!(subscriber.track_stats(track).unwrap().open, 10, "and in bytes: 1 MiB");
    subscriber.handle_timeout(at(2_000));
    let stats = subscriber.track_stats(track).unwrap();
    assert_eq!((stats.open, stats.completed), (0, 0), "and in time: 2 s");
    assert_frames_close(stats);
}

#[test]
fn tracks_are_bounded() {
    let mut subscriber = subscriber();
    let infos = (0..=MAX_TRACKS).map(|number| info(1, &format!("{number}"), &format!("{number}")));
    let tracks = announce(&mut subscriber, infos.collect(), at(0));
    assert_eq!(tracks.len(), MAX_TRACKS);
}

#[test]
fn the_same_sid_from_two_publishers_stays_with_the_first() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    subscriber.handle_publication_update("mallory", vec![info(1, "a", "a")], at(0));
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_publication_update("mallory", vec![], at(0));
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_publication_update(ALICE, vec![info(1, "a", "a"), info(1, "a", "a")], at(0));
    assert_eq!(events(&mut subscriber), []);
    assert!(subscriber.track_stats(track).is_some());
}

#[test]
fn one_update_may_name_a_sid_twice() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "a", "b")], at(0));
    assert_eq!(tracks.len(), 1);
    subscriber.handle_publication_update(ALICE, vec![], at(0));
    let told = events(&mut subscriber);
    assert!(matches!(told[..], [SubscriberEvent::TrackUnpublished { .. }]), "{told:?}");
}
