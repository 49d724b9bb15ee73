//! The driver against a real livekit-server. `LIVEKIT_SERVER_BIN` names its program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use datatrack::packet::Handle;
use datatrack::subscriber::StreamId;
use datatrack_transport::connection::{ConnectionMode, ConnectionOptions, PeerState, Target};
use datatrack_transport::peer::{ChannelKind, PROBE, Protocol};
use livekit_protocol as proto;
use prost::Message;
use support::server::Server;
use support::{PATIENCE, Participant, room};

const MODES: [ConnectionMode; 2] = [ConnectionMode::Single, ConnectionMode::Dual];

/// The payload that [`warm_up`] sends.
const WARM_UP: &[u8] = b"warm-up";

/// Pushes until a frame arrives. The server drops frames that it cannot forward yet: before the subscriber's channel is
/// open, and during an ICE restart.
async fn warm_up(from: &Participant, track: Handle, to: &Participant, stream: StreamId) {
    let started = Instant::now();
    loop {
        from.push(track, WARM_UP).unwrap();
        if tokio::time::timeout(Duration::from_millis(100), to.try_read(stream)).await.is_ok() {
            return;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "nothing comes: {:?} {:?} {:?}\n{:?}\n{:?}",
            from.seen(),
            to.seen(),
            from.link.publisher(|p, _| p.track_stats(track)),
            from.connection.stats(),
            to.connection.stats()
        );
    }
}

/// Pushes each frame after the one before arrived. No frame may be lost.
async fn exchange(from: &Participant, track: Handle, to: &Participant, stream: StreamId, sizes: &[usize]) {
    for (index, &size) in sizes.iter().enumerate() {
        let payload: Vec<u8> = (0..size).map(|byte| (byte * 7 + index) as u8).collect();
        from.push(track, &payload).unwrap();
        let mut came = to.read(stream).await.payload.to_bytes();
        while came == WARM_UP {
            came = to.read(stream).await.payload.to_bytes();
        }
        assert!(came == payload, "frame {index} of {size} bytes");
    }
}

/// Joins two participants. The right one subscribes to the left one's track.
async fn pair(server: &Server, options: ConnectionOptions) -> (Participant, Handle, Participant, StreamId) {
    let room = room();
    let left = Participant::join(server, &room, "left", options.clone()).await;
    let right = Participant::join(server, &room, "right", options).await;
    let track = left.publish("there").await;
    let stream = right.subscribe("there").await;
    warm_up(&left, track, &right, stream).await;
    (left, track, right, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_all_sizes_go_both_ways() {
    let Some(server) = Server::start() else { return };
    for mode in MODES {
        let (left, track, right, stream) = pair(&server, ConnectionOptions::new(mode)).await;
        let sizes = [0, 1, 256, 15_988, 15_989, 1_000];
        exchange(&left, track, &right, stream, &sizes).await;
        let back = right.publish("back").await;
        let stream = left.subscribe("back").await;
        warm_up(&right, back, &left, stream).await;
        exchange(&right, back, &left, stream, &sizes).await;
        assert_eq!(left.seen().sdp_rejected + right.seen().sdp_rejected, 0);
        assert_eq!(left.connection.stats().publisher.protocol, Some(Protocol::Udp));
        let stats = left.connection.stats();
        assert!(stats.data_track.messages_sent >= 7 && stats.data_track.messages_received >= 7, "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_serves_where_udp_does_not() {
    let Some(server) = Server::start() else { return };
    for mode in MODES {
        let options = ConnectionOptions { udp: false, ..ConnectionOptions::new(mode) };
        let (left, track, right, stream) = pair(&server, options).await;
        exchange(&left, track, &right, stream, &[1, 256, 15_989]).await;
        assert_eq!(left.connection.stats().publisher.protocol, Some(Protocol::Tcp));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_outlive_restarts_of_ice() {
    let Some(server) = Server::start() else { return };
    // Only UDP is used. When livekit-server 1.13.5 restarts ICE over TCP, its writes to the old connection fail, and
    // pion's SCTP association ends without any message.
    for mode in MODES {
        let (left, track, right, stream) = pair(&server, ConnectionOptions::new(mode)).await;
        for round in 0..2 {
            // Frames are in flight all the time, during the ICE restarts of both.
            let connected = (left.seen().connected, right.seen().connected);
            left.connection.create_offer();
            right.connection.create_offer();
            let started = Instant::now();
            while left.seen().connected == connected.0 || right.seen().connected == connected.1 {
                warm_up(&left, track, &right, stream).await;
                assert!(
                    started.elapsed() < PATIENCE,
                    "{mode:?} {round}: {:?} {:?}",
                    left.seen(),
                    right.seen()
                );
            }
            warm_up(&left, track, &right, stream).await;
            exchange(&left, track, &right, stream, &[300; 20]).await;
            assert!(!left.seen().failed && !right.seen().failed, "round {round}");
        }
    }
}

#[test]
fn a_probe_is_a_packet_that_no_participant_gets() {
    let packet = proto::DataPacket::decode(&PROBE[..]).unwrap();
    assert_eq!(packet.destination_identities, ["\0"]);
    let trailer = proto::data_stream::Trailer::default();
    assert_eq!(packet.value, Some(proto::data_packet::Value::StreamTrailer(trailer)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_by_their_channels() {
    let Some(server) = Server::start() else { return };
    for mode in MODES {
        let (left, _, right, _) = pair(&server, ConnectionOptions::new(mode)).await;
        for (channel, text) in [(ChannelKind::Reliable, "surely"), (ChannelKind::Lossy, "maybe")] {
            let packet = proto::DataPacket {
                value: Some(proto::data_packet::Value::User(proto::UserPacket {
                    payload: text.into(),
                    ..Default::default()
                })),
                ..Default::default()
            };
            left.connection.send(channel, packet.encode_to_vec().into(), false).unwrap();
            right.wait(|seen| seen.messages.iter().any(|message| carries(message, text))).await;
        }
    }
}

fn carries(message: &Bytes, text: &str) -> bool {
    message.windows(text.len()).any(|window| window == text.as_bytes())
}

/// pion obeys the I bit (RFC 7053). Without it each acknowledgement takes 200 ms.
#[cfg(not(feature = "sctp-stock"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_acknowledges_a_lone_message_at_once() {
    let Some(server) = Server::start() else { return };
    let (left, ..) = pair(&server, ConnectionOptions::new(ConnectionMode::Single)).await;
    let buffered = || left.connection.buffered(ChannelKind::Reliable);
    let started = Instant::now();
    let mut shortest = Duration::MAX;
    for _ in 0..10 {
        let sent = Instant::now();
        left.connection.send(ChannelKind::Reliable, PROBE.to_vec().into(), false).unwrap();
        while buffered() > 0 {
            assert!(started.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shortest = shortest.min(sent.elapsed());
    }
    // The shortest of ten: a busy machine may delay some of them.
    assert!(shortest < Duration::from_millis(150), "{shortest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_is_told_once_and_ends_the_server_side() {
    let Some(server) = Server::start() else { return };
    for mode in MODES {
        let (left, track, right, stream) = pair(&server, ConnectionOptions::new(mode)).await;
        left.connection.close();
        left.connection.close();
        left.wait(|seen| seen.states.get(&Target::Publisher) == Some(&PeerState::Closed)).await;
        assert!(!left.seen().failed);
        // Frames that cannot leave stay in the track's queue, under its rules.
        left.push(track, b"late").unwrap();
        let late = tokio::time::timeout(Duration::from_millis(50), right.try_read(stream)).await;
        assert!(late.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_data_tracks_keeps_messages_going() {
    let Some(server) = Server::start() else { return };
    let (left, track, right, _stream) = pair(&server, ConnectionOptions::new(ConnectionMode::Single)).await;
    let flood = {
        let link = left.link.clone();
        let frame = vec![1; 60_000];
        tokio::spawn(async move {
            loop {
                let _ = link.push(track, &frame, None);
                tokio::task::yield_now().await;
            }
        })
    };
    for round in 0..20 {
        let text = format!("message {round}.");
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(proto::UserPacket {
                payload: text.clone().into_bytes(),
                ..Default::default()
            })),
            ..Default::default()
        };
        left.connection.send(ChannelKind::Reliable, packet.encode_to_vec().into(), false).unwrap();
        right.wait(|seen| seen.messages.iter().any(|message| carries(message, &text))).await;
    }
    flood.abort();
    let stats = left.connection.stats();
    assert!(stats.data_track.buffered <= stats.data_track_limit, "{stats:?}");
}
