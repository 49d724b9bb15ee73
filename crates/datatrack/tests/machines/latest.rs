//! The last frame of a latched track, in its place among the live frames.

use bytes::Bytes;
use datatrack::Subscriber;
use datatrack::publisher::{LastFrame, PublishOptions};
use datatrack::subscriber::{
    BufferPolicy, Frame, StreamId, SubscribeError, SubscribeOptions, SubscriberEvent, TrackId,
};

use crate::support::*;

const STREAM: StreamId = StreamId(1);
/// The packets' timestamp of the frames of [`Sender`].
const TIMESTAMP: u32 = 7;

fn latest() -> SubscribeOptions {
    SubscribeOptions { latest: true, ..Default::default() }
}

fn wanted(subscriber: &mut Subscriber) -> usize {
    let events = events(subscriber);
    events
        .iter()
        .filter(|event| matches!(event, SubscriberEvent::LatestWanted { stream: STREAM, .. }))
        .count()
}

fn opened_with(options: SubscribeOptions) -> (Subscriber, TrackId) {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, STREAM, options, at(0)).unwrap();
    assert_eq!(wanted(&mut subscriber), 0, "the SFU does not forward yet");
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    assert_eq!(wanted(&mut subscriber), 1);
    (subscriber, track)
}

/// Stream 1 of track "a" wants the latched frame, and the SFU forwards under handle 9.
fn opened() -> Subscriber {
    opened_with(latest()).0
}

fn latched(number: u16, timestamp: u32) -> Frame {
    Frame {
        number,
        timestamp,
        user_timestamp: Some(5),
        sealed: None,
        payload: Bytes::from(format!("latched {number}")).into(),
        completed_at: at(0),
        latched: false,
    }
}

fn provide(subscriber: &mut Subscriber, number: u16, now_ms: u64) {
    subscriber.provide_latest(STREAM, Some(latched(number, TIMESTAMP)), at(now_ms));
}

/// Frames of a publisher with numbers from `first` on.
fn live(subscriber: &mut Subscriber, sender: &mut Sender, frames: usize, now_ms: u64) {
    for _ in 0..frames {
        receive(subscriber, sender.frame(b"live"), at(now_ms));
    }
}

/// A sender whose next frame has this number.
fn sender_at(number: u16) -> Sender {
    let mut sender = Sender::new(9);
    for _ in 0..number {
        sender.frame(b"");
    }
    sender
}

/// The numbers of the frames that can be read now, and whether each is latched.
fn numbers(subscriber: &mut Subscriber) -> Vec<(u16, bool)> {
    let read = frames(subscriber, 1).iter().map(|frame| (frame.number, frame.latched)).collect();
    assert_stream_closes(subscriber.stream_stats(STREAM).unwrap());
    read
}

fn superseded(subscriber: &Subscriber) -> u64 {
    subscriber.stream_stats(STREAM).unwrap().dropped.superseded
}

#[test]
fn live_frames_wait_for_the_latched_one_which_comes_once_and_nothing_older_after_it() {
    let mut subscriber = opened();
    let mut sender = sender_at(5);
    live(&mut subscriber, &mut sender, 4, 1);
    assert!(!subscriber.request_frames(STREAM));
    assert_eq!(subscriber.next_frame_len(STREAM, at(1)), None);
    assert_eq!(numbers(&mut subscriber), []);
    assert!(!subscriber.has_readable());
    provide(&mut subscriber, 7, 2);
    assert_eq!(subscriber.poll_readable(), Some(STREAM));
    assert_eq!(numbers(&mut subscriber), [(7, true), (8, false)]);
    assert_eq!(superseded(&subscriber), 3);
    live(&mut subscriber, &mut sender, 1, 3);
    assert_eq!(numbers(&mut subscriber), [(9, false)]);
}

#[test]
fn live_frames_that_arrive_after_the_latched_one_and_are_not_newer_are_dropped() {
    let mut subscriber = opened();
    let mut sender = sender_at(65_533);
    provide(&mut subscriber, 1, 1);
    assert_eq!(numbers(&mut subscriber), [(1, true)]);
    live(&mut subscriber, &mut sender, 5, 2);
    assert_eq!(numbers(&mut subscriber), [], "65,533 to 65,535, 0 and the frame itself");
    assert_eq!(superseded(&subscriber), 5);
    live(&mut subscriber, &mut sender, 2, 2);
    assert_eq!(numbers(&mut subscriber), [(2, false), (3, false)]);
}

#[test]
fn numbers_that_seem_older_because_they_wrapped_are_delivered() {
    for (frames, ms) in [(2_000, 1), (1, 10_001)] {
        let mut subscriber = opened();
        provide(&mut subscriber, 0, 0);
        assert_eq!(numbers(&mut subscriber), [(0, true)]);
        let mut sender = sender_at(1);
        live(&mut subscriber, &mut sender, frames, ms);
        assert_eq!(numbers(&mut subscriber).len(), frames.min(1_024));
        let mut far = sender_at(40_000);
        live(&mut subscriber, &mut far, 1, ms);
        assert_eq!(numbers(&mut subscriber), [(40_000, false)]);
    }
}

#[test]
fn without_a_latched_frame_live_frames_come_alone_in_order() {
    let mut subscriber = opened();
    live(&mut subscriber, &mut Sender::new(9), 3, 1);
    assert!(!subscriber.request_frames(STREAM));
    subscriber.provide_latest(STREAM, None, at(2));
    assert_eq!(subscriber.poll_readable(), Some(STREAM));
    assert_eq!(numbers(&mut subscriber), [(0, false), (1, false), (2, false)]);
    subscriber.provide_latest(StreamId(99), Some(latched(1, 1)), at(2));
}

#[test]
fn a_stream_that_wants_live_frames_only_asks_for_nothing_and_takes_nothing() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    assert_eq!(wanted(&mut subscriber), 0);
    provide(&mut subscriber, 3, 0);
    assert_eq!(numbers(&mut subscriber), []);
    live(&mut subscriber, &mut Sender::new(9), 1, 1);
    assert_eq!(numbers(&mut subscriber), [(0, false)]);
}

#[test]
fn each_stream_of_a_track_has_its_own_latched_frame() {
    let (mut subscriber, track) = opened_with(latest());
    provide(&mut subscriber, 0, 0);
    assert_eq!(numbers(&mut subscriber), [(0, true)]);
    subscriber.subscribe(track, StreamId(2), latest(), at(1)).unwrap();
    let news = events(&mut subscriber);
    let second = SubscriberEvent::LatestWanted { stream: StreamId(2), track };
    assert_eq!(news, [SubscriberEvent::Subscribed { stream: StreamId(2) }, second]);
    live(&mut subscriber, &mut sender_at(1), 1, 1);
    assert_eq!(numbers(&mut subscriber), [(1, false)]);
    subscriber.provide_latest(StreamId(2), Some(latched(1, TIMESTAMP)), at(2));
    let second = frames(&mut subscriber, 2);
    assert_eq!(second.iter().map(|frame| (frame.number, frame.latched)).collect::<Vec<_>>(), [(1, true)]);
}

#[test]
fn after_a_resume_the_frame_that_was_missed_is_delivered_once_and_no_older_one() {
    let mut subscriber = opened();
    provide(&mut subscriber, 0, 0);
    let mut sender = sender_at(1);
    live(&mut subscriber, &mut sender, 2, 1);
    for (latched, expected) in [(2, None), (1, None), (6, Some(6)), (6, None)] {
        subscriber.handle_connection_lost();
        subscriber.handle_resumed(at(2));
        assert_eq!(wanted(&mut subscriber), 1);
        numbers(&mut subscriber);
        provide(&mut subscriber, latched, 3);
        assert_eq!(numbers(&mut subscriber), expected.map(|number| (number, true)).as_slice());
    }
    // Frames 3 to 6 come late.
    live(&mut subscriber, &mut sender, 5, 4);
    assert_eq!(numbers(&mut subscriber), [(7, false)]);
    assert_eq!(superseded(&subscriber), 4);
}

#[test]
fn an_answer_that_a_live_frame_has_overtaken_is_dropped() {
    let mut subscriber = opened();
    provide(&mut subscriber, 0, 0);
    subscriber.handle_connection_lost();
    subscriber.handle_resumed(at(2));
    live(&mut subscriber, &mut sender_at(4), 1, 3);
    provide(&mut subscriber, 3, 4);
    assert_eq!(numbers(&mut subscriber), [(0, true), (4, false)]);
}

/// The subscriber's connection is rebuilt, and the track has a new SID if `new_sid`.
fn rebuild(subscriber: &mut Subscriber, new_sid: bool) {
    subscriber.handle_connection_lost();
    subscriber.handle_rebuilt(at(5));
    assert_eq!(wanted(subscriber), 0);
    let name = if new_sid { "b" } else { "a" };
    subscriber.handle_publication_update(ALICE, vec![info(1, name, "a")], at(5));
    subscriber.handle_subscriber_handles(vec![(handle(9), sid(name))], at(5));
    assert_eq!(wanted(subscriber), 1);
}

#[test]
fn after_a_rebuild_the_frame_is_not_delivered_again_and_a_missed_one_is() {
    for new_sid in [false, true] {
        let mut subscriber = opened();
        provide(&mut subscriber, 3, 0);
        assert_eq!(numbers(&mut subscriber), [(3, true)]);
        rebuild(&mut subscriber, new_sid);
        provide(&mut subscriber, 3, 6);
        assert_eq!(numbers(&mut subscriber), []);
        // The publisher sends a frame again that it had sent in part.
        live(&mut subscriber, &mut sender_at(3), 1, 6);
        assert_eq!(numbers(&mut subscriber), []);
        rebuild(&mut subscriber, new_sid);
        provide(&mut subscriber, 4, 7);
        assert_eq!(numbers(&mut subscriber), [(4, true)]);
    }
}

#[test]
fn the_numbers_of_a_publisher_that_has_started_again_are_newer() {
    let mut subscriber = opened();
    provide(&mut subscriber, 500, 0);
    assert_eq!(numbers(&mut subscriber), [(500, true)]);
    rebuild(&mut subscriber, true);
    subscriber.provide_latest(STREAM, Some(latched(1, 900)), at(6));
    assert_eq!(numbers(&mut subscriber), [(1, true)]);
    live(&mut subscriber, &mut sender_at(2), 1, 6);
    assert_eq!(numbers(&mut subscriber), [(2, false)]);
    rebuild(&mut subscriber, true);
    live(&mut subscriber, &mut sender_at(0), 2, 8);
    assert_eq!(numbers(&mut subscriber), [(0, false), (1, false)]);
    subscriber.provide_latest(STREAM, Some(latched(0, TIMESTAMP)), at(9));
    assert_eq!(numbers(&mut subscriber), [], "live frame 1 is newer");
}

#[test]
fn the_end_of_the_track_lets_the_live_frames_go() {
    let (mut subscriber, _) = opened_with(latest());
    live(&mut subscriber, &mut Sender::new(9), 2, 1);
    assert!(!subscriber.request_frames(STREAM));
    subscriber.handle_publication_update(ALICE, vec![], at(2));
    let news = events(&mut subscriber);
    assert!(news.contains(&SubscriberEvent::StreamEnded { stream: STREAM, error: None }), "{news:?}");
    assert_eq!(subscriber.poll_readable(), Some(STREAM));
    assert_eq!(numbers(&mut subscriber), [(0, false), (1, false)]);
}

#[test]
fn a_stream_that_is_refused_asks_for_nothing() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, STREAM, latest(), at(0)).unwrap();
    subscriber.handle_subscribing_allowed(false);
    let news = events(&mut subscriber);
    let end = SubscriberEvent::StreamEnded { stream: STREAM, error: Some(SubscribeError::NotAllowed) };
    assert!(news.contains(&end), "{news:?}");
    assert!(!news.iter().any(|event| matches!(event, SubscriberEvent::LatestWanted { .. })));
}

#[test]
fn the_buffer_keeps_its_bounds() {
    let options = SubscribeOptions { buffer: BufferPolicy::Frames(1), ..latest() };
    let (mut subscriber, _) = opened_with(options);
    provide(&mut subscriber, 3, 0);
    assert_eq!(numbers(&mut subscriber), [(3, true)]);
    let (mut subscriber, _) = opened_with(options);
    live(&mut subscriber, &mut sender_at(4), 2, 1);
    provide(&mut subscriber, 3, 2);
    assert_eq!(numbers(&mut subscriber), [(5, false)], "the reader wants the newest frame only");
    let options = SubscribeOptions {
        buffer: BufferPolicy::Bounded { max_frames: 100, max_bytes: 300, max_age: None },
        ..latest()
    };
    let (mut subscriber, _) = opened_with(options);
    live(&mut subscriber, &mut sender_at(4), 2, 1);
    assert_eq!(subscriber.stream_stats(STREAM).unwrap().buffered_bytes, 264);
    provide(&mut subscriber, 5, 2);
    let stats = subscriber.stream_stats(STREAM).unwrap();
    assert_eq!((stats.buffered, stats.buffered_bytes), (1, 128 + 9));
}

#[test]
fn the_publisher_tells_the_number_of_its_last_frame() {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions::new("a"));
    assert_eq!(publisher.last_frame(track), None);
    for number in 0..3 {
        publisher.push(track, b"x", None, at(u64::from(number))).unwrap();
        let timestamp = 1_000 + u32::from(number) * 90;
        assert_eq!(publisher.last_frame(track), Some(LastFrame { number, timestamp }));
    }
    publisher.unpublish(track);
    assert_eq!(publisher.last_frame(track), None);
    assert_eq!(publisher.last_frame(handle(77)), None);
}

#[test]
fn a_frame_that_waits_for_a_key_has_the_number_that_it_will_get() {
    let mut publisher = publisher_with(hkdf());
    let track = published(&mut publisher, encrypted("a"));
    publisher.set_key(0, key(1)).unwrap();
    for _ in 0..3 {
        publisher.push(track, b"x", None, at(2)).unwrap();
    }
    let last = publisher.last_frame(track);
    assert_eq!(last, Some(LastFrame { number: 2, timestamp: 1_180 }));
    derive_sealing(&mut publisher);
    assert_eq!(publisher.last_frame(track), last);
    publisher.push(track, b"x", None, at(3)).unwrap();
    assert_eq!(publisher.last_frame(track).unwrap().number, 3);
}
