//! From the request to the publication, or to the reason for its failure.

use datatrack::TrackInfo;
use datatrack::publisher::{
    PublishError, PublishOptions, PublishRejection, PublisherEvent, PushFrameError, UnpublishedBy,
};
use datatrack::schema::{FrameEncoding, SchemaEncoding, SchemaError, SchemaId};

use crate::support::*;

fn failed(number: u16, error: PublishError) -> PublisherEvent {
    PublisherEvent::PublishFailed { handle: handle(number), error }
}

fn unpublish(number: u16) -> PublisherEvent {
    PublisherEvent::UnpublishRequest { handle: handle(number) }
}

#[test]
fn a_request_and_its_response_make_a_publication() {
    let mut publisher = publisher();
    let options = PublishOptions {
        frame_encoding: Some(FrameEncoding::Json),
        schema: Some(SchemaId { name: "s".into(), encoding: SchemaEncoding::JsonSchema }),
        ..PublishOptions::new("a")
    };
    let track = publisher.publish(options, at(0)).unwrap();
    assert_eq!(publisher.push(track, b"x", None, at(0)), Err(PushFrameError::NotPublished));
    let [PublisherEvent::PublishRequest(request)] = &sent_events(&mut publisher)[..] else { panic!() };
    assert_eq!((request.handle.get(), &*request.name), (1, "a"));
    assert_eq!(request.frame_encoding, Some(FrameEncoding::Json));
    assert_eq!(request.schema.as_ref().unwrap().encoding, SchemaEncoding::JsonSchema);
    publisher.handle_publish_response(info(1, "x", "a"));
    let published = PublisherEvent::Published { handle: track, info: info(1, "x", "a") };
    assert_eq!(sent_events(&mut publisher), [published]);
    assert_eq!(publisher.push(track, b"x", None, at(0)), Ok(()));
    assert_eq!(publisher.track_stats(track).unwrap().refused, 1);
}

#[test]
fn each_rejection_has_its_own_error_and_ends_the_publication() {
    for (rejection, error) in [
        (PublishRejection::NotAllowed, PublishError::NotAllowed),
        (PublishRejection::DuplicateName, PublishError::DuplicateName),
        (PublishRejection::InvalidName, PublishError::InvalidName),
        (PublishRejection::LimitReached, PublishError::LimitReached),
        (PublishRejection::Other("no".into()), PublishError::Internal("no".into())),
    ] {
        let mut publisher = publisher();
        let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
        sent_events(&mut publisher);
        publisher.handle_publish_rejected(track, rejection.clone());
        publisher.handle_publish_rejected(track, rejection);
        assert_eq!(sent_events(&mut publisher), [failed(1, error)]);
        assert_eq!(publisher.push(track, b"", None, at(0)), Err(PushFrameError::TrackUnpublished));
        assert_eq!(publisher.handles().count(), 0);
        // The name is free again, but the handle is not.
        assert_eq!(publisher.publish(PublishOptions::new("a"), at(0)), Ok(handle(2)));
    }
}

/// Goes beyond `PUBLISH_TIMEOUT`.
#[test]
fn a_request_times_out_after_exactly_ten_seconds() {
    let mut publisher = publisher();
    let track = publisher.publish(PublishOptions::new("a"), at(7)).unwrap();
    sent_events(&mut publisher);
    assert_eq!(publisher.poll_timeout(), Some(at(10_007)));
    publisher.handle_timeout(datatrack::Instant::from_micros(10_006_999));
    assert_eq!(sent_events(&mut publisher), []);
    publisher.handle_timeout(at(10_007));
    // The SFU may have the track, and only its answer may be lost. The SFU must not keep the name.
    assert_eq!(sent_events(&mut publisher), [failed(1, PublishError::Timeout), unpublish(1)]);
    assert_eq!(publisher.poll_timeout(), None);
    // The answer comes after all. It is so late that the SFU may have taken the requests in another order.
    publisher.handle_publish_response(info(1, "x", "a"));
    assert_eq!(sent_events(&mut publisher), [unpublish(1)]);
    assert_eq!(publisher.push(track, b"", None, at(0)), Err(PushFrameError::TrackUnpublished));
}

#[test]
fn a_cancelled_publish_is_unpublished_at_once_and_before_the_name_is_asked_for_again() {
    let mut publisher = publisher();
    let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    sent_events(&mut publisher);
    publisher.cancel_publish(track);
    publisher.cancel_publish(track);
    publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    let events = sent_events(&mut publisher);
    assert_eq!(events[..2], [failed(1, PublishError::Cancelled), unpublish(1)]);
    assert!(matches!(&events[2..], [PublisherEvent::PublishRequest(request)] if request.handle == handle(2)));
    // The SFU may have handled the requests in another order.
    publisher.handle_publish_response(info(1, "x", "a"));
    assert_eq!(sent_events(&mut publisher), [unpublish(1)]);
    // No event follows when the SFU has answered.
    publisher.handle_unpublish_response(track);
    assert_eq!(sent_events(&mut publisher), []);
}

#[test]
fn cancelling_does_nothing_to_a_published_track() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.cancel_publish(track);
    assert_eq!(sent_events(&mut publisher), []);
    assert_eq!(publisher.push(track, b"x", None, at(0)), Ok(()));
}

#[test]
fn a_response_for_a_handle_that_was_never_given_out_is_not_ours_to_end() {
    let mut publisher = publisher();
    publisher.handle_publish_response(info(3, "x", "a"));
    publisher.handle_publish_rejected(handle(3), PublishRejection::NotAllowed);
    publisher.handle_unpublish_response(handle(3));
    assert_eq!(sent_events(&mut publisher), []);
}

#[test]
fn the_same_response_twice_changes_nothing() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.push(track, b"x", None, at(0)).unwrap();
    publisher.handle_publish_response(info(1, "a", "a"));
    assert_eq!(sent_events(&mut publisher), []);
    assert_eq!(packets(&mut publisher, at(0)).len(), 1);
    publisher.unpublish(track);
    let ended = PublisherEvent::Unpublished { handle: track, by: UnpublishedBy::Local };
    assert_eq!(sent_events(&mut publisher), [unpublish(1), ended]);
}

#[test]
fn a_duplicate_handle_is_ended_at_the_sfu_and_asked_for_again_once() {
    let mut publisher = publisher();
    let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    let asked = sent_events(&mut publisher).remove(0);
    publisher.handle_publish_rejected(track, PublishRejection::DuplicateHandle);
    assert_eq!(sent_events(&mut publisher), [unpublish(1), asked]);
    // The SFU's answer to the first of the two requests does not end the track.
    publisher.handle_unpublish_response(track);
    assert_eq!(sent_events(&mut publisher), []);
    let mut other = publisher;
    other.handle_publish_response(info(1, "x", "a"));
    assert!(matches!(sent_events(&mut other)[..], [PublisherEvent::Published { .. }]));
}

#[test]
fn a_second_duplicate_handle_fails_the_publish() {
    let mut publisher = publisher();
    let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    publisher.handle_publish_rejected(track, PublishRejection::DuplicateHandle);
    sent_events(&mut publisher);
    publisher.handle_publish_rejected(track, PublishRejection::DuplicateHandle);
    let [PublisherEvent::PublishFailed { error: PublishError::Internal(_), .. }] =
        &sent_events(&mut publisher)[..]
    else {
        panic!()
    };
}

/// A publisher that has used all handles. Each publication was confirmed, and it ended at the second that equals its
/// handle.
fn with_all_handles_spent() -> datatrack::Publisher {
    let mut publisher = publisher();
    for number in 1..=u16::MAX {
        let track = publisher.publish(PublishOptions::new("a"), at(u64::from(number) * 1_000)).unwrap();
        assert_eq!(track.get(), number, "none is used again while others are left");
        publisher.handle_publish_response(info(number, "a", "a"));
        publisher.unpublish(track);
        publisher.handle_unpublish_response(track);
        sent_events(&mut publisher);
    }
    publisher
}

#[test]
fn once_all_handles_are_spent_the_one_that_ended_first_is_used_again() {
    let mut publisher = with_all_handles_spent();
    for number in [1, 2, 3] {
        let track = publisher.publish(PublishOptions::new(format!("{number}")), at(66_000_000)).unwrap();
        assert_eq!(track, handle(number));
        assert_eq!(publisher.track_stats(track), Some(Default::default()), "with counters of its own");
        let request = publisher.poll_event();
        assert!(matches!(request, Some(PublisherEvent::PublishRequest(request)) if request.handle == track));
        publisher.handle_publish_response(info(number, "x", &format!("{number}")));
        assert!(matches!(publisher.poll_event(), Some(PublisherEvent::Published { .. })));
        publisher.push(track, b"frame", None, at(66_000_000)).unwrap();
        assert_eq!(packets(&mut publisher, at(66_000_000)).len(), 1);
    }
}

#[test]
fn a_handle_is_not_used_again_before_the_sfu_has_confirmed_its_end() {
    let mut publisher = publisher();
    for number in 1..=u16::MAX {
        let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
        publisher.handle_publish_response(info(number, "a", "a"));
        publisher.unpublish(track);
        if number > 2 {
            publisher.handle_unpublish_response(track);
        }
        sent_events(&mut publisher);
    }
    assert_eq!(publisher.publish(PublishOptions::new("b"), at(60_000)), Ok(handle(3)));
    publisher.handle_unpublish_response(handle(2));
    assert_eq!(publisher.publish(PublishOptions::new("c"), at(60_000)), Ok(handle(2)));
    // The publication was cancelled, and its late answer caused an unpublish request. The SFU holds the handle until it
    // confirms that.
    publisher.cancel_publish(handle(3));
    publisher.handle_publish_response(info(3, "a", "b"));
    publisher.handle_rebuilt(at(60_001));
    assert_eq!(
        publisher.publish(PublishOptions::new("d"), at(60_002)),
        Ok(handle(1)),
        "a new session knows none"
    );
}

/// Goes beyond `HANDLE_REST`.
#[test]
fn a_handle_is_not_used_again_for_30_seconds_after_its_end() {
    let mut publisher = publisher();
    for _ in 1..=u16::MAX {
        let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
        publisher.handle_publish_rejected(track, PublishRejection::NotAllowed);
        sent_events(&mut publisher);
    }
    assert_eq!(publisher.publish(PublishOptions::new("a"), at(29_999)), Err(PublishError::LimitReached));
    assert_eq!(sent_events(&mut publisher), []);
    assert_eq!(publisher.publish(PublishOptions::new("a"), at(30_000)), Ok(handle(1)));
    // No call told the time between the last publication's end and the publish that failed.
    let names = (2..u16::MAX).map(|number| format!("{number}"));
    for (name, number) in names.zip(2..) {
        assert_eq!(publisher.publish(PublishOptions::new(name), at(30_000)), Ok(handle(number)));
    }
    let last = || PublishOptions::new("last");
    assert_eq!(publisher.publish(last(), at(59_998)), Err(PublishError::LimitReached));
    assert_eq!(publisher.publish(last(), at(59_999)), Ok(handle(u16::MAX)));
    assert_eq!(
        publisher.publish(PublishOptions::new("b"), at(99_999)),
        Err(PublishError::LimitReached),
        "all are in use"
    );
}

#[test]
fn names_have_1_to_256_bytes_and_are_unique_among_live_tracks() {
    let mut publisher = publisher();
    for wrong in [String::new(), "x".repeat(257), "é".repeat(129)] {
        assert_eq!(publisher.publish(PublishOptions::new(wrong), at(0)), Err(PublishError::InvalidName));
    }
    let longest = "é".repeat(128);
    let track = publisher.publish(PublishOptions::new(longest.clone()), at(0)).unwrap();
    let again = || PublishOptions::new(longest.clone());
    assert_eq!(publisher.publish(again(), at(0)), Err(PublishError::DuplicateName));
    publisher.handle_publish_response(info(1, "x", &longest));
    assert_eq!(publisher.publish(again(), at(0)), Err(PublishError::DuplicateName));
    publisher.unpublish(track);
    assert_eq!(publisher.publish(again(), at(0)), Ok(handle(2)));
}

#[test]
fn schema_rules_fail_before_anything_is_sent() {
    let mut publisher = publisher();
    let schema = Some(SchemaId { name: "s".into(), encoding: SchemaEncoding::Protobuf });
    let base = || PublishOptions::new("a");
    for (options, error) in [
        (PublishOptions { schema: schema.clone(), ..base() }, SchemaError::MissingFrameEncoding),
        (
            PublishOptions { frame_encoding: Some(FrameEncoding::Cdr), ..base() },
            SchemaError::MissingSchema(FrameEncoding::Cdr),
        ),
        (
            PublishOptions { frame_encoding: Some(FrameEncoding::Json), schema, ..base() },
            SchemaError::Incompatible { frame: FrameEncoding::Json, schema: SchemaEncoding::Protobuf },
        ),
    ] {
        assert_eq!(publisher.publish(options, at(0)), Err(PublishError::InvalidSchema(error)));
    }
    assert_eq!(sent_events(&mut publisher), []);
    assert_eq!(publisher.publish(base(), at(0)), Ok(handle(1)));
}

#[test]
fn an_encrypted_track_needs_a_session_with_encryption() {
    let mut publisher = publisher();
    assert_eq!(publisher.publish(encrypted("a"), at(0)), Err(PublishError::NoEncryption));
    assert_eq!(sent_events(&mut publisher), []);
}

fn answered_with_another_encryption(asked: PublishOptions, answer: TrackInfo) {
    let mut publisher = publisher_with(hkdf());
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let track = publisher.publish(asked, at(0)).unwrap();
    sent_events(&mut publisher);
    publisher.handle_publish_response(answer);
    let expected = [failed(1, PublishError::EncryptionMismatch), unpublish(1)];
    assert_eq!(sent_events(&mut publisher), expected);
    assert_eq!(publisher.push(track, b"secret", None, at(0)), Err(PushFrameError::TrackUnpublished));
    assert!(packets(&mut publisher, at(0)).is_empty());
}

#[test]
fn an_answer_without_the_encryption_asked_for_fails_the_publish() {
    answered_with_another_encryption(encrypted("a"), info(1, "x", "a"));
}

#[test]
fn an_answer_with_encryption_that_was_not_requested_fails_the_publish() {
    answered_with_another_encryption(PublishOptions::new("a"), sealed_info(1, "x", "a"));
}

#[test]
fn a_later_answer_with_another_encryption_ends_the_track() {
    let mut publisher = publisher_with(hkdf());
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let track = published(&mut publisher, encrypted("a"));
    publisher.push(track, b"secret", None, at(0)).unwrap();
    publisher.handle_publish_response(info(1, "y", "a"));
    let by = UnpublishedBy::RepublishFailed(PublishError::EncryptionMismatch);
    let expected = [PublisherEvent::Unpublished { handle: track, by }, unpublish(1)];
    assert_eq!(sent_events(&mut publisher), expected);
    assert!(packets(&mut publisher, at(0)).is_empty());
    assert_sent_closes(publisher.track_stats(track).unwrap());
}

#[test]
fn the_sfu_may_end_a_track() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    publisher.push(track, b"x", None, at(0)).unwrap();
    publisher.handle_unpublish_response(track);
    publisher.handle_unpublish_response(track);
    assert_eq!(only_end(&sent_events(&mut publisher)), Some(&UnpublishedBy::Sfu));
    let stats = publisher.track_stats(track).unwrap();
    assert_eq!((stats.pushed, stats.dropped.unpublished, stats.queued), (1, 1, 0));
}

#[test]
fn closing_ends_each_track_once() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    let pending = publisher.publish(PublishOptions::new("b"), at(0)).unwrap();
    sent_events(&mut publisher);
    publisher.close();
    publisher.close();
    let expected = [
        PublisherEvent::Unpublished { handle: track, by: UnpublishedBy::Disconnected },
        failed(2, PublishError::Disconnected),
    ];
    assert_eq!(sent_events(&mut publisher), expected);
    assert_eq!(publisher.push(track, b"", None, at(0)), Err(PushFrameError::Disconnected));
    assert_eq!(publisher.publish(PublishOptions::new("c"), at(0)), Err(PublishError::Disconnected));
    publisher.handle_publish_response(info(2, "x", "b"));
    publisher.unpublish(pending);
    publisher.handle_resumed(at(1));
    publisher.handle_rebuilt(at(1));
    publisher.handle_timeout(at(60_000));
    assert_eq!(sent_events(&mut publisher), []);
    assert_eq!(publisher.poll_timeout(), None);
}

#[test]
fn what_was_taken_leaves_after_the_publisher_takes_no_more() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    assert!(publisher.is_drained());
    publisher.push(track, b"last", None, at(0)).unwrap();
    publisher.finish();
    assert_eq!(publisher.push(track, b"later", None, at(0)), Err(PushFrameError::Disconnected));
    assert_eq!(publisher.publish(PublishOptions::new("b"), at(0)), Err(PublishError::Disconnected));
    assert!(!publisher.is_drained());
    assert_eq!(packets(&mut publisher, at(0)).len(), 1);
    assert!(publisher.is_drained());
    publisher.close();
    let stats = publisher.track_stats(track).unwrap();
    assert_eq!((stats.pushed, stats.sent, stats.refused), (1, 1, 1));
}
