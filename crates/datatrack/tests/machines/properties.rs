//! Properties that hold in every run.

use std::collections::HashMap;
use std::time::Duration;

use datatrack::Handle;
use datatrack::publisher::{PublishOptions, PublisherEvent, SessionEncryption};
use datatrack::subscriber::{BufferPolicy, StreamId, SubscribeOptions, SubscriberEvent, TrackId};
use proptest::prelude::*;

use crate::support::*;

fn lens() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..300_usize, 2 => 15_900..16_100_usize, 2 => 16_000..120_000_usize]
}

/// A stream whose buffer drops no frame.
fn all() -> SubscribeOptions {
    let buffer = BufferPolicy::Frames(usize::MAX);
    SubscribeOptions { buffer, ..Default::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..Default::default() })]

    /// Each delivered frame was pushed, is intact, and comes at most once for each stream. The counters of both sides
    /// agree.
    #[test]
    fn whatever_the_network_does_frames_arrive_whole_and_once(
        seed in any::<u64>(),
        lens in prop::collection::vec(lens(), 1..40),
        (loss, duplicate, reorder) in (0..400_u32, 0..400_u32, 0..400_u32),
        delay_ms in 0..50_u64,
        gap_ms in 0..30_u64,
        sealed in any::<bool>(),
    ) {
        let encryption = if sealed { hkdf() } else { SessionEncryption::None };
        let mut pair = Pair::new(seed, Weather { loss, duplicate, reorder, delay_ms }, encryption);
        if sealed {
            pair.alice.machine.set_key(0, key(1)).unwrap();
            pair.bob.machine.set_key(of_alice(), 0, key(1)).unwrap();
        }
        let options = if sealed { encrypted("a") } else { PublishOptions::new("a") };
        let (track, remote) = pair.with_track(options);
        pair.bob.machine.subscribe(remote, StreamId(2), all(), pair.now).unwrap();
        for (number, &len) in lens.iter().enumerate() {
            pair.alice.machine.push(track, &payload(number, len), Some(number as u64), pair.now).unwrap();
            pair.progress(ms(gap_ms));
        }
        pair.progress(Duration::from_secs(2));

        let sent = pair.alice.machine.track_stats(track).unwrap();
        prop_assert_eq!((sent.pushed, sent.sent), (lens.len() as u64, lens.len() as u64));
        let mut counts = Vec::new();
        for stream in [1, 2] {
            let mut seen = vec![false; lens.len()];
            for frame in frames(&mut pair.bob.machine, stream) {
                let number = frame.user_timestamp.unwrap() as usize;
                prop_assert!(!std::mem::replace(&mut seen[number], true), "frame {} twice", number);
                prop_assert_eq!(usize::from(frame.number), number);
                prop_assert!(frame.payload.to_bytes() == payload(number, lens[number]));
            }
            counts.push(seen.iter().filter(|seen| **seen).count() as u64);
        }
        let received = pair.bob.machine.track_stats(remote).unwrap();
        prop_assert_eq!((received.completed, received.open), (counts[1], 0));
        prop_assert!(counts[0] <= counts[1]);
        if loss == 0 && reorder == 0 {
            prop_assert_eq!(counts[1], lens.len() as u64);
        }
        pair.check();
    }

    /// No order of a frame's packets loses the frame, unlike with the references.
    #[test]
    fn reordered_packets_of_one_frame_lose_nothing(
        order in (2..40_usize).prop_flat_map(|packets| Just((0..packets).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let mut subscriber = subscriber();
        subscribed(&mut subscriber);
        let bytes = payload(1, (order.len() - 1) * 15_988 + 1);
        let packets = Sender::new(9).frame(&bytes);
        prop_assert_eq!(packets.len(), order.len());
        receive(&mut subscriber, order.iter().map(|&index| packets[index].clone()), at(0));
        prop_assert!(read(&mut subscriber, 1) == [bytes]);
    }

    /// Any sequence of calls on both machines: exactly one end for each publication and each stream, and counters that
    /// add up.
    #[test]
    fn whatever_is_done_each_publication_and_stream_ends_once(
        seed in any::<u64>(),
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let weather = Weather { loss: 100, duplicate: 100, reorder: 100, delay_ms: 10 };
        let mut pair = Pair::new(seed, weather, SessionEncryption::None);
        let mut published = Vec::new();
        let mut opened = 0;
        for operation in operations {
            let Pair { alice, bob, now, .. } = &mut pair;
            match operation {
                Operation::Publish(name) => {
                    let options = PublishOptions::new(format!("{}", name % 4));
                    published.extend(alice.machine.publish(options, *now));
                }
                Operation::Cancel(track) => alice.machine.cancel_publish(number(track)),
                Operation::Unpublish(track) => alice.machine.unpublish(number(track)),
                Operation::Push(track, len) => {
                    let _ = alice.machine.push(number(track), &payload(1, len), None, *now);
                }
                Operation::Subscribe(track) => {
                    let stream = StreamId(opened + 1);
                    let track = TrackId(u32::from(track % 4));
                    opened += u32::from(bob.machine.subscribe(track, stream, all(), *now).is_ok());
                }
                Operation::Read(stream) => drop(frames(&mut bob.machine, u32::from(stream % 8) + 1)),
                Operation::Progress(duration) => pair.progress(ms(duration)),
                Operation::Rebuild => pair.rebuild(),
                Operation::Interrupt(duration) => {
                    alice.machine.handle_connection_lost();
                    bob.machine.handle_connection_lost();
                    pair.progress(ms(duration));
                    pair.alice.machine.handle_resumed(pair.now);
                    pair.bob.machine.handle_resumed(pair.now);
                }
                Operation::SfuUnpublish(track) => alice.machine.handle_unpublish_response(number(track)),
            }
            pair.settle();
            pair.check();
        }
        pair.alice.machine.close();
        pair.bob.machine.close();
        pair.settle();
        pair.check();
        let mut told = HashMap::new();
        for event in &pair.alice.told {
            if let PublisherEvent::Published { handle, .. } = event {
                *told.entry(*handle).or_insert(0) += 1;
            }
        }
        for handle in published {
            prop_assert_eq!(pair.ends_of(handle), 1, "{:?}", pair.alice.told);
            prop_assert!(told.get(&handle).is_none_or(|times| *times == 1));
        }
        for stream in (1..=opened).map(StreamId) {
            let count = |wanted: &dyn Fn(&SubscriberEvent) -> bool| {
                pair.bob.told.iter().filter(|event| wanted(event)).count()
            };
            let ends = count(
                &|event| matches!(event, SubscriberEvent::StreamEnded { stream: ended, .. } if *ended == stream),
            );
            prop_assert_eq!(ends, 1);
            let begun =
                count(&|event| matches!(event, SubscriberEvent::Subscribed { stream: begun } if *begun == stream));
            prop_assert!(begun <= 1);
        }
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Publish(u8),
    Cancel(u8),
    Unpublish(u8),
    Push(u8, usize),
    Subscribe(u8),
    Read(u8),
    Progress(u64),
    Rebuild,
    Interrupt(u64),
    SfuUnpublish(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => any::<u8>().prop_map(Operation::Publish),
        1 => any::<u8>().prop_map(Operation::Cancel),
        1 => any::<u8>().prop_map(Operation::Unpublish),
        6 => (any::<u8>(), lens()).prop_map(|(track, len)| Operation::Push(track, len)),
        3 => any::<u8>().prop_map(Operation::Subscribe),
        3 => any::<u8>().prop_map(Operation::Read),
        4 => (0..600_u64).prop_map(Operation::Progress),
        1 => Just(Operation::Rebuild),
        1 => (0..20_000_u64).prop_map(Operation::Interrupt),
        1 => any::<u8>().prop_map(Operation::SfuUnpublish),
    ]
}

fn number(track: u8) -> Handle {
    handle(u16::from(track % 4) + 1)
}
