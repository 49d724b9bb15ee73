//! From a remote track to its readers.

use std::collections::VecDeque;
use std::time::Duration;

use datatrack::packetizer::PacketizerOptions;
use datatrack::stats::FrameStats;
use datatrack::subscriber::{
    BufferPolicy, StreamId, SubscribeError, SubscribeOptions, SubscriberConfig, SubscriberEvent, TrackId,
};
use datatrack::{Instant, PIECE_OVERHEAD, Subscriber, TrackInfo};

use crate::support::*;

fn update(of: &str, subscribe: bool) -> SubscriberEvent {
    SubscriberEvent::UpdateSubscription { sid: sid(of), subscribe, target_fps: 0 }
}

/// The end of track "a", of which no frame arrived.
fn gone(track: TrackId) -> SubscriberEvent {
    SubscriberEvent::TrackUnpublished {
        track,
        publisher: ALICE.into(),
        sid: sid("a"),
        stats: FrameStats::default(),
    }
}

fn assign(subscriber: &mut Subscriber, table: &[(u16, &str)], now: Instant) {
    subscriber.handle_subscriber_handles(
        table.iter().map(|&(number, of)| (handle(number), sid(of))).collect(),
        now,
    );
}

fn ended(stream: u32, error: Option<SubscribeError>) -> SubscriberEvent {
    SubscriberEvent::StreamEnded { stream: StreamId(stream), error }
}

fn is_subscribed(stream: u32) -> SubscriberEvent {
    SubscriberEvent::Subscribed { stream: StreamId(stream) }
}

fn with_buffer(buffer: BufferPolicy) -> SubscribeOptions {
    SubscribeOptions { buffer, ..Default::default() }
}

fn subscribe(subscriber: &mut Subscriber, track: TrackId, stream: u32, now_ms: u64) {
    subscriber.subscribe(track, StreamId(stream), SubscribeOptions::default(), at(now_ms)).unwrap();
}

#[test]
fn streams_of_a_track_share_one_subscription() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    subscribe(&mut subscriber, track, 2, 0);
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscribe(&mut subscriber, track, 3, 0);
    assert_eq!(events(&mut subscriber), [is_subscribed(1), is_subscribed(2), is_subscribed(3)]);
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(0));
    for stream in 1..=3 {
        assert_eq!(read(&mut subscriber, stream), [b"x"]);
    }
    subscriber.unsubscribe(StreamId(1)).unwrap();
    subscriber.unsubscribe(StreamId(3)).unwrap();
    assert_eq!(events(&mut subscriber), []);
    subscriber.unsubscribe(StreamId(2)).unwrap();
    assert_eq!(events(&mut subscriber), [update("a", false)]);
    assert_eq!(subscriber.unsubscribe(StreamId(2)), None);
}

#[test]
fn a_stream_number_cannot_be_used_twice() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let again = subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0));
    assert_eq!(again, Err(SubscribeError::StreamExists));
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn each_stream_has_exactly_the_buffer_it_asked_for() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let sizes = [1, 2, 3, 5, 17, 100];
    for (stream, size) in (2..).zip(sizes) {
        let options = with_buffer(BufferPolicy::Frames(size));
        subscriber.subscribe(track, StreamId(stream), options, at(0)).unwrap();
    }
    let mut sender = Sender::new(9);
    for number in 0..200_u8 {
        receive(&mut subscriber, sender.frame(&[number]), at(0));
    }
    for (stream, size) in (2..).zip(sizes) {
        let stats = subscriber.stream_stats(StreamId(stream)).unwrap();
        assert_stream_closes(stats);
        assert_eq!((stats.buffered, stats.dropped.too_slow), (size as u64, 200 - size as u64));
        // The oldest frames were dropped. The newest ones are left, in order.
        let newest = (200 - size as u8..200).map(|number| vec![number]).collect::<Vec<_>>();
        assert_eq!(read(&mut subscriber, stream), newest);
    }
    assert_eq!(subscriber.stream_stats(StreamId(1)).unwrap().buffered, 200);
}

#[test]
fn a_buffer_of_frames_has_no_bound_in_bytes_or_age_and_at_least_one_frame() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    for (stream, size) in [(2, 0), (3, 30)] {
        let options = with_buffer(BufferPolicy::Frames(size));
        subscriber.subscribe(track, StreamId(stream), options, at(0)).unwrap();
    }
    let mut sender = Sender::new(9);
    for second in 0..30 {
        receive(&mut subscriber, sender.frame(&vec![0; 200_000]), at(second * 1_000));
    }
    assert_eq!(subscriber.next_frame_len(StreamId(3), at(100_000)), Some(200_000));
    assert_eq!(frames(&mut subscriber, 3).len(), 30);
    assert_eq!(frames(&mut subscriber, 2).len(), 1);
}

/// Fills `MAX_BUFFER_FRAMES`.
#[test]
fn by_default_1024_frames_are_kept() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    for _ in 0..1_025 {
        receive(&mut subscriber, sender.frame(b""), at(0));
    }
    let stats = subscriber.stream_stats(StreamId(1)).unwrap();
    assert_eq!((stats.buffered, stats.dropped.too_slow), (1_024, 1));
}

/// Fills `MAX_BUFFER_BYTES`.
#[test]
fn by_default_four_mebibytes_are_kept() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    for _ in 0..33 {
        receive(&mut subscriber, sender.frame(&vec![0; 128 << 10]), at(0));
    }
    let stats = subscriber.stream_stats(StreamId(1)).unwrap();
    // Each frame came in 9 packets.
    let kept = 31 * ((128 << 10) + 9 * PIECE_OVERHEAD as u64);
    assert_eq!((stats.buffered, stats.buffered_bytes, stats.dropped.too_slow), (31, kept, 2));
}

#[test]
fn a_single_frame_may_be_larger_than_the_bound() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let small = BufferPolicy::Bounded { max_frames: 10, max_bytes: 100, max_age: None };
    subscriber.subscribe(track, StreamId(2), with_buffer(small), at(0)).unwrap();
    let mut sender = Sender::new(9);
    for number in 0..3_u8 {
        receive(&mut subscriber, sender.frame(&vec![number; 1_000]), at(0));
    }
    assert_eq!(read(&mut subscriber, 2), [[2; 1_000]]);
}

/// Goes beyond `MAX_BUFFER_AGE`.
#[test]
fn by_default_old_frames_go_when_more_than_16_newer_ones_are_behind_them() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    for number in 0..20_u8 {
        receive(&mut subscriber, sender.frame(&[number]), at(0));
    }
    let stream = StreamId(1);
    assert_eq!(subscriber.next_frame_len(stream, at(200)), Some(1));
    assert_eq!(subscriber.stream_stats(stream).unwrap().buffered, 20, "200 ms are not more than 200 ms");
    assert_eq!(subscriber.next_frame_len(stream, at(201)), Some(1));
    let stats = subscriber.stream_stats(stream).unwrap();
    assert_eq!((stats.buffered, stats.dropped.too_slow), (17, 3), "the last of them has 16 behind it");
    receive(&mut subscriber, sender.frame(&[20]), at(500));
    let left = read(&mut subscriber, 1);
    assert_eq!((left.len(), &left[0][..]), (17, &[4][..]));
}

#[test]
fn a_pause_of_the_reader_loses_nothing_at_20000_frames_a_second() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    for frame in 0..20_u64 * 40 {
        let now = at(0) + Duration::from_micros(frame * 50);
        receive(&mut subscriber, sender.frame(&[0; 256]), now);
    }
    assert_eq!(frames(&mut subscriber, 1).len(), 800);
}

#[test]
fn subscribing_again_at_once_after_closing_works() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame(b"unread"), at(0));
    let last = subscriber.unsubscribe(StreamId(1)).unwrap();
    assert_stream_closes(last);
    assert_eq!((last.received, last.dropped.closed), (1, 1));
    subscribe(&mut subscriber, track, 2, 0);
    assert_eq!(events(&mut subscriber), [update("a", false), update("a", true)]);
    // The SFU ends the first subscription. Then it starts the second one under another handle.
    subscriber.handle_subscriber_handles(vec![], at(1));
    subscriber.handle_subscriber_handles(vec![(handle(10), sid("a"))], at(1));
    assert_eq!(events(&mut subscriber), [is_subscribed(2)]);
    receive(&mut subscriber, Sender::new(10).frame(b"x"), at(1));
    assert_eq!(read(&mut subscriber, 2), [b"x"]);
    subscriber.handle_timeout(at(60_000));
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn an_unchanged_table_is_answer_enough_once_packets_come() {
    // If both requests come before the SFU handles either, its table stays the same, and it sends no new one.
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    subscriber.unsubscribe(StreamId(1)).unwrap();
    subscribe(&mut subscriber, track, 2, 0);
    events(&mut subscriber);
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(5));
    assert_eq!(events(&mut subscriber), [is_subscribed(2)]);
    subscriber.handle_timeout(at(60_000));
    assert_eq!(events(&mut subscriber), []);
    assert_eq!(read(&mut subscriber, 2), [b"x"]);
}

#[test]
fn a_subscription_that_the_table_stops_naming_is_asked_for_again() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.handle_subscriber_handles(vec![], at(1_000));
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_timeout(at(11_000));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    subscriber.handle_subscriber_handles(vec![(handle(10), sid("a"))], at(11_001));
    assert_eq!(events(&mut subscriber), [], "the stream was told long ago");
    receive(&mut subscriber, Sender::new(10).frame(b"x"), at(11_001));
    assert_eq!(read(&mut subscriber, 1), [b"x"]);
}

/// Goes beyond `SUBSCRIBE_TIMEOUT`.
#[test]
fn a_retry_after_a_timeout_asks_the_sfu_again() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    subscribe(&mut subscriber, track, 2, 5_000);
    events(&mut subscriber);
    subscriber.handle_timeout(at(9_999));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    subscriber.handle_timeout(at(10_000));
    let timeout = Some(SubscribeError::Timeout);
    assert_eq!(events(&mut subscriber), [ended(1, timeout), ended(2, timeout)]);
    subscribe(&mut subscriber, track, 3, 10_001);
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(10_002));
    assert_eq!(events(&mut subscriber), [is_subscribed(3)]);
    assert_eq!(subscriber.unsubscribe(StreamId(1)).unwrap(), Default::default());
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn what_the_sfu_does_not_answer_it_is_asked_again_each_time_after_twice_as_long() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 500);
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    for due in [1_500, 2_500, 4_500] {
        assert_eq!(subscriber.poll_timeout(), Some(at(due)));
        subscriber.handle_timeout(at(due - 1));
        assert_eq!(events(&mut subscriber), []);
        subscriber.handle_timeout(at(due));
        assert_eq!(events(&mut subscriber), [update("a", true)]);
    }
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(8_000));
    assert_eq!(events(&mut subscriber), [is_subscribed(1)]);
    subscriber.handle_timeout(at(8_500));
    subscriber.handle_timeout(at(60_000));
    assert_eq!((events(&mut subscriber), subscriber.poll_timeout()), (vec![], None));
}

#[test]
fn when_packets_show_that_answers_were_lost_one_subscription_is_ended_and_requested_again() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    subscribe(&mut subscriber, tracks[1], 2, 0);
    let asked = [update("a", true), update("b", true)];
    assert_eq!(events(&mut subscriber), asked);
    receive(&mut subscriber, Sender::new(8).frame(b"x"), at(900));
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(900));
    subscriber.handle_timeout(at(1_000));
    assert_eq!(events(&mut subscriber), asked, "the SFU may have lost the requests");
    // The SFU forwards one track. It may not have begun with the other subscription.
    receive(&mut subscriber, Sender::new(8).frame(b"x"), at(1_950));
    subscriber.handle_timeout(at(2_000));
    assert_eq!(events(&mut subscriber), asked);
    receive(&mut subscriber, Sender::new(8).frame(b"x"), at(3_900));
    receive(&mut subscriber, Sender::new(9).frame(b"y"), at(3_900));
    subscriber.handle_timeout(at(4_000));
    assert_eq!(events(&mut subscriber), [update("a", false), update("a", true), update("b", true)]);
    assign(&mut subscriber, &[(9, "b")], at(4_001));
    assert_eq!(events(&mut subscriber), [is_subscribed(2)]);
    assert_eq!(read(&mut subscriber, 2), [b"y"]);
    assign(&mut subscriber, &[(9, "b"), (10, "a")], at(4_002));
    assert_eq!(events(&mut subscriber), [is_subscribed(1)]);
}

#[test]
fn a_subscription_that_the_sfu_has_not_begun_is_ended_when_it_has() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    subscriber.unsubscribe(StreamId(1));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    assign(&mut subscriber, &[(9, "a")], at(1));
    assert_eq!(events(&mut subscriber), [update("a", false)]);
    assign(&mut subscriber, &[(9, "a")], at(1));
    assert_eq!(events(&mut subscriber), [], "that is told once");
    // The same, if a stream needs it again before the SFU answers.
    assign(&mut subscriber, &[], at(2));
    subscribe(&mut subscriber, track, 2, 3);
    subscriber.unsubscribe(StreamId(2));
    subscribe(&mut subscriber, track, 3, 3);
    assert_eq!(events(&mut subscriber), [update("a", true), update("a", true)]);
    assign(&mut subscriber, &[(10, "a")], at(4));
    assert_eq!(events(&mut subscriber), [is_subscribed(3)]);
}

#[test]
fn a_paced_subscription_has_its_whole_time_from_when_the_request_left() {
    let config = SubscriberConfig { paced_requests: true, ..Default::default() };
    let mut subscriber = Subscriber::new(config);
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    assert_eq!(subscriber.poll_timeout(), None, "it waits for its turn");
    subscriber.handle_timeout(at(60_000));
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_subscription_sent(&sid("a"), at(60_000));
    subscriber.handle_timeout(at(61_000));
    assert_eq!(events(&mut subscriber), [update("a", true)], "asked again after a second");
    subscriber.handle_subscription_sent(&sid("a"), at(69_000));
    subscriber.handle_timeout(at(69_999));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    subscriber.handle_timeout(at(70_000));
    assert_eq!(
        events(&mut subscriber),
        [ended(1, Some(SubscribeError::Timeout))],
        "what is sent again has no time of its own"
    );
    // Calls for tracks that are unknown or that wait for nothing have no effect.
    subscriber.handle_subscription_sent(&sid("a"), at(70_000));
    subscriber.handle_subscription_sent(&sid("b"), at(70_000));
    assert_eq!(subscriber.poll_timeout(), None);
}

#[test]
fn thousands_of_paced_subscriptions_all_succeed_however_long_their_queue_is() {
    const TRACKS: u16 = 5_000;
    /// ms from one request to the next. The last one is sent after 25 s.
    const PACE: u64 = 5;
    let config = SubscriberConfig { paced_requests: true, ..Default::default() };
    let mut subscriber = Subscriber::new(config);
    let infos = (1..=TRACKS).map(|number| info(number, &format!("{number}"), &format!("{number}")));
    for (track, stream) in announce(&mut subscriber, infos.collect(), at(0)).into_iter().zip(1..) {
        subscribe(&mut subscriber, track, stream, 0);
    }
    let mut queue = VecDeque::new();
    let mut table = Vec::new();
    let mut begun = 0;
    let mut now = 0;
    while begun < usize::from(TRACKS) {
        for event in events(&mut subscriber) {
            match event {
                SubscriberEvent::UpdateSubscription { sid, subscribe: true, .. } => queue.push_back(sid),
                SubscriberEvent::Subscribed { .. } => begun += 1,
                event => panic!("{event:?}"),
            }
        }
        now += PACE;
        subscriber.handle_timeout(at(now));
        let Some(sid) = queue.pop_front() else { continue };
        subscriber.handle_subscription_sent(&sid, at(now));
        table.push((handle(table.len() as u16 + 1), sid));
        // The server answers many requests with one table.
        if table.len() % 100 == 0 {
            subscriber.handle_subscriber_handles(table.clone(), at(now));
        }
    }
    assert!(now > 20_000, "longer than an answer may take");
}

#[test]
fn a_paced_subscription_that_waits_is_asked_for_again_when_the_connection_is_back() {
    let config = SubscriberConfig { paced_requests: true, ..Default::default() };
    let mut subscriber = Subscriber::new(config);
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    events(&mut subscriber);
    for back in [Subscriber::handle_resumed, Subscriber::handle_rebuilt] {
        subscriber.handle_connection_lost();
        back(&mut subscriber, at(20_000));
        assert_eq!(events(&mut subscriber), [update("a", true)]);
        assert_eq!(subscriber.poll_timeout(), None);
    }
    subscriber.handle_subscription_sent(&sid("a"), at(30_000));
    assert_eq!(subscriber.poll_timeout(), Some(at(31_000)));
}

#[test]
fn unpublishing_while_pending_ends_streams_as_unpublished() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    events(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![], at(1));
    let gone = gone(track);
    assert_eq!(events(&mut subscriber), [ended(1, Some(SubscribeError::Unpublished)), gone]);
    let again = subscriber.subscribe(track, StreamId(2), SubscribeOptions::default(), at(1));
    assert_eq!(again, Err(SubscribeError::Unpublished));
}

#[test]
fn an_unpublished_track_ends_its_streams_normally_after_what_is_buffered() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    receive(&mut subscriber, Sender::new(9).frame(b"last"), at(0));
    subscriber.handle_publication_update(ALICE, vec![], at(1));
    let told = events(&mut subscriber);
    assert_eq!(told[0], ended(1, None));
    // The track's counters come with its end, because the machine no longer has them.
    let [.., SubscriberEvent::TrackUnpublished { stats, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((stats.opened, stats.completed, stats.open), (1, 1, 0));
    assert_eq!(read(&mut subscriber, 1), [b"last"]);
    let stats = subscriber.unsubscribe(StreamId(1)).unwrap();
    assert_eq!((stats.received, stats.delivered), (1, 1));
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn updates_are_complete_for_the_publisher_they_name_and_touch_no_other() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    assert_eq!(tracks.len(), 2);
    subscriber.handle_publication_update("bob", vec![info(1, "c", "a")], at(0));
    events(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![info(2, "b", "b")], at(0));
    let gone = gone(tracks[0]);
    assert_eq!(events(&mut subscriber), [gone]);
    subscriber.handle_publication_update("unknown", vec![], at(0));
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn a_participant_that_leaves_ends_all_its_tracks() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    subscribe(&mut subscriber, tracks[1], 1, 0);
    events(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![], at(0));
    let told = events(&mut subscriber);
    let count = |wanted: fn(&SubscriberEvent) -> bool| told.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(|event| matches!(event, SubscriberEvent::TrackUnpublished { .. })), 2);
    assert_eq!(count(|event| matches!(event, SubscriberEvent::StreamEnded { .. })), 1);
}

#[test]
fn a_new_sid_keeps_track_and_streams_and_asks_again() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame(b"1"), at(0));
    subscriber.handle_publication_update(ALICE, vec![info(1, "new", "a")], at(1));
    let updated = SubscriberEvent::TrackUpdated { track, info: info(1, "new", "a") };
    assert_eq!(events(&mut subscriber), [updated, update("new", true)]);
    // Within the session the old handle stays valid until there is a new one.
    receive(&mut subscriber, sender.frame(b"2"), at(1));
    subscriber.handle_subscriber_handles(vec![(handle(30), sid("new"))], at(2));
    // A publisher with a rebuilt connection counts from 0 again.
    receive(&mut subscriber, Sender::new(30).frame(b"3"), at(2));
    assert_eq!(read(&mut subscriber, 1), [b"1", b"2", b"3"]);
    subscriber.handle_timeout(at(60_000));
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn a_new_sid_under_the_old_handle_starts_afresh_too() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    receive(&mut subscriber, Sender::new(9).frame(b"1"), at(0));
    subscriber.handle_publication_update(ALICE, vec![info(1, "new", "a")], at(1));
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("new"))], at(2));
    receive(&mut subscriber, Sender::new(9).frame(b"2"), at(2));
    assert_eq!(read(&mut subscriber, 1), [b"1", b"2"], "frame 0 of the new session is no duplicate");
}

#[test]
fn a_pending_subscription_follows_its_track_to_the_new_sid_with_the_whole_time() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscribe(&mut subscriber, track, 1, 0);
    events(&mut subscriber);
    subscriber.handle_publication_update(ALICE, vec![info(1, "new", "a")], at(9_000));
    events(&mut subscriber);
    subscriber.handle_timeout(at(18_999));
    assert_eq!(events(&mut subscriber), [update("new", true)]);
    subscriber.handle_timeout(at(19_000));
    let told = events(&mut subscriber);
    assert_eq!(told, [ended(1, Some(SubscribeError::Timeout))]);
}

#[test]
fn another_name_encryption_schema_or_encoding_is_another_publication() {
    let base = info(1, "a", "a");
    let others: [TrackInfo; 4] = [
        TrackInfo { sid: sid("b"), ..info(2, "a", "a") },
        TrackInfo { sid: sid("b"), ..info(1, "a", "other") },
        TrackInfo { sid: sid("b"), ..sealed_info(1, "a", "a") },
        TrackInfo {
            sid: sid("b"),
            frame_encoding: Some(datatrack::schema::FrameEncoding::Json),
            ..base.clone()
        },
    ];
    for other in others {
        let mut subscriber = subscriber();
        let track = subscribed(&mut subscriber);
        subscriber.handle_publication_update(ALICE, vec![other.clone()], at(1));
        let told = events(&mut subscriber);
        let [published, end, gone] = &told[..] else { panic!("{told:?}") };
        assert!(
            matches!(published, SubscriberEvent::TrackPublished { track: new, .. } if *new != track),
            "{published:?}"
        );
        assert_eq!(*end, ended(1, None));
        assert!(matches!(gone, SubscriberEvent::TrackUnpublished { .. }));
    }
}

#[test]
fn a_new_sid_takes_over_nothing_that_another_entry_still_claims() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    let both = vec![info(1, "b", "a"), info(1, "a", "a")];
    subscriber.handle_publication_update(ALICE, both, at(0));
    let told = events(&mut subscriber);
    assert!(
        matches!(told[..], [SubscriberEvent::TrackPublished { track: new, .. }] if new != track),
        "{told:?}"
    );
}

#[test]
fn the_highest_wish_for_frames_a_second_counts_and_zero_is_all() {
    let mut subscriber = subscriber();
    let track = announce(&mut subscriber, vec![info(1, "a", "a")], at(0))[0];
    let mut wish = |stream, target_fps| {
        let options = SubscribeOptions { target_fps, ..Default::default() };
        subscriber.subscribe(track, StreamId(stream), options, at(0)).unwrap();
        events(&mut subscriber)
            .into_iter()
            .filter_map(|event| match event {
                SubscriberEvent::UpdateSubscription { target_fps, .. } => Some(target_fps),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(wish(1, 10), [10]);
    assert_eq!(wish(2, 5), []);
    assert_eq!(wish(3, 30), [30]);
    assert_eq!(wish(4, 0), [0]);
    subscriber.unsubscribe(StreamId(4));
    subscriber.unsubscribe(StreamId(1));
    subscriber.unsubscribe(StreamId(3));
    let told = events(&mut subscriber);
    let of = |target_fps| SubscriberEvent::UpdateSubscription { sid: sid("a"), subscribe: true, target_fps };
    assert_eq!(told, [of(30), of(5)]);
}

#[test]
fn subscriptions_are_told_again_when_resumed_and_nothing_times_out_meanwhile() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscribe(&mut subscriber, tracks[1], 2, 0);
    events(&mut subscriber);
    subscriber.handle_connection_lost();
    subscriber.handle_timeout(at(60_000));
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_resumed(at(60_000));
    assert_eq!(events(&mut subscriber), [update("a", true), update("b", true)]);
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(60_000));
    assert_eq!(read(&mut subscriber, 1), [b"x"], "handles go on meaning what they did");
    subscriber.handle_timeout(at(69_999));
    assert_eq!(events(&mut subscriber), [update("b", true)]);
    subscriber.handle_timeout(at(70_000));
    assert_eq!(events(&mut subscriber), [ended(2, Some(SubscribeError::Timeout))]);
}

#[test]
fn a_renewed_subscription_is_asked_for_again_rather_than_given_up() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.handle_rebuilt(at(0));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
    for round in 1..4 {
        subscriber.handle_timeout(at(round * 10_000));
        assert_eq!(events(&mut subscriber), [update("a", true)]);
    }
}

#[test]
fn changes_without_a_connection_are_told_when_it_is_back() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    subscriber.handle_connection_lost();
    subscriber.unsubscribe(StreamId(1));
    subscribe(&mut subscriber, track, 2, 1);
    assert_eq!(events(&mut subscriber), []);
    subscriber.handle_resumed(at(2));
    assert_eq!(events(&mut subscriber), [update("a", true)]);
}

#[test]
fn closing_ends_each_stream_once_and_stops_all_timers() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    subscriber.handle_rebuilt(at(0));
    events(&mut subscriber);
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame(b"x"), at(0));
    subscriber.close();
    subscriber.close();
    assert_eq!(events(&mut subscriber), [ended(1, Some(SubscribeError::Disconnected))]);
    receive(&mut subscriber, sender.frame(b"x"), at(0));
    subscriber.handle_publication_update(ALICE, vec![], at(0));
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscriber.handle_rebuilt(at(0));
    while let Some(deadline) = subscriber.poll_timeout() {
        assert!(deadline < at(60_000), "a timer that never ends");
        subscriber.handle_timeout(deadline);
    }
    assert_eq!(events(&mut subscriber), []);
    let again = subscriber.subscribe(track, StreamId(2), SubscribeOptions::default(), at(0));
    assert_eq!(again, Err(SubscribeError::Disconnected));
    assert_packets_close(subscriber.packet_stats());
    assert!(subscriber.unsubscribe(StreamId(1)).is_some());
    assert_eq!(events(&mut subscriber), []);
}

#[test]
fn a_stream_is_readable_only_while_its_reader_waits() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    let mut sender = Sender::new(9);
    receive(&mut subscriber, sender.frame(b"1"), at(0));
    assert!(!subscriber.has_readable());
    assert!(subscriber.request_frames(StreamId(1)), "there is one already");
    subscriber.read_frame(StreamId(1)).unwrap();
    assert!(!subscriber.request_frames(StreamId(1)));
    receive(&mut subscriber, sender.frame(b"2"), at(0));
    receive(&mut subscriber, sender.frame(b"3"), at(0));
    assert_eq!(subscriber.poll_readable(), Some(StreamId(1)));
    assert_eq!(subscriber.poll_readable(), None, "each once");
    subscriber.read_frame(StreamId(1)).unwrap();
    subscriber.push_back_readable(StreamId(1));
    subscriber.push_back_readable(StreamId(1));
    assert_eq!(subscriber.poll_readable(), Some(StreamId(1)));
    assert!(!subscriber.has_readable());
    assert!(!subscriber.request_frames(StreamId(7)), "there is no such stream");
}

#[test]
fn a_closed_stream_is_not_readable_any_more() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    subscriber.request_frames(StreamId(1));
    receive(&mut subscriber, Sender::new(9).frame(b"1"), at(0));
    assert!(subscriber.has_readable());
    subscriber.unsubscribe(StreamId(1));
    assert_eq!(subscriber.poll_readable(), None);
}

#[test]
fn frames_that_cannot_be_decoded_are_counted_instead_of_delivered() {
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    receive(&mut subscriber, Sender::new(9).frame(b"1"), at(0));
    subscriber.count_decode_failure(StreamId(1));
    assert_eq!(read(&mut subscriber, 1).len(), 1);
    subscriber.count_decode_failure(StreamId(1));
    let stats = subscriber.stream_stats(StreamId(1)).unwrap();
    assert_stream_closes(stats);
    assert_eq!((stats.delivered, stats.dropped.decode_failed), (0, 1));
}

#[test]
fn pipeline_options_hold_for_the_present_handle_and_the_next() {
    let mut subscriber = subscriber();
    let track = subscribed(&mut subscriber);
    let options =
        datatrack::depacketizer::DepacketizerOptions { max_packets_per_frame: 3, ..Default::default() };
    subscriber.set_pipeline_options(track, options);
    let most = 3 * 15_988;
    assert!(most < PacketizerOptions::default().max_packets_per_frame as usize * 15_988);
    for (number, moved) in [(9, false), (10, true)] {
        if moved {
            subscriber.handle_subscriber_handles(vec![(handle(number), sid("a"))], at(0));
        }
        let mut sender = Sender::new(number);
        receive(&mut subscriber, sender.frame(&vec![0; most + 1]), at(0));
        receive(&mut subscriber, sender.frame(&vec![0; most]), at(0));
        assert_eq!(frames(&mut subscriber, 1).len(), 1);
    }
    assert_frames_close(subscriber.track_stats(track).unwrap());
}

#[test]
fn who_may_not_subscribe_is_told_at_once_and_keeps_what_the_sfu_has_answered() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscribe(&mut subscriber, tracks[1], 2, 0);
    events(&mut subscriber);
    subscriber.handle_subscribing_allowed(false);
    assert_eq!(events(&mut subscriber), [ended(2, Some(SubscribeError::NotAllowed))]);
    let refused = subscriber.subscribe(tracks[1], StreamId(3), SubscribeOptions::default(), at(1));
    assert_eq!(refused, Err(SubscribeError::NotAllowed));
    // livekit-server still forwards the other track, and a second stream can read it.
    subscribe(&mut subscriber, tracks[0], 4, 1);
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(1));
    assert_eq!(
        (read(&mut subscriber, 1), read(&mut subscriber, 4)),
        (vec![b"x".to_vec()], vec![b"x".to_vec()])
    );
    // In a new session the server would have to answer again.
    events(&mut subscriber);
    subscriber.handle_connection_lost();
    subscriber.handle_rebuilt(at(2));
    events(&mut subscriber);
    subscriber.handle_subscribing_allowed(false);
    let not_allowed = Some(SubscribeError::NotAllowed);
    assert_eq!(events(&mut subscriber), [ended(1, not_allowed), ended(4, not_allowed)]);
    subscriber.handle_subscribing_allowed(true);
    subscribe(&mut subscriber, tracks[1], 5, 3);
    assert_eq!(events(&mut subscriber), [update("b", true)]);
}

#[test]
fn a_subscription_that_its_publisher_does_not_permit_waits_for_a_second_and_ends() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    subscribe(&mut subscriber, tracks[1], 2, 0);
    events(&mut subscriber);
    subscriber.handle_subscription_permission(&sid("a"), true, at(0));
    subscriber.handle_subscription_permission(&sid("other"), false, at(0));
    subscriber.handle_subscription_permission(&sid("a"), false, at(0));
    subscriber.handle_subscription_permission(&sid("b"), false, at(0));
    assert_eq!(events(&mut subscriber), []);
    // The publisher permits one of the two a moment later.
    subscriber.handle_subscription_permission(&sid("b"), true, at(500));
    assign(&mut subscriber, &[(9, "b")], at(500));
    subscriber.handle_timeout(at(999));
    assert!(
        !events(&mut subscriber).iter().any(|event| matches!(event, SubscriberEvent::StreamEnded { .. }))
    );
    subscriber.handle_timeout(at(1000));
    let not_allowed = Some(SubscribeError::NotAllowed);
    assert_eq!(events(&mut subscriber), [ended(1, not_allowed)]);
    subscriber.handle_timeout(at(60_000));
    receive(&mut subscriber, Sender::new(9).frame(b"x"), at(60_000));
    assert_eq!(read(&mut subscriber, 2), [b"x".to_vec()]);
}

#[test]
fn a_subscription_that_its_publisher_revokes_ends_at_once_and_can_be_had_again_when_the_sfu_says_so() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    assign(&mut subscriber, &[(9, "a")], at(0));
    events(&mut subscriber);
    // livekit-server takes the track from the table first.
    assign(&mut subscriber, &[], at(1));
    subscriber.handle_subscription_permission(&sid("a"), false, at(1));
    assert_eq!(events(&mut subscriber), [ended(1, Some(SubscribeError::NotAllowed))]);
    let refused = subscriber.subscribe(tracks[0], StreamId(2), SubscribeOptions::default(), at(2));
    assert_eq!(refused, Err(SubscribeError::NotAllowed));
    assert_eq!(events(&mut subscriber), []);
    // The SFU has kept the request, so it forwards the track again, which nothing reads.
    subscriber.handle_subscription_permission(&sid("a"), true, at(3));
    assert_eq!(events(&mut subscriber), []);
    assign(&mut subscriber, &[(10, "a")], at(3));
    assert_eq!(events(&mut subscriber), [update("a", false)]);
    subscribe(&mut subscriber, tracks[0], 3, 4);
    assert_eq!(events(&mut subscriber), [update("a", true)]);
}

#[test]
fn after_a_reconnect_a_refused_track_can_be_asked_for_again() {
    for rebuilt in [false, true] {
        let mut subscriber = subscriber();
        let tracks = announce(&mut subscriber, vec![info(1, "a", "a"), info(2, "b", "b")], at(0));
        subscribe(&mut subscriber, tracks[0], 1, 0);
        assign(&mut subscriber, &[(9, "a")], at(0));
        subscriber.handle_subscription_permission(&sid("a"), false, at(0));
        subscribe(&mut subscriber, tracks[1], 2, 0);
        subscriber.handle_subscription_permission(&sid("b"), false, at(0));
        events(&mut subscriber);
        subscriber.handle_connection_lost();
        subscriber.handle_timeout(at(5000));
        if rebuilt {
            subscriber.handle_rebuilt(at(6000));
            assert_eq!(events(&mut subscriber), [update("b", true)]);
        } else {
            // The server session still holds the request. Stream 2 has its second once more.
            subscriber.handle_resumed(at(6000));
            assert_eq!(events(&mut subscriber), [update("b", true)]);
            subscriber.handle_timeout(at(6999));
            assert_eq!(events(&mut subscriber), []);
            subscriber.handle_timeout(at(7000));
            let kinds = events(&mut subscriber);
            assert!(kinds.contains(&ended(2, Some(SubscribeError::NotAllowed))), "{kinds:?}");
        }
        subscribe(&mut subscriber, tracks[0], 3, 8000);
        assert!(events(&mut subscriber).contains(&update("a", true)));
        if !rebuilt {
            // The SFU said that it is refused, and says nothing again.
            for due in [9000, 10_000, 10_999] {
                subscriber.handle_timeout(at(due));
                assert!(!events(&mut subscriber).contains(&update("a", false)));
            }
            subscriber.handle_timeout(at(11_000));
            assert_eq!(events(&mut subscriber), [ended(3, Some(SubscribeError::NotAllowed))]);
            // It may have permitted it while there was no connection: then packets come.
            subscribe(&mut subscriber, tracks[0], 4, 12_000);
            subscriber.handle_timeout(at(13_000));
            receive(&mut subscriber, Sender::new(12).frame(b"x"), at(13_900));
            events(&mut subscriber);
            subscriber.handle_timeout(at(14_000));
            assert_eq!(events(&mut subscriber), [update("a", false), update("a", true)]);
            assign(&mut subscriber, &[(12, "a")], at(14_001));
            assert_eq!(events(&mut subscriber), [is_subscribed(4)]);
            assert_eq!(read(&mut subscriber, 4), [b"x"]);
        }
    }
}

#[test]
fn a_new_sid_is_a_new_question_of_permission() {
    let mut subscriber = subscriber();
    let tracks = announce(&mut subscriber, vec![info(1, "a", "a")], at(0));
    subscribe(&mut subscriber, tracks[0], 1, 0);
    assign(&mut subscriber, &[(9, "a")], at(0));
    subscriber.handle_subscription_permission(&sid("a"), false, at(0));
    events(&mut subscriber);
    announce(&mut subscriber, vec![info(1, "new", "a")], at(1));
    subscribe(&mut subscriber, tracks[0], 2, 1);
    assert!(events(&mut subscriber).contains(&update("new", true)));
    // The publisher that came back has not permitted it yet.
    subscriber.handle_subscription_permission(&sid("new"), false, at(1));
    subscriber.handle_subscription_permission(&sid("new"), true, at(100));
    assign(&mut subscriber, &[(10, "new")], at(100));
    subscriber.handle_timeout(at(5000));
    receive(&mut subscriber, Sender::new(10).frame(b"x"), at(5000));
    assert_eq!(read(&mut subscriber, 2), [b"x".to_vec()]);
}
