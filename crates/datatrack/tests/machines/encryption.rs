//! Sealing, opening, refusing, and what is reported about it.

use datatrack::e2ee::{KeyDerivation, KeyOptions, KeyScope};
use datatrack::packet::{E2eeExtension, Extensions};
use datatrack::publisher::{
    PublishOptions, PublisherEvent, PushFrameError, QueueOptions, SessionEncryption, WhenFull,
};
use datatrack::subscriber::{
    EncryptionErrorReason, StreamId, SubscribeError, SubscribeOptions, SubscriberEvent, TrackId,
};
use datatrack::{Handle, Instant, Publisher, Subscriber};

use crate::support::*;

/// Bob reads Alice's encrypted track a under handle 9 through stream 1. No participant has a key.
fn sealed_track(encryption: SessionEncryption) -> (Subscriber, TrackId) {
    let mut subscriber = subscriber_with(encryption);
    let track = announce(&mut subscriber, vec![sealed_info(9, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    events(&mut subscriber);
    (subscriber, track)
}

/// A publisher whose ninth handle is the encrypted track a.
fn sealing() -> (Publisher, Handle) {
    let mut publisher = publisher_with(hkdf());
    for _ in 1..9 {
        let other = publisher.publish(PublishOptions::new("x"), at(0)).unwrap();
        publisher.cancel_publish(other);
    }
    let track = published(&mut publisher, encrypted("a"));
    (publisher, track)
}

fn give_key(publisher: &mut Publisher, index: u8, seed: u8) {
    publisher.set_key(index, key(seed)).unwrap();
    derive_sealing(publisher);
    publisher.set_key_index(index).unwrap();
}

/// Sends a frame from the publisher to the subscriber at `now`.
fn pass(publisher: &mut Publisher, subscriber: &mut Subscriber, payload: &[u8], now: Instant) {
    publisher.push(handle(9), payload, None, now).unwrap();
    let packets = packets(publisher, now).into_iter().map(|(_, packet)| packet).collect::<Vec<_>>();
    receive(subscriber, packets, now);
}

fn errors(subscriber: &mut Subscriber) -> Vec<(EncryptionErrorReason, u8, u64)> {
    events(subscriber)
        .into_iter()
        .map(|event| match event {
            SubscriberEvent::EncryptionError { publisher, reason, key_index, count } => {
                assert_eq!(&*publisher, ALICE);
                (reason, key_index, count)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_plain_track_is_refused_in_an_encrypted_session_unless_allowed() {
    for encryption in [hkdf(), SessionEncryption::Custom] {
        let mut subscriber = subscriber_with(encryption);
        let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
        let refused = subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0));
        assert_eq!(refused, Err(SubscribeError::Unencrypted));
        assert_eq!(events(&mut subscriber), [], "the SFU is not asked");
        let allowed = SubscribeOptions { allow_unencrypted: true, ..Default::default() };
        subscriber.subscribe(track, StreamId(1), allowed, at(0)).unwrap();
        subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
        receive(&mut subscriber, Sender::new(9).frame(b"plain"), at(0));
        assert_eq!(read(&mut subscriber, 1), [b"plain"]);
    }
}

#[test]
fn a_sealed_track_is_refused_in_a_session_without_encryption() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![sealed_info(1, "a", "a")], at(0))[0];
    for allow_unencrypted in [false, true] {
        let options = SubscribeOptions { allow_unencrypted, ..Default::default() };
        let refused = subscriber.subscribe(track, StreamId(1), options, at(0));
        assert_eq!(refused, Err(SubscribeError::Encrypted));
    }
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn ciphertext_is_never_handed_out() {
    let extension = E2eeExtension { key_index: 0, iv: [7; 12] };
    let extensions = Extensions { e2ee: Some(extension), user_timestamp: None };
    // The SFU says that the track is not encrypted, but its frames are sealed.
    let mut plain = subscriber();
    let track = subscribed(&mut plain);
    receive(&mut plain, Sender::new(9).frame_with(&[1; 40], extensions), at(0));
    assert!(read(&mut plain, 1).is_empty());
    assert_eq!(plain.track_stats(track).unwrap().dropped.no_key, 1);
    assert_eq!(errors(&mut plain), [(EncryptionErrorReason::MissingKey, 0, 1)]);
    // No key at all, then a key at another index.
    let (mut subscriber, track) = sealed_track(hkdf());
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame_with(&[1; 40], extensions), at(0));
    subscriber.set_key(of_alice(), 1, key(1)).unwrap();
    derive_opening(&mut subscriber, at(0));
    receive(&mut subscriber, sender.frame_with(&[1; 40], extensions), at(0));
    assert!(read(&mut subscriber, 1).is_empty());
    let stats = subscriber.track_stats(track).unwrap();
    assert_frames_close(stats);
    assert_eq!((stats.completed, stats.dropped.no_key), (0, 2));
}

#[test]
fn a_plain_frame_on_a_sealed_track_is_dropped_and_told() {
    for encryption in [hkdf(), SessionEncryption::Custom] {
        let (mut subscriber, track) = sealed_track(encryption);
        receive(&mut subscriber, Sender::new(9).frame(b"injected"), at(0));
        assert!(read(&mut subscriber, 1).is_empty());
        assert_eq!(subscriber.track_stats(track).unwrap().dropped.unencrypted, 1);
        assert_eq!(errors(&mut subscriber), [(EncryptionErrorReason::Unencrypted, 0, 1)]);
    }
}

#[test]
fn sealed_frames_of_any_size_arrive() {
    let mut pair = Pair::new(1, Weather::default(), hkdf());
    pair.alice.machine.set_key(0, key(1)).unwrap();
    pair.bob.machine.set_key(of_alice(), 0, key(1)).unwrap();
    let (track, _) = pair.with_track(encrypted("a"));
    for len in [0, 1, 16, 15_952, 15_953, 40_000] {
        pair.alice.machine.push(track, &payload(len, len), Some(0), pair.now).unwrap();
        pair.progress(ms(1));
        let frames = frames(&mut pair.bob.machine, 1);
        assert_eq!(frames[0].payload.to_bytes(), payload(len, len));
        assert_eq!((frames[0].user_timestamp, frames[0].sealed), (Some(0), None));
    }
}

#[test]
fn pushing_without_a_key_says_so() {
    let (mut publisher, track) = sealing();
    assert_eq!(publisher.push(track, b"x", None, at(0)), Err(PushFrameError::NoKey));
    publisher.set_key_index(3).unwrap();
    publisher.set_key(0, key(1)).unwrap();
    assert_eq!(publisher.push(track, b"x", None, at(0)), Err(PushFrameError::NoKey), "not the current one");
    assert_eq!(publisher.track_stats(track).unwrap().refused, 2);
    assert!(publisher.set_key(16, key(1)).is_err());
    assert!(publisher.set_key_index(16).is_err());
}

#[test]
fn frames_pushed_while_the_first_key_is_derived_leave_in_order_when_it_is_there() {
    let (mut publisher, track) = sealing();
    publisher.set_key(0, key(1)).unwrap();
    let derivation = publisher.poll_derivation().unwrap();
    for number in 0..5_u8 {
        publisher.push(track, &[number; 100], None, at(u64::from(number))).unwrap();
    }
    let stats = publisher.track_stats(track).unwrap();
    assert_eq!((stats.pushed, stats.queued, publisher.buffered_amount(track)), (5, 5, 500));
    assert!(!publisher.has_packets());
    publisher.handle_derived(derivation.run());
    assert!(publisher.has_packets());
    let (mut subscriber, _) = sealed_track(hkdf());
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    derive_opening(&mut subscriber, at(30));
    let packets = packets(&mut publisher, at(30)).into_iter().map(|(_, packet)| packet).collect::<Vec<_>>();
    receive(&mut subscriber, packets, at(30));
    assert_eq!(read(&mut subscriber, 1), (0..5).map(|number| [number; 100]).collect::<Vec<_>>());
    let stats = publisher.track_stats(track).unwrap();
    assert_sent_closes(stats);
    assert_eq!((stats.pushed, stats.sent), (5, 5));
}

/// Fills `MAX_FRAMES` of the publisher.
#[test]
fn held_frames_are_bounded_by_the_queues_limits() {
    for when_full in [WhenFull::DropOldest, WhenFull::Refuse] {
        let mut publisher = publisher_with(hkdf());
        let queue = QueueOptions::without_age_limit(1_000, when_full);
        let bounded = published(&mut publisher, PublishOptions { queue, ..encrypted("a") });
        let queue = QueueOptions { when_full, max_age: None, ..Default::default() };
        let empties = published(&mut publisher, PublishOptions { queue, ..encrypted("b") });
        publisher.set_key(0, key(1)).unwrap();
        let mut refused = 0;
        for _ in 0..15 {
            refused += u64::from(publisher.push(bounded, &[0; 100], None, at(0)).is_err());
        }
        for _ in 0..5_000 {
            refused += u64::from(publisher.push(empties, b"", None, at(0)).is_err());
        }
        assert_eq!(publisher.buffered_amount(bounded), 1_000);
        let (bounded, empties) =
            (publisher.track_stats(bounded).unwrap(), publisher.track_stats(empties).unwrap());
        assert_sent_closes(bounded);
        assert_sent_closes(empties);
        assert_eq!((bounded.queued, empties.queued), (10, 4_096));
        let drops = bounded.dropped.no_key + empties.dropped.no_key;
        match when_full {
            WhenFull::DropOldest => assert_eq!((refused, drops), (0, 5 + 904)),
            WhenFull::Refuse => assert_eq!((refused, drops), (5 + 904, 0)),
        }
    }
}

#[test]
fn frames_whose_key_is_given_up_are_dropped_and_a_waiting_flush_is_told() {
    let (mut publisher, track) = sealing();
    publisher.set_key(0, key(1)).unwrap();
    publisher.push(track, b"x", None, at(0)).unwrap();
    publisher.watch_buffered(track, 0);
    assert_eq!(sent_events(&mut publisher), []);
    publisher.set_key_index(5).unwrap();
    assert_eq!(sent_events(&mut publisher), [PublisherEvent::BufferedAmountLow { handle: track }]);
    let stats = publisher.track_stats(track).unwrap();
    assert_sent_closes(stats);
    assert_eq!((stats.dropped.no_key, stats.queued), (1, 0));
}

#[test]
fn frames_received_while_their_key_is_derived_are_delivered_when_it_is_there() {
    let (mut publisher, _) = sealing();
    give_key(&mut publisher, 0, 1);
    let (mut subscriber, track) = sealed_track(hkdf());
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    let derivation = subscriber.poll_derivation().unwrap();
    for number in 0..3_u8 {
        pass(&mut publisher, &mut subscriber, &[number], at(0));
    }
    assert!(read(&mut subscriber, 1).is_empty());
    assert_eq!(subscriber.track_stats(track).unwrap().open, 3);
    subscriber.request_frames(StreamId(1));
    subscriber.handle_derived(derivation.run(), at(20));
    assert_eq!(subscriber.poll_readable(), Some(StreamId(1)));
    let frames = frames(&mut subscriber, 1);
    assert_eq!(frames.iter().map(|frame| frame.payload.to_bytes()[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(frames[0].completed_at, at(0), "when its last packet came, not its key");
    assert_frames_close(subscriber.track_stats(track).unwrap());
}

#[test]
fn a_wrong_key_is_counted_and_told_once_a_second() {
    let (mut publisher, _) = sealing();
    give_key(&mut publisher, 0, 1);
    let (mut subscriber, track) = sealed_track(SessionEncryption::Native(KeyOptions {
        ratchet_window: 0,
        ..KeyOptions::per_participant(KeyDerivation::Hkdf)
    }));
    subscriber.set_key(of_alice(), 0, key(2)).unwrap();
    derive_opening(&mut subscriber, at(0));
    let failed = |count| (EncryptionErrorReason::DecryptionFailed, 0, count);
    for time in 0..10 {
        pass(&mut publisher, &mut subscriber, b"x", at(time * 100));
    }
    assert_eq!(errors(&mut subscriber), [failed(1)]);
    pass(&mut publisher, &mut subscriber, b"x", at(1_000));
    assert_eq!(errors(&mut subscriber), [failed(10)], "those that came meanwhile are in it");
    assert!(read(&mut subscriber, 1).is_empty());
    let stats = subscriber.track_stats(track).unwrap();
    assert_frames_close(stats);
    assert_eq!(stats.dropped.decryption_failed, 11);
    // With the right key, all frames open from the next one on.
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    derive_opening(&mut subscriber, at(1_001));
    pass(&mut publisher, &mut subscriber, b"y", at(1_001));
    assert_eq!(read(&mut subscriber, 1), [b"y"]);
}

#[test]
fn a_key_that_failed_too_often_is_told_as_invalid() {
    let (mut publisher, _) = sealing();
    give_key(&mut publisher, 0, 1);
    let (mut subscriber, _) = sealed_track(SessionEncryption::Native(KeyOptions {
        ratchet_window: 0,
        failure_tolerance: 2,
        ..KeyOptions::per_participant(KeyDerivation::Hkdf)
    }));
    subscriber.set_key(of_alice(), 0, key(2)).unwrap();
    derive_opening(&mut subscriber, at(0));
    for _ in 0..4 {
        pass(&mut publisher, &mut subscriber, b"x", at(0));
    }
    let told = errors(&mut subscriber);
    let expected = [EncryptionErrorReason::DecryptionFailed, EncryptionErrorReason::InvalidKey];
    assert_eq!(told.iter().map(|(reason, ..)| *reason).collect::<Vec<_>>(), expected);
}

#[test]
fn a_frame_that_waits_in_vain_is_told_with_the_key_it_named() {
    let (mut subscriber, track) = sealed_track(hkdf());
    subscriber.set_key(of_alice(), 5, key(1)).unwrap();
    let extension = E2eeExtension { key_index: 5, iv: [1; 12] };
    let extensions = Extensions { e2ee: Some(extension), user_timestamp: None };
    receive(&mut subscriber, Sender::new(9).frame_with(&[0; 20], extensions), at(0));
    subscriber.handle_timeout(at(1_999));
    assert_eq!(errors(&mut subscriber), []);
    assert_eq!(subscriber.poll_timeout(), Some(at(2_000)));
    subscriber.handle_timeout(at(2_000));
    assert_eq!(errors(&mut subscriber), [(EncryptionErrorReason::MissingKey, 5, 1)]);
    assert_frames_close(subscriber.track_stats(track).unwrap());
}

#[test]
fn frames_that_wait_for_a_ratchet_step_keep_their_order() {
    let (mut publisher, track) = sealing();
    give_key(&mut publisher, 0, 1);
    let (mut subscriber, remote) = sealed_track(hkdf());
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    derive_opening(&mut subscriber, at(0));
    pass(&mut publisher, &mut subscriber, &[0], at(0));
    // Three steps ahead. Frames that come meanwhile wait for the search.
    for _ in 0..3 {
        publisher.ratchet_key(0).unwrap();
        derive_sealing(&mut publisher);
    }
    for number in 1..6_u8 {
        pass(&mut publisher, &mut subscriber, &[number], at(1));
    }
    assert_eq!(read(&mut subscriber, 1), [[0]]);
    derive_opening(&mut subscriber, at(2));
    assert_eq!(read(&mut subscriber, 1), [[1], [2], [3], [4], [5]]);
    pass(&mut publisher, &mut subscriber, &[6], at(3));
    assert_eq!(read(&mut subscriber, 1), [[6]]);
    assert_eq!(subscriber.track_stats(remote).unwrap().completed, 7);
    assert_eq!(publisher.track_stats(track).unwrap().sent, 7);
    assert_eq!(errors(&mut subscriber), []);
}

#[test]
fn a_key_is_rotated_by_giving_the_new_index_to_receivers_first() {
    let (mut publisher, track) = sealing();
    give_key(&mut publisher, 0, 1);
    let (mut subscriber, _) = sealed_track(hkdf());
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    derive_opening(&mut subscriber, at(0));
    pass(&mut publisher, &mut subscriber, b"old", at(0));
    subscriber.set_key(of_alice(), 7, key(9)).unwrap();
    derive_opening(&mut subscriber, at(0));
    // A frame that was sealed before the change arrives after it.
    publisher.push(track, b"late", None, at(0)).unwrap();
    let (_, late) = next_packet(&mut publisher, at(0)).unwrap();
    give_key(&mut publisher, 7, 9);
    pass(&mut publisher, &mut subscriber, b"new", at(0));
    receive(&mut subscriber, [late], at(0));
    assert_eq!(read(&mut subscriber, 1), [&b"old"[..], b"new", b"late"]);
}

#[test]
fn one_shared_key_opens_the_frames_of_all_participants() {
    let shared = SessionEncryption::Native(KeyOptions::shared(KeyDerivation::Hkdf));
    let mut pair = Pair::new(1, Weather::default(), shared);
    pair.alice.machine.set_key(0, key(1)).unwrap();
    pair.bob.machine.set_key(KeyScope::Shared, 0, key(1)).unwrap();
    assert!(pair.bob.machine.set_key(of_alice(), 0, key(1)).is_err());
    let (track, _) = pair.with_track(encrypted("a"));
    pair.alice.machine.push(track, b"x", None, pair.now).unwrap();
    pair.progress(ms(1));
    assert_eq!(read(&mut pair.bob.machine, 1), [b"x"]);
}

#[test]
fn an_application_may_seal_and_open_frames_itself() {
    let mut pair = Pair::new(1, Weather::default(), SessionEncryption::Custom);
    assert!(pair.alice.machine.set_key(0, key(1)).is_err());
    assert!(pair.bob.machine.set_key(of_alice(), 0, key(1)).is_err());
    let (track, remote) = pair.with_track(encrypted("a"));
    let extension = E2eeExtension { key_index: 3, iv: *b"twelve bytes" };
    pair.alice.machine.push_sealed(track, b"ciphertext", Some(5), extension, pair.now).unwrap();
    pair.progress(ms(1));
    let frames = frames(&mut pair.bob.machine, 1);
    assert_eq!(frames[0].payload.to_bytes(), &b"ciphertext"[..]);
    assert_eq!((frames[0].sealed, frames[0].user_timestamp), (Some(extension), Some(5)));
    // The application could not open a frame: the failure is counted and reported.
    pair.bob.machine.count_open_failure(StreamId(1), 3, pair.now);
    assert_eq!(
        pair.bob.machine.poll_event(),
        Some(SubscriberEvent::EncryptionError {
            publisher: ALICE.into(),
            reason: EncryptionErrorReason::DecryptionFailed,
            key_index: 3,
            count: 1
        })
    );
    let stats = pair.bob.machine.stream_stats(StreamId(1)).unwrap();
    assert_eq!((stats.delivered, stats.dropped.decode_failed), (0, 1));
    assert_eq!(pair.bob.machine.track_stats(remote).unwrap().completed, 1);
}

#[test]
fn no_iv_is_used_twice_by_all_tracks_and_keys_of_a_session() {
    let mut publisher = publisher_with(hkdf());
    give_key(&mut publisher, 0, 1);
    let tracks = ["a", "b"].map(|name| published(&mut publisher, encrypted(name)));
    let mut seen = std::collections::HashSet::new();
    for round in 0..6 {
        for _ in 0..10 {
            for track in tracks {
                publisher.push(track, b"x", None, at(0)).unwrap();
            }
        }
        for (_, packet) in packets(&mut publisher, at(0)) {
            let (header, _) = datatrack::packet::Header::parse(&packet).unwrap();
            assert!(seen.insert(header.extensions.e2ee.unwrap().iv));
        }
        match round % 3 {
            0 => give_key(&mut publisher, 1, round + 1),
            1 => {
                publisher.ratchet_key(1).unwrap();
                derive_sealing(&mut publisher);
            }
            _ => {
                publisher.handle_rebuilt(at(0));
                publisher.handle_publish_response(sealed_info(1, "a", "a"));
                publisher.handle_publish_response(sealed_info(2, "b", "b"));
            }
        }
    }
    assert_eq!(seen.len(), 120);
}
