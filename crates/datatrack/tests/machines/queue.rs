//! From push to packets: which frames are refused, which are dropped, and in which order packets leave.

use datatrack::packet::{BASE_HEADER_LEN, E2eeExtension, Header, MTU, Marker};
use datatrack::packetizer::PacketizerOptions;
use datatrack::publisher::{
    PublishOptions, PublisherEvent, PushFrameError, QueueOptions, SessionEncryption, WhenFull,
};
use datatrack::stats::SendStats;
use datatrack::{Handle, Publisher};

use crate::support::*;

fn with_queue(queue: QueueOptions) -> (Publisher, Handle) {
    let mut publisher = publisher();
    let track = published(&mut publisher, PublishOptions { queue, ..PublishOptions::new("a") });
    (publisher, track)
}

fn stats(publisher: &Publisher, track: Handle) -> SendStats {
    let stats = publisher.track_stats(track).unwrap();
    assert_sent_closes(stats);
    stats
}

/// The payloads of the frames that leave. Each is a frame of one packet.
fn singles(publisher: &mut Publisher, now_ms: u64) -> Vec<Vec<u8>> {
    packets(publisher, at(now_ms))
        .iter()
        .map(|(_, packet)| {
            let (header, payload_at) = Header::parse(packet).unwrap();
            assert_eq!(header.marker, Marker::Single);
            packet[payload_at..].to_vec()
        })
        .collect()
}

#[test]
fn each_state_has_its_own_push_error() {
    let mut publisher = publisher_with(hkdf());
    let push = |publisher: &mut Publisher, number: u16| publisher.push(handle(number), b"x", None, at(0));
    assert_eq!(push(&mut publisher, 1), Err(PushFrameError::TrackUnpublished));
    let track = publisher.publish(PublishOptions::new("a"), at(0)).unwrap();
    assert_eq!(push(&mut publisher, 1), Err(PushFrameError::NotPublished));
    publisher.handle_publish_response(info(1, "x", "a"));
    assert_eq!(push(&mut publisher, 1), Ok(()));
    let max = publisher.max_frame_len(track, false).unwrap();
    let too_large = PushFrameError::FrameTooLarge { size: max + 1, max };
    assert_eq!(publisher.push(track, &vec![0; max + 1], None, at(0)), Err(too_large));
    let sealed = published(&mut publisher, encrypted("b"));
    assert_eq!(publisher.push(sealed, b"x", None, at(0)), Err(PushFrameError::NoKey));
    let extension = E2eeExtension { key_index: 0, iv: [0; 12] };
    let refused = publisher.push_sealed(sealed, b"x", None, extension, at(0));
    assert_eq!(refused, Err(PushFrameError::EncryptionFailed), "the session seals by itself");
    publisher.handle_connection_lost();
    assert_eq!(push(&mut publisher, 1), Err(PushFrameError::Reconnecting));
    publisher.handle_rebuilt(at(1));
    assert_eq!(push(&mut publisher, 1), Err(PushFrameError::Reconnecting));
    publisher.handle_publish_response(info(1, "y", "a"));
    publisher.unpublish(track);
    assert_eq!(push(&mut publisher, 1), Err(PushFrameError::TrackUnpublished));
    publisher.close();
    assert_eq!(push(&mut publisher, 2), Err(PushFrameError::Disconnected));
    assert_eq!(stats(&publisher, track).refused, 4);
}

#[test]
fn a_sealed_payload_is_never_sent_as_a_plain_frame() {
    let mut publisher = publisher_with(SessionEncryption::Custom);
    let track = published(&mut publisher, PublishOptions::new("plain"));
    let extension = E2eeExtension { key_index: 0, iv: [0; 12] };
    let refused = publisher.push_sealed(track, b"ciphertext", None, extension, at(0));
    assert_eq!(refused, Err(PushFrameError::EncryptionFailed));
    let sealed = published(&mut publisher, encrypted("sealed"));
    let plain = publisher.push(sealed, b"plaintext", None, at(0));
    assert_eq!(plain, Err(PushFrameError::EncryptionFailed));
    let beyond = E2eeExtension { key_index: 16, iv: [0; 12] };
    let refused = publisher.push_sealed(sealed, b"ciphertext", None, beyond, at(0));
    assert_eq!(refused, Err(PushFrameError::EncryptionFailed), "no peer reads key index 16");
    assert!(packets(&mut publisher, at(0)).is_empty());
}

#[test]
fn an_empty_frame_and_a_timestamp_of_zero_arrive() {
    let mut pair = Pair::new(1, Weather::default(), SessionEncryption::None);
    let (track, _) = pair.with_track(PublishOptions::new("a"));
    pair.alice.machine.push(track, b"", None, pair.now).unwrap();
    pair.alice.machine.push(track, b"", Some(0), pair.now).unwrap();
    pair.alice.machine.push(track, b"x", Some(u64::MAX), pair.now).unwrap();
    pair.progress(ms(1));
    let frames = frames(&mut pair.bob.machine, 1);
    let got = frames.iter().map(|frame| (frame.payload.len(), frame.user_timestamp)).collect::<Vec<_>>();
    assert_eq!(got, [(0, None), (0, Some(0)), (1, Some(u64::MAX))]);
}

#[test]
fn packet_timestamps_advance_at_90_khz_from_the_given_base() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    for ms in [0, 1, 10, 1_000] {
        publisher.push(track, b"x", None, at(ms)).unwrap();
        let (_, packet) = next_packet(&mut publisher, at(ms)).unwrap();
        let (header, _) = Header::parse(&packet).unwrap();
        assert_eq!(u64::from(header.timestamp), 1_000 + ms * 90);
    }
}

#[test]
fn a_frame_of_more_than_128_packets_is_refused_before_anything_is_sent() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    let most = 128 * (MTU - BASE_HEADER_LEN);
    assert_eq!(publisher.max_frame_len(track, false), Some(most));
    let too_large = PushFrameError::FrameTooLarge { size: most + 1, max: most };
    assert_eq!(publisher.push(track, &vec![1; most + 1], None, at(0)), Err(too_large));
    assert!(!publisher.has_packets());
    publisher.push(track, &vec![1; most], None, at(0)).unwrap();
    assert_eq!(packets(&mut publisher, at(0)).len(), 128);
}

#[test]
fn the_limit_in_packets_is_an_option_and_encryption_takes_its_share() {
    let mut publisher = publisher_with(hkdf());
    let packetizer = PacketizerOptions { max_packets_per_frame: 2 };
    let plain = published(&mut publisher, PublishOptions { packetizer, ..PublishOptions::new("a") });
    let sealed = published(&mut publisher, PublishOptions { packetizer, ..encrypted("b") });
    assert_eq!(publisher.max_frame_len(plain, false), Some(2 * 15_988));
    assert_eq!(publisher.max_frame_len(plain, true), Some(2 * 15_976));
    assert_eq!(publisher.max_frame_len(sealed, false), Some(2 * 15_968 - 16));
    assert_eq!(publisher.max_frame_len(sealed, true), Some(2 * 15_960 - 16));
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let max = 2 * 15_960 - 16;
    let refused = publisher.push(sealed, &vec![0; max + 1], Some(1), at(0));
    assert_eq!(refused, Err(PushFrameError::FrameTooLarge { size: max + 1, max }));
    publisher.push(sealed, &vec![0; max], Some(1), at(0)).unwrap();
    let sizes = packets(&mut publisher, at(0)).iter().map(|(_, packet)| packet.len()).collect::<Vec<_>>();
    assert_eq!(sizes, [MTU, MTU]);
}

/// Fills `MAX_QUEUE_BYTES`.
#[test]
fn by_default_a_mebibyte_is_queued_and_the_oldest_make_room() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    // 4,096 bytes on the wire each.
    let frame = |seed| payload(seed, 4_096 - BASE_HEADER_LEN);
    for seed in 0..256 {
        publisher.push(track, &frame(seed), None, at(0)).unwrap();
    }
    assert_eq!(publisher.buffered_amount(track), 1 << 20);
    assert_eq!(stats(&publisher, track).dropped.total(), 0);
    publisher.push(track, &frame(256), None, at(0)).unwrap();
    publisher.push(track, b"", None, at(0)).unwrap();
    let now = stats(&publisher, track);
    assert_eq!((now.dropped.queue_full, now.queued), (2, 256));
    assert!(publisher.buffered_amount(track) <= 1 << 20);
    let left = singles(&mut publisher, 0);
    assert_eq!(left.len(), 256);
    assert_eq!(left[0], frame(2));
    assert_eq!(left[254..], [frame(256), vec![]]);
    assert_eq!(stats(&publisher, track).sent, 256);
}

#[test]
fn a_burst_of_small_frames_loses_nothing() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    for seed in 0..2_000 {
        publisher.push(track, &payload(seed, 256), None, at(0)).unwrap();
    }
    assert_eq!(singles(&mut publisher, 5).len(), 2_000);
}

#[test]
fn a_queue_told_to_refuse_keeps_the_old_and_hands_the_new_back() {
    let queue = QueueOptions::without_age_limit(100, WhenFull::Refuse);
    let (mut publisher, track) = with_queue(queue);
    publisher.push(track, &[1; 38], None, at(0)).unwrap();
    publisher.push(track, &[2; 38], None, at(0)).unwrap();
    assert_eq!(publisher.push(track, b"", None, at(0)), Err(PushFrameError::QueueFull));
    assert_eq!(stats(&publisher, track).refused, 1);
    assert_eq!(singles(&mut publisher, 0), [[1; 38], [2; 38]]);
    // An empty queue takes any frame.
    publisher.push(track, &[3; 5_000], None, at(0)).unwrap();
    assert_eq!(publisher.push(track, b"", None, at(0)), Err(PushFrameError::QueueFull));
    assert_eq!(singles(&mut publisher, 0), [[3; 5_000]]);
    assert_eq!(stats(&publisher, track).dropped.total(), 0);
}

#[test]
fn an_encrypted_track_refuses_before_it_seals() {
    let mut publisher = publisher_with(hkdf());
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let queue = QueueOptions::without_age_limit(100, WhenFull::Refuse);
    let track = published(&mut publisher, PublishOptions { queue, ..encrypted("a") });
    publisher.push(track, &[1; 40], None, at(0)).unwrap();
    for _ in 0..5 {
        assert_eq!(publisher.push(track, &[1; 40], None, at(0)), Err(PushFrameError::QueueFull));
    }
    let mut counters = Vec::new();
    for _ in 0..2 {
        let (_, packet) = next_packet(&mut publisher, at(0)).unwrap();
        let (header, _) = Header::parse(&packet).unwrap();
        counters.push(header.extensions.e2ee.unwrap().iv[11]);
        publisher.push(track, &[1; 40], None, at(0)).unwrap();
    }
    assert_eq!(counters, [0, 1], "a refused frame uses up no IV");
}

#[test]
fn a_frame_larger_than_the_queue_replaces_everything_and_leaves_whole() {
    let (mut publisher, track) = with_queue(QueueOptions { max_bytes: 1_000, ..Default::default() });
    publisher.push(track, b"old", None, at(0)).unwrap();
    publisher.push(track, &payload(1, 50_000), None, at(0)).unwrap();
    assert_eq!(packets(&mut publisher, at(0)).len(), 4);
    let now = stats(&publisher, track);
    assert_eq!((now.sent, now.dropped.queue_full, now.bytes_sent), (1, 1, 50_000 + 4 * 12));
}

/// Goes beyond `MAX_QUEUE_AGE`.
#[test]
fn a_frame_older_than_100_ms_goes_only_when_a_newer_one_is_behind_it() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    publisher.push(track, b"1", None, at(0)).unwrap();
    assert_eq!(singles(&mut publisher, 10_000), [b"1"], "the newest goes however old it is");
    for (time, frame) in [(0, b"2"), (1, b"3"), (50, b"4")] {
        publisher.push(track, frame, None, at(time)).unwrap();
    }
    assert_eq!(singles(&mut publisher, 100), [b"2", b"3", b"4"], "100 ms are not more than 100 ms");
    for (time, frame) in [(0, b"5"), (1, b"6"), (50, b"7")] {
        publisher.push(track, frame, None, at(time)).unwrap();
    }
    assert_eq!(singles(&mut publisher, 101), [b"6", b"7"]);
    assert_eq!(stats(&publisher, track).dropped.timed_out, 1);
    let (mut publisher, track) = with_queue(QueueOptions { max_age: None, ..Default::default() });
    publisher.push(track, b"1", None, at(0)).unwrap();
    publisher.push(track, b"2", None, at(0)).unwrap();
    assert_eq!(singles(&mut publisher, 60_000).len(), 2);
}

#[test]
fn a_partly_sent_frame_is_dropped_neither_for_size_nor_for_age() {
    let (mut publisher, track) = with_queue(QueueOptions { max_bytes: 50_000, ..Default::default() });
    publisher.push(track, &payload(1, 40_000), None, at(0)).unwrap();
    let (_, first) = next_packet(&mut publisher, at(0)).unwrap();
    for seed in 2..6 {
        publisher.push(track, &payload(seed, 40_000), None, at(0)).unwrap();
    }
    let now = stats(&publisher, track);
    assert_eq!((now.queued, now.dropped.queue_full), (2, 3));
    let rest = packets(&mut publisher, at(5_000));
    let mut receiver = subscriber();
    subscribed(&mut receiver);
    let all = std::iter::once(first).chain(rest.into_iter().map(|(_, packet)| packet)).map(|packet| {
        let mut packet = packet.to_vec();
        datatrack::packet::rewrite_handle(&mut packet, handle(9));
        packet.into()
    });
    receive(&mut receiver, all.collect::<Vec<_>>(), at(5_000));
    assert_eq!(read(&mut receiver, 1), [payload(1, 40_000), payload(5, 40_000)]);
}

#[test]
fn watching_tells_once_when_what_waits_is_low() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    let low = [PublisherEvent::BufferedAmountLow { handle: track }];
    publisher.watch_buffered(track, 0);
    assert_eq!(sent_events(&mut publisher), low, "at once if nothing waits");
    for _ in 0..3 {
        publisher.push(track, &[0; 88], None, at(0)).unwrap();
    }
    publisher.watch_buffered(track, 0);
    publisher.watch_buffered(track, 100);
    next_packet(&mut publisher, at(0));
    assert_eq!(sent_events(&mut publisher), [], "200 bytes wait");
    next_packet(&mut publisher, at(0));
    assert_eq!(sent_events(&mut publisher), low, "the second call replaced the first");
    next_packet(&mut publisher, at(0));
    assert_eq!(sent_events(&mut publisher), []);
}

#[test]
fn watching_notices_frames_that_grow_too_old() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    publisher.push(track, &[0; 988], None, at(0)).unwrap();
    publisher.push(track, b"", None, at(500)).unwrap();
    publisher.watch_buffered(track, 100);
    assert!(publisher.peek_transmit(at(500)).is_some());
    assert_eq!(sent_events(&mut publisher), [PublisherEvent::BufferedAmountLow { handle: track }]);
}

#[test]
fn tracks_take_turns_packet_by_packet() {
    let mut publisher = publisher();
    let large = published(&mut publisher, PublishOptions::new("large"));
    let small = published(&mut publisher, PublishOptions::new("small"));
    let third = published(&mut publisher, PublishOptions::new("third"));
    publisher.push(large, &payload(1, 60_000), None, at(0)).unwrap();
    for _ in 0..2 {
        publisher.push(small, b"s", None, at(0)).unwrap();
    }
    publisher.push(third, b"t", None, at(0)).unwrap();
    let order = packets(&mut publisher, at(0)).iter().map(|(track, _)| track.get()).collect::<Vec<_>>();
    assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn a_packet_that_the_transport_refuses_stays() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    publisher.push(track, b"x", None, at(0)).unwrap();
    let first = publisher.peek_transmit(at(0)).unwrap().packet.to_vec();
    assert_eq!(publisher.poll_transmit(&mut [0; 5], at(0)), None, "too short a target");
    let mut target = [0; MTU];
    assert_eq!(publisher.poll_transmit(&mut target, at(1)), Some(13));
    assert_eq!(target[..13], first);
    assert_eq!(publisher.poll_transmit(&mut target, at(1)), None);
}

#[test]
fn each_packet_of_each_frame_keeps_to_the_mtu() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    for len in [0, 1, 15_987, 15_988, 15_989, 31_976, 31_977, 100_000] {
        publisher.push(track, &payload(len, len), Some(1), at(0)).unwrap();
        for (_, packet) in packets(&mut publisher, at(0)) {
            assert!(packet.len() <= MTU);
        }
    }
}

#[test]
fn ending_a_track_drops_what_is_queued_and_other_tracks_go_on() {
    let mut publisher = publisher();
    let first = published(&mut publisher, PublishOptions::new("a"));
    let second = published(&mut publisher, PublishOptions::new("b"));
    publisher.push(first, b"1", None, at(0)).unwrap();
    publisher.push(second, b"2", None, at(0)).unwrap();
    publisher.unpublish(first);
    assert_eq!(singles(&mut publisher, 0), [b"2"]);
    let ended = publisher.track_stats(first).unwrap();
    assert_eq!((ended.pushed, ended.dropped.unpublished), (1, 1));
    assert_eq!(publisher.buffered_amount(first), 0);
    publisher.watch_buffered(first, 0);
    assert!(!sent_events(&mut publisher).contains(&PublisherEvent::BufferedAmountLow { handle: first }));
}

#[test]
fn a_frame_taken_whole_is_its_packets_one_after_the_other() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    let (mut other, _) = with_queue(QueueOptions::default());
    for publisher in [&mut publisher, &mut other] {
        publisher.push(track, &payload(1, 40_000), Some(7), at(0)).unwrap();
        publisher.push(track, b"small", None, at(0)).unwrap();
    }
    publisher.watch_buffered(track, 1_000);
    let frame = publisher.take_frame(4_096, at(0)).unwrap();
    let whole =
        (0..frame.layout.packets).map(|index| frame.packets[frame.layout.range(index).unwrap()].to_vec());
    let singly =
        packets(&mut other, at(0)).into_iter().map(|(_, packet)| packet.to_vec()).collect::<Vec<_>>();
    assert_eq!(whole.collect::<Vec<_>>(), singly[..3]);
    assert!(sent_events(&mut publisher).contains(&PublisherEvent::BufferedAmountLow { handle: track }));
    let taken = stats(&publisher, track);
    assert_eq!((taken.sent, taken.packets_sent, taken.queued), (1, 3, 1));
    assert!(publisher.take_frame(4_096, at(0)).is_none(), "a small one goes packet by packet");
    assert_eq!(singles(&mut publisher, 0), [b"small"]);
}

#[test]
fn a_frame_of_which_a_part_has_left_is_not_taken_whole() {
    let (mut publisher, track) = with_queue(QueueOptions::default());
    publisher.push(track, &payload(1, 40_000), None, at(0)).unwrap();
    publisher.peek_transmit(at(0)).unwrap();
    publisher.advance_transmit();
    assert!(publisher.take_frame(0, at(0)).is_none());
    assert_eq!(packets(&mut publisher, at(0)).len(), 2);
    assert_eq!(stats(&publisher, track).sent, 1);
}
