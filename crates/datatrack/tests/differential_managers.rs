//! Our packetizer and depacketizer compared with those of the `livekit-datatrack` crate, which its public managers
//! wrap.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use bytes::Bytes;
use datatrack::Instant;
use datatrack::depacketizer::{Depacketizer, DepacketizerOptions, Outcome};
use datatrack::packet::{Extensions, Handle, Header, MTU};
use datatrack::packetizer::{Packetizer, PacketizerOptions};
use livekit_datatrack::api::{DataTrackFrame, DataTrackOptions};
use livekit_datatrack::backend::{local, remote};
use livekit_protocol as proto;
use tokio_stream::StreamExt;

const SID: &str = "DTR_1234";

/// Sizes around the capacity of one, two and many packets, with and without a timestamp.
const SIZES: [usize; 16] = [
    1, 64, 1_024, 15_975, 15_976, 15_977, 15_987, 15_988, 15_989, 31_952, 31_953, 31_976, 31_977, 200_000,
    250_000, 255_000,
];

fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8).collect()
}

fn frames() -> impl Iterator<Item = (Vec<u8>, Option<u64>)> {
    SIZES.iter().enumerate().flat_map(|(seed, &len)| {
        [None, Some(seed as u64)].map(|user_timestamp| (payload(seed, len), user_timestamp))
    })
}

fn info() -> proto::DataTrackInfo {
    proto::DataTrackInfo { pub_handle: 1, sid: SID.into(), name: "track".into(), ..Default::default() }
}

/// Fails instead of hanging. No test passes or fails by how long an operation took.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn we_cut_frames_as_they_do_and_assemble_what_they_send() {
    let (manager, input, mut output) =
        local::Manager::new(local::ManagerOptions { encryption_provider: None });
    let task = tokio::spawn(manager.run());
    let publishing = tokio::spawn({
        let input = input.clone();
        async move { input.publish_track(DataTrackOptions::new("track")).await.unwrap() }
    });
    let Some(local::OutputEvent::SfuPublishRequest(request)) = soon(output.next()).await else {
        panic!("no publish request")
    };
    assert_eq!(u16::from(request.handle), 1);
    let response = proto::PublishDataTrackResponse { info: Some(info()) };
    input.send(local::InputEvent::SfuPublishResponse(response.try_into().unwrap())).unwrap();
    let track = soon(publishing).await.unwrap();

    let mut packetizer = Packetizer::new(Handle::new(1).unwrap(), PacketizerOptions::default());
    let mut depacketizer = Depacketizer::new(DepacketizerOptions::default());
    for (payload, user_timestamp) in frames() {
        let frame = DataTrackFrame::new(payload.clone());
        let frame = match user_timestamp {
            Some(timestamp) => frame.with_user_timestamp(timestamp),
            None => frame,
        };
        track.try_push(frame).unwrap();
        let Some(local::OutputEvent::PacketsAvailable(packets)) = soon(output.next()).await else {
            panic!("no packets")
        };

        let (header, _) = Header::parse(&packets[0]).unwrap();
        let extensions = Extensions { e2ee: None, user_timestamp };
        let mut ours = Vec::new();
        let layout = packetizer.packetize(&payload, 0, extensions, header.timestamp, &mut ours).unwrap();
        assert_eq!(usize::from(layout.packets), packets.len());
        for (index, packet) in (0..).zip(&packets) {
            assert!(
                ours[layout.range(index).unwrap()] == packet[..],
                "packet {index} of {} bytes",
                payload.len()
            );
        }

        let (last, others) = packets.split_last().unwrap();
        for packet in others {
            assert!(matches!(take(&mut depacketizer, packet), Outcome::Pending));
        }
        let Outcome::Frame(frame) = take(&mut depacketizer, last) else { panic!("no frame") };
        assert!(frame.payload.to_bytes() == payload);
        assert_eq!(frame.extensions, extensions);
    }
    assert_eq!(depacketizer.stats().completed, SIZES.len() as u64 * 2);
    drop((track, input));
    soon(task).await.unwrap();
}

fn take(depacketizer: &mut Depacketizer, packet: &Bytes) -> Outcome {
    let (header, payload_at) = Header::parse(packet).unwrap();
    depacketizer.handle_packet(&header, packet.slice(payload_at..), Instant::ZERO)
}

#[tokio::test(flavor = "current_thread")]
async fn they_assemble_what_we_send() {
    let (manager, input, mut output) =
        remote::Manager::new(remote::ManagerOptions { decryption_provider: None });
    let task = tokio::spawn(manager.run());
    let participant = proto::ParticipantInfo {
        identity: "publisher".into(),
        data_tracks: vec![info()],
        ..Default::default()
    };
    let mut update = proto::ParticipantUpdate { participants: vec![participant] };
    let update = remote::event_from_participant_update(&mut update, "subscriber").unwrap();
    input.send(update.into()).unwrap();
    let Some(remote::OutputEvent::TrackPublished(published)) = soon(output.next()).await else {
        panic!("no track")
    };
    let subscribing = tokio::spawn(async move { published.track.subscribe().await });
    let Some(remote::OutputEvent::SfuUpdateSubscription(_)) = soon(output.next()).await else {
        panic!("no subscription")
    };
    let ours = proto::data_track_subscriber_handles::PublishedDataTrack {
        publisher_identity: "publisher".into(),
        track_sid: SID.into(),
        ..Default::default()
    };
    let handles = proto::DataTrackSubscriberHandles { sub_handles: [(77, ours)].into() };
    input.send(remote::InputEvent::SfuSubscriberHandles(handles.try_into().unwrap())).unwrap();
    let mut stream = soon(subscribing).await.unwrap().unwrap();

    let mut packetizer = Packetizer::new(Handle::new(77).unwrap(), PacketizerOptions::default());
    // The reference delivers an empty frame that it receives, although it sends none.
    for (payload, user_timestamp) in frames().chain([(Vec::new(), None), (Vec::new(), Some(0))]) {
        let extensions = Extensions { e2ee: None, user_timestamp };
        let mut packets = Vec::new();
        packetizer.packetize(&payload, 0, extensions, 5, &mut packets).unwrap();
        for packet in packets.chunks(MTU) {
            input.send(remote::InputEvent::PacketReceived(Bytes::copy_from_slice(packet))).unwrap();
            // The reference's queues are short. This lets both of its tasks empty them.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        let frame = soon(stream.next()).await.unwrap();
        assert!(frame.payload() == payload, "{} bytes", payload.len());
        assert_eq!(frame.user_timestamp(), user_timestamp);
    }
    drop((stream, input));
    soon(task).await.unwrap();
}
