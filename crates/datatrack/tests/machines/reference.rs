//! The same scenarios for LiveKit's own manager (`livekit-datatrack` 0.2.4) and for ours.

use std::time::Duration;

use bytes::Bytes;
use datatrack::subscriber::{StreamId, SubscribeOptions};
use livekit_datatrack::api::DataTrackStream;
use livekit_datatrack::backend::remote::{self, InputEvent};
use livekit_protocol as proto;
use tokio_stream::StreamExt;

use crate::support::*;

/// Fails instead of hanging. No test passes or fails by how long an operation took.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}

/// The reference's input event that announces that many tracks of Alice.
fn announcement(tracks: usize) -> InputEvent {
    let data_tracks = (0..tracks)
        .map(|number| proto::DataTrackInfo {
            pub_handle: number as u32 + 1,
            sid: format!("DTR_{number}"),
            name: format!("track {number}"),
            ..Default::default()
        })
        .collect();
    let participant = proto::ParticipantInfo { identity: ALICE.into(), data_tracks, ..Default::default() };
    let mut update = proto::ParticipantUpdate { participants: vec![participant] };
    remote::event_from_participant_update(&mut update, "bob").unwrap().into()
}

/// The reference's manager, subscribed to `DTR_0` under handle 9.
async fn their_subscriber() -> (remote::ManagerInput, DataTrackStream) {
    let (manager, input, mut output) =
        remote::Manager::new(remote::ManagerOptions { decryption_provider: None });
    tokio::spawn(manager.run());
    input.send(announcement(1)).unwrap();
    let Some(remote::OutputEvent::TrackPublished(published)) = soon(output.next()).await else {
        panic!("no track")
    };
    let subscribing = tokio::spawn(async move { published.track.subscribe().await });
    soon(output.next()).await.unwrap();
    let track = proto::data_track_subscriber_handles::PublishedDataTrack {
        publisher_identity: ALICE.into(),
        track_sid: "DTR_0".into(),
        ..Default::default()
    };
    let handles = proto::DataTrackSubscriberHandles { sub_handles: [(9, track)].into() };
    input.send(InputEvent::SfuSubscriberHandles(handles.try_into().unwrap())).unwrap();
    (input, soon(subscribing).await.unwrap().unwrap())
}

async fn all_tasks_ran() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_burst_of_17_packets_is_lost_by_the_reference_and_kept_by_ours() {
    let burst = payload(1, 16 * 15_988 + 1);
    let after = payload(2, 100);
    let mut sender = Sender::new(9);
    let packets = [sender.frame(&burst), sender.frame(&after)];
    assert_eq!(packets[0].len(), 17);

    let (input, mut stream) = their_subscriber().await;
    for packets in &packets {
        for packet in packets {
            input.send(InputEvent::PacketReceived(packet.clone())).unwrap();
        }
        all_tasks_ran().await;
    }
    let first = soon(stream.next()).await.unwrap();
    assert!(first.payload() == after, "they have lost the burst");

    let mut ours = subscriber();
    subscribed(&mut ours);
    receive(&mut ours, packets.concat(), at(0));
    assert!(read(&mut ours, 1) == [burst, after]);
}

#[tokio::test(flavor = "current_thread")]
async fn signals_in_a_packet_flood_are_lost_by_the_reference_and_kept_by_ours() {
    const FLOOD: usize = 1_000;
    let packet: Bytes = Sender::new(9).frame(b"flood").remove(0);

    let (input, _stream) = their_subscriber().await;
    let mut lost = 0;
    for tracks in 1..=FLOOD {
        // A refused packet is acceptable. A refused signal is lost for good.
        let _ = input.send(InputEvent::PacketReceived(packet.clone()));
        lost += usize::from(input.send(announcement(tracks % 3)).is_err());
    }
    assert!(lost > FLOOD / 4, "{lost} signals lost");

    let mut ours = subscriber();
    subscribed(&mut ours);
    let mut announced = 0;
    for round in 0..FLOOD {
        receive(&mut ours, [packet.clone()], at(0));
        let infos = (0..=round % 3).map(|n| info(n as u16 + 1, &format!("{round}x{n}"), &format!("{n}")));
        ours.handle_publication_update("carol", infos.collect(), at(0));
        announced += events(&mut ours).len();
    }
    // Each round adds a track, changes another one's SID, or ends some. So each round has an effect.
    assert!(announced >= FLOOD);
    assert_eq!(ours.packet_stats().received, FLOOD as u64);
    assert_packets_close(ours.packet_stats());
}

#[tokio::test(flavor = "current_thread")]
async fn buffer_sizes_are_rounded_and_shared_by_the_reference_and_exact_in_ours() {
    use livekit_datatrack::api::DataTrackSubscribeOptions;
    let (manager, input, mut output) =
        remote::Manager::new(remote::ManagerOptions { decryption_provider: None });
    tokio::spawn(manager.run());
    input.send(announcement(1)).unwrap();
    let Some(remote::OutputEvent::TrackPublished(published)) = soon(output.next()).await else {
        panic!("no track")
    };
    let track = published.track.clone();
    let first = tokio::spawn(async move {
        track.subscribe_with_options(DataTrackSubscribeOptions::default().with_buffer_size(5)).await
    });
    soon(output.next()).await.unwrap();
    let named = proto::data_track_subscriber_handles::PublishedDataTrack {
        publisher_identity: ALICE.into(),
        track_sid: "DTR_0".into(),
        ..Default::default()
    };
    let handles = proto::DataTrackSubscriberHandles { sub_handles: [(9, named)].into() };
    input.send(InputEvent::SfuSubscriberHandles(handles.try_into().unwrap())).unwrap();
    let mut first = soon(first).await.unwrap().unwrap();
    let options = DataTrackSubscribeOptions::default().with_buffer_size(100);
    let mut second = soon(published.track.subscribe_with_options(options)).await.unwrap();
    let mut sender = Sender::new(9);
    let packets = (0..50_u8).map(|number| sender.frame(&[number]).remove(0)).collect::<Vec<_>>();
    for packet in &packets {
        input.send(InputEvent::PacketReceived(packet.clone())).unwrap();
        all_tasks_ran().await;
    }
    // 50 frames came, and the last 8 are left for both streams: 5 was rounded up, and 100 was ignored.
    for stream in [&mut first, &mut second] {
        assert_eq!(soon(stream.next()).await.unwrap().payload(), vec![42]);
    }

    let mut ours = subscriber();
    let track = announce(&mut ours, vec![info(1, "a", "a")], at(0))[0];
    for (stream, size) in [(1, 5), (2, 100)] {
        let buffer = datatrack::subscriber::BufferPolicy::Frames(size);
        let options = SubscribeOptions { buffer, ..Default::default() };
        ours.subscribe(track, StreamId(stream), options, at(0)).unwrap();
    }
    ours.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    receive(&mut ours, packets, at(0));
    assert_eq!((read(&mut ours, 1).len(), read(&mut ours, 2).len()), (5, 50));
}

/// Every interleaving of two frames' packets that keeps each frame's own order.
fn interleavings(left: &[Bytes], right: &[Bytes]) -> Vec<Vec<Bytes>> {
    match (left, right) {
        ([], rest) | (rest, []) => vec![rest.to_vec()],
        ([first, left_rest @ ..], [other, right_rest @ ..]) => {
            let before = interleavings(left_rest, right).into_iter().map(|rest| (first, rest));
            let after = interleavings(left, right_rest).into_iter().map(|rest| (other, rest));
            before.chain(after).map(|(packet, rest)| [vec![packet.clone()], rest].concat()).collect()
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn two_frames_in_each_others_way_are_delivered_whole_by_ours_and_one_of_them_by_the_reference() {
    let payloads = [payload(1, 2 * 15_988 + 1), payload(2, 2 * 15_988 + 1)];
    let mut sender = Sender::new(9);
    let [older, newer] = payloads.clone().map(|payload| sender.frame(&payload));
    let after = payload(3, 10);
    let last = sender.frame(&after);

    let mut delivered_by_theirs = [0, 0];
    let orders = interleavings(&older, &newer);
    assert_eq!(orders.len(), 20);
    for order in orders {
        let (input, mut stream) = their_subscriber().await;
        for packet in order.iter().chain(&last) {
            input.send(InputEvent::PacketReceived(packet.clone())).unwrap();
            all_tasks_ran().await;
        }
        let mut theirs = Vec::new();
        while theirs.last() != Some(&after) {
            theirs.push(soon(stream.next()).await.unwrap().payload().to_vec());
        }
        for (count, payload) in delivered_by_theirs.iter_mut().zip(&payloads) {
            *count += u32::from(theirs.contains(payload));
        }

        let mut ours = subscriber();
        subscribed(&mut ours);
        receive(&mut ours, order.into_iter().chain(last.clone()), at(0));
        let ours = read(&mut ours, 1);
        assert_eq!(ours.len(), 3);
        assert!(theirs.iter().all(|frame| ours.contains(frame)), "what the reference delivers, so do we");
    }
    // The reference loses one of the two frames in every order except the two without interleaving. It delivers an
    // overtaken frame if that frame begins last.
    assert!(delivered_by_theirs[0] > 1 && delivered_by_theirs[1] > 1, "{delivered_by_theirs:?}");
    assert!(delivered_by_theirs.iter().sum::<u32>() < 40, "{delivered_by_theirs:?}");
}
