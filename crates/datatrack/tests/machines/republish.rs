//! What happens to publications when the connection is lost, resumed or rebuilt.

use datatrack::publisher::{
    PublishError, PublishOptions, PublishRejection, PublisherEvent, PushFrameError, UnpublishedBy,
};

use crate::support::*;

fn request_of(event: &PublisherEvent) -> u16 {
    let PublisherEvent::PublishRequest(request) = event else { panic!("{event:?}") };
    request.handle.get()
}

#[test]
fn a_pending_publication_survives_a_rebuilt_connection() {
    let mut publisher = publisher();
    let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    publisher.handle_connection_lost();
    publisher.handle_rebuilt(at(9_000));
    let told = sent_events(&mut publisher);
    assert_eq!(told.iter().map(request_of).collect::<Vec<_>>(), [1, 1]);
    // The SFU has the whole ten seconds again.
    publisher.handle_timeout(at(18_999));
    assert_eq!(sent_events(&mut publisher), []);
    publisher.handle_publish_response(info(1, "x", "a"));
    let published = PublisherEvent::Published { handle: track, info: info(1, "x", "a") };
    assert_eq!(sent_events(&mut publisher), [published]);
}

#[test]
fn no_request_times_out_while_there_is_no_connection() {
    let mut publisher = publisher();
    publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    sent_events(&mut publisher);
    publisher.handle_connection_lost();
    assert_eq!(publisher.poll_timeout(), None);
    publisher.handle_timeout(at(60_000));
    assert_eq!(sent_events(&mut publisher), []);
    publisher.handle_resumed(at(60_000));
    assert_eq!(sent_events(&mut publisher).iter().map(request_of).collect::<Vec<_>>(), [1]);
    publisher.handle_timeout(at(69_999));
    assert_eq!(sent_events(&mut publisher), []);
    publisher.handle_timeout(at(70_000));
    let failed = PublisherEvent::PublishFailed { handle: handle(1), error: PublishError::Timeout };
    // The SFU may have taken the track, and would keep its name.
    let unpublish = PublisherEvent::UnpublishRequest { handle: handle(1) };
    assert_eq!(sent_events(&mut publisher), [failed, unpublish]);
}

#[test]
fn what_is_published_without_a_connection_is_asked_for_when_it_is_back() {
    let mut publisher = publisher();
    publisher.handle_connection_lost();
    publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    let given_up = publisher.publish(PublishOptions::new("b"), at(0)).unwrap();
    publisher.cancel_publish(given_up);
    assert!(matches!(sent_events(&mut publisher)[..], [PublisherEvent::PublishFailed { .. }]));
    publisher.handle_resumed(at(1));
    // The SFU never heard of the other publication.
    assert_eq!(sent_events(&mut publisher).iter().map(request_of).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_unpublish_without_a_connection_reaches_the_sfu_when_resumed() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.handle_connection_lost();
    publisher.unpublish(track);
    assert_eq!(only_end(&sent_events(&mut publisher)), Some(&UnpublishedBy::Local));
    publisher.handle_resumed(at(1));
    assert_eq!(sent_events(&mut publisher), [PublisherEvent::UnpublishRequest { handle: track }]);
    // Once the SFU has confirmed it, it is not repeated when the connection is resumed again.
    publisher.handle_unpublish_response(track);
    publisher.handle_connection_lost();
    publisher.handle_resumed(at(2));
    assert_eq!(sent_events(&mut publisher), []);
}

#[test]
fn an_unpublish_whose_answer_is_lost_is_repeated_when_resumed_but_not_in_a_new_session() {
    for new_session in [false, true] {
        let mut publisher = publisher();
        let track = published(&mut publisher, PublishOptions::new("a"));
        publisher.unpublish(track);
        sent_events(&mut publisher);
        publisher.handle_connection_lost();
        if new_session {
            publisher.handle_rebuilt(at(1));
            assert_eq!(sent_events(&mut publisher), []);
        } else {
            publisher.handle_resumed(at(1));
            assert_eq!(sent_events(&mut publisher), [PublisherEvent::UnpublishRequest { handle: track }]);
        }
    }
}

#[test]
fn a_refused_republish_ends_the_track_and_pushes_say_unpublished() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.push(track, b"x", None, at(0)).unwrap();
    publisher.handle_rebuilt(at(1));
    sent_events(&mut publisher);
    assert_eq!(publisher.push(track, b"y", None, at(1)), Err(PushFrameError::Reconnecting));
    publisher.handle_publish_rejected(track, PublishRejection::NotAllowed);
    let by = UnpublishedBy::RepublishFailed(PublishError::NotAllowed);
    assert_eq!(only_end(&sent_events(&mut publisher)), Some(&by));
    for _ in 0..3 {
        assert_eq!(publisher.push(track, b"z", None, at(2)), Err(PushFrameError::TrackUnpublished));
    }
    assert_sent_closes(publisher.track_stats(track).unwrap());
}

#[test]
fn a_republish_that_is_not_answered_ends_the_track_after_ten_seconds() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.handle_rebuilt(at(5));
    sent_events(&mut publisher);
    publisher.handle_timeout(at(10_005));
    let by = UnpublishedBy::RepublishFailed(PublishError::Timeout);
    let ended = PublisherEvent::Unpublished { handle: track, by };
    let unpublish = PublisherEvent::UnpublishRequest { handle: track };
    assert_eq!(sent_events(&mut publisher), [ended, unpublish]);
    assert_eq!(publisher.track_stats(track).unwrap().queued, 0);
}

#[test]
fn a_republished_track_keeps_its_handle_and_takes_the_new_sid() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.handle_rebuilt(at(1));
    assert_eq!(sent_events(&mut publisher).iter().map(request_of).collect::<Vec<_>>(), [1]);
    assert_eq!(publisher.publish_responses_for_sync_state(), []);
    publisher.handle_publish_response(info(1, "new", "a"));
    let again = PublisherEvent::Republished { handle: track, info: info(1, "new", "a") };
    assert_eq!(sent_events(&mut publisher), [again]);
    assert_eq!(publisher.push(track, b"x", None, at(2)), Ok(()));
    assert_eq!(publisher.publish_responses_for_sync_state(), [info(1, "new", "a")]);
}

#[test]
fn the_sync_state_lists_what_is_published_and_nothing_else() {
    let mut publisher = publisher();
    let ended = published(&mut publisher, PublishOptions::new("a"));
    published(&mut publisher, PublishOptions::new("b"));
    publisher.publish(PublishOptions::new("c"), at(0)).unwrap();
    publisher.unpublish(ended);
    assert_eq!(publisher.publish_responses_for_sync_state(), [info(2, "b", "b")]);
}

#[test]
fn a_partly_sent_frame_starts_over_in_a_new_session_and_goes_on_in_a_resumed_one() {
    for new_session in [true, false] {
        let mut publisher = publisher();
        let track = published(&mut publisher, PublishOptions::new("a"));
        publisher.push(track, &payload(1, 40_000), None, at(0)).unwrap();
        let first = next_packet(&mut publisher, at(0)).unwrap();
        publisher.handle_connection_lost();
        assert_eq!(next_packet(&mut publisher, at(1)), None);
        assert_eq!(publisher.push(track, b"x", None, at(1)), Err(PushFrameError::Reconnecting));
        let rest = if new_session {
            publisher.handle_rebuilt(at(2));
            assert_eq!(next_packet(&mut publisher, at(2)), None, "not before the SFU knows the track");
            publisher.handle_publish_response(info(1, "new", "a"));
            assert!(publisher.has_packets());
            let rest = packets(&mut publisher, at(500));
            assert_eq!(rest[0], first);
            rest
        } else {
            publisher.handle_resumed(at(2));
            packets(&mut publisher, at(2))
        };
        assert_eq!(rest.len(), if new_session { 3 } else { 2 });
        let stats = publisher.track_stats(track).unwrap();
        assert_eq!((stats.pushed, stats.sent, stats.packets_sent), (1, 1, if new_session { 4 } else { 3 }));
    }
}

#[test]
fn a_rebuilt_connection_seals_with_a_new_prefix() {
    let mut publisher = publisher_with(hkdf());
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let track = published(&mut publisher, encrypted("a"));
    let mut prefixes = Vec::new();
    for round in 0..3 {
        publisher.push(track, b"x", None, at(round)).unwrap();
        let (_, packet) = next_packet(&mut publisher, at(round)).unwrap();
        let (header, _) = datatrack::packet::Header::parse(&packet).unwrap();
        prefixes.push(header.extensions.e2ee.unwrap().iv[..8].to_vec());
        publisher.handle_rebuilt(at(round));
        publisher.handle_publish_response(sealed_info(1, "new", "a"));
    }
    prefixes.dedup();
    assert_eq!(prefixes.len(), 3);
}

#[test]
fn a_pair_goes_on_after_both_are_rebuilt() {
    let mut pair = Pair::new(1, Weather::default(), Default::default());
    let (track, remote) = pair.with_track(PublishOptions::new("a"));
    for round in 0..5_usize {
        pair.alice.machine.push(track, &payload(round, 20_000), None, pair.now).unwrap();
        pair.progress(ms(10));
        assert_eq!(read(&mut pair.bob.machine, 1), [payload(round, 20_000)]);
        pair.rebuild();
        pair.progress(ms(10));
    }
    assert_eq!(pair.ends_of(track), 0);
    assert_eq!(pair.bob.machine.track_stats(remote).unwrap().completed, 5);
}
