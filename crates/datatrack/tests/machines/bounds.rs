//! What a hostile peer or server can make a subscriber hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use datatrack::packet::{E2eeExtension, Extensions, Header, Marker};
use datatrack::subscriber::{BufferPolicy, MAX_TRACKS, StreamId, SubscribeOptions, SubscriberEvent};

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

/// Fills `MAX_PARTIAL_FRAMES`.
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

/// Goes beyond `PARTIAL_FRAME_TIMEOUT`.
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

/// Fills `MAX_FRAMES` and `MAX_BYTES`, and goes beyond `MAX_AGE`.
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

/// A received buffer. Its bytes are counted until it is freed.
struct Counted {
    buffer: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn wrap(packet: &[u8], alive: &Arc<AtomicUsize>) -> Bytes {
        alive.fetch_add(packet.len(), Ordering::Relaxed);
        Bytes::from_owner(Self { buffer: packet.to_vec(), alive: alive.clone() })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.buffer.len(), Ordering::Relaxed);
    }
}

/// A packet with 60,000 bytes of unknown extensions and one byte of payload.
fn bloated(marker: Marker, sequence: u16, frame_number: u16, extensions: Extensions) -> Vec<u8> {
    const BLOAT: usize = 60_000;
    let header = Header { marker, handle: handle(9), sequence, frame_number, timestamp: 0, extensions };
    let mut bytes = vec![0; header.len()];
    header.write(&mut bytes).unwrap();
    if extensions == Extensions::default() {
        // The flag that announces extensions, and their length.
        bytes[0] |= 0x4;
        bytes.extend([0, 0]);
    }
    let words = (bytes.len() - 12 + BLOAT) / 4;
    bytes[12..14].copy_from_slice(&u16::try_from(words - 1).unwrap().to_be_bytes());
    bytes.resize(12 + words * 4, 0);
    assert_eq!(Header::parse(&bytes).unwrap().1, bytes.len());
    bytes.push(7);
    bytes
}

#[test]
fn a_streams_buffer_counts_the_memory_of_packets_and_not_their_payload() {
    const MAX_BYTES: usize = 100_000;
    for payload_bytes in [0, 1, 1_000] {
        let alive = Arc::new(AtomicUsize::new(0));
        let mut subscriber = subscriber();
        let track = subscribed(&mut subscriber);
        subscriber.unsubscribe(StreamId(1));
        let buffer = BufferPolicy::Bounded { max_frames: 100_000, max_bytes: MAX_BYTES, max_age: None };
        subscriber
            .subscribe(track, StreamId(2), SubscribeOptions { buffer, ..Default::default() }, at(0))
            .unwrap();
        for number in 0..5_000 {
            let plain = packet(9, Marker::Single, number, number, payload_bytes);
            receive(&mut subscriber, [Counted::wrap(&plain, &alive)], at(0));
            assert!(alive.load(Ordering::Relaxed) <= MAX_BYTES);
        }
        let stats = subscriber.stream_stats(StreamId(2)).unwrap();
        assert!(stats.buffered_bytes <= MAX_BYTES as u64);
        assert!(stats.buffered_bytes > MAX_BYTES as u64 / 2, "and uses what it may");
        assert!(alive.load(Ordering::Relaxed) as u64 <= stats.buffered_bytes);
    }
}

/// Headers longer than `LONGEST_KEPT_HEADER`.
#[test]
fn one_byte_of_payload_in_a_packet_of_60_kb_does_not_pin_the_packet() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut subscriber = subscriber();
    subscribed(&mut subscriber);
    for number in 0..1_000 {
        let single = bloated(Marker::Single, number, number, Extensions::default());
        receive(&mut subscriber, [Counted::wrap(&single, &alive)], at(0));
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0);
    assert_eq!(read(&mut subscriber, 1), vec![[7]; 1_000], "and each comes");
    for sequence in 0..100 {
        let marker = if sequence == 0 { Marker::Start } else { Marker::Inter };
        let part = bloated(marker, sequence, 2_000, Extensions::default());
        receive(&mut subscriber, [Counted::wrap(&part, &alive)], at(0));
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0, "nor in a partial frame");
}

#[test]
fn sealed_frames_that_wait_for_a_key_pin_no_packets_of_60_kb() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut subscriber = subscriber_with(hkdf());
    let track = announce(&mut subscriber, vec![sealed_info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    let e2ee = Some(E2eeExtension { key_index: 0, iv: [1; 12] });
    for number in 0..300 {
        let single = bloated(Marker::Single, number, number, Extensions { e2ee, user_timestamp: None });
        receive(&mut subscriber, [Counted::wrap(&single, &alive)], at(0));
    }
    assert_eq!(subscriber.track_stats(track).unwrap().open, 256);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn early_packets_are_counted_whole() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut subscriber = subscriber();
    for number in 0..1_000 {
        let single = bloated(Marker::Single, number, number, Extensions::default());
        receive(&mut subscriber, [Counted::wrap(&single, &alive)], at(0));
        assert!(alive.load(Ordering::Relaxed) <= 256 << 10);
    }
    assert!(subscriber.packet_stats().held > 1);
}
