//! A participant that writes whatever it wants to `_data_track`, through a real server. `npm run soak` starts it beside
//! the participant that floods the other channels.
//!
//!     raw_participant <URL> <token>
//!
//! It publishes a track and runs until it is killed. What it has sent is printed every ten seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use datatrack::packet::{E2eeExtension, Extensions, Handle, Header, Marker};
use datatrack_transport::peer::{ChannelKind, LocalCandidate, Peer, PeerEvent, Protocol, Sent};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tokio::net::UdpSocket;
use tokio_tungstenite::tungstenite::Message;

/// Bytes a second that are written at most: with those of the other one, more than a participant can be sent.
const RATE: f64 = 20_000_000.0;
/// Bytes that the channel holds at most.
const AHEAD: usize = 256 << 10;
/// The handle of the track that there is.
const HANDLE: u16 = 1;
/// Largest payload of a packet.
const LARGEST: usize = 15_900;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (url, token) = (arguments.next().expect("a URL"), arguments.next().expect("a token"));
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let local = socket.local_addr().expect("its address");
    let mut peer = Peer::offering(Instant::now());
    peer.add_local_candidate(LocalCandidate::Host(Protocol::Udp, local), Instant::now());
    let offer = peer.create_offer(Instant::now()).expect("an offer");
    let (signalling, _) =
        tokio_tungstenite::connect_async(join_url(&url, &token, offer)).await.expect("a room");
    let (mut requests, mut responses) = signalling.split();
    let publish = proto::PublishDataTrackRequest {
        pub_handle: u32::from(HANDLE),
        name: "raw".into(),
        ..Default::default()
    };
    let mut flood = Flood::new();
    let mut received = vec![0; 65_536];
    let mut ping = tokio::time::interval(Duration::from_secs(5));
    let mut report = tokio::time::interval(Duration::from_secs(10));
    loop {
        let now = Instant::now();
        flood.write(&mut peer, now);
        peer.flush(now);
        while let Some(datagram) = peer.poll_transmit() {
            let _ = socket.try_send_to(&datagram.contents, datagram.remote);
        }
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::Connected => {
                    let request = Request::PublishDataTrackRequest(publish.clone());
                    requests.send(encoded(request)).await.expect("a server");
                }
                PeerEvent::Closed => panic!("the server has closed the connection"),
                _ => {}
            }
        }
        let due = peer.poll_timeout().unwrap_or(now);
        let next = if peer.is_connected() { due.min(now + Duration::from_millis(1)) } else { due };
        tokio::select! {
            arrived = socket.recv_from(&mut received) => {
                if let Ok((len, remote)) = arrived {
                    take(&mut peer, local, remote, &received[..len]);
                }
            }
            response = responses.next() => match response {
                Some(Ok(Message::Binary(bytes))) => handle(&mut peer, proto::SignalResponse::decode(bytes).unwrap()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => panic!("the server has closed the signalling connection"),
            },
            _ = ping.tick() => {
                requests.send(encoded(Request::PingReq(proto::Ping::default()))).await.expect("a server");
            }
            _ = report.tick() => println!("{} packets, {} MB", flood.packets, flood.bytes / 1_000_000),
            () = tokio::time::sleep_until(next.into()) => peer.handle_timeout(Instant::now()),
        }
        while let Ok((len, remote)) = socket.try_recv_from(&mut received) {
            take(&mut peer, local, remote, &received[..len]);
        }
    }
}

fn take(peer: &mut Peer, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
    peer.handle_datagram(Protocol::Udp, local, remote, datagram, Instant::now());
}

fn join_url(url: &str, token: &str, sdp: String) -> String {
    let offer = proto::SessionDescription { r#type: "offer".into(), sdp, id: 1, ..Default::default() };
    let client = proto::ClientInfo {
        sdk: proto::client_info::Sdk::Node as i32,
        protocol: 17,
        client_protocol: 1,
        ..Default::default()
    };
    let join = proto::JoinRequest {
        client_info: Some(client),
        publisher_offer: Some(offer),
        connection_settings: Some(proto::ConnectionSettings::default()),
        ..Default::default()
    };
    let wrapped = proto::WrappedJoinRequest { join_request: join.encode_to_vec(), ..Default::default() };
    let parameter = URL_SAFE.encode(wrapped.encode_to_vec()).replace('=', "%3D");
    format!("{url}/rtc/v1?join_request={parameter}&access_token={token}")
}

fn encoded(message: Request) -> Message {
    Message::Binary(proto::SignalRequest { message: Some(message) }.encode_to_vec().into())
}

fn handle(peer: &mut Peer, response: proto::SignalResponse) {
    let now = Instant::now();
    match response.message {
        Some(Response::Answer(answer)) => peer.handle_answer(&answer.sdp, now).expect("an answer"),
        Some(Response::Trickle(trickle)) => {
            let init: serde_json::Value = serde_json::from_str(&trickle.candidate_init).unwrap_or_default();
            let _ = peer.add_remote_candidate(init["candidate"].as_str().unwrap_or_default(), now);
        }
        _ => {}
    }
}

/// Packets that no publisher would send.
struct Flood {
    dice: fastrand::Rng,
    begun: Option<Instant>,
    packets: u64,
    bytes: u64,
}

impl Flood {
    fn new() -> Self {
        Self { dice: fastrand::Rng::with_seed(1), begun: None, packets: 0, bytes: 0 }
    }

    /// Writes as many as the rate and the channel allow.
    fn write(&mut self, peer: &mut Peer, now: Instant) {
        if !peer.is_connected() {
            return;
        }
        let begun = *self.begun.get_or_insert(now);
        let most = (now - begun).as_secs_f64() * RATE;
        while (self.bytes as f64) < most && peer.buffered(ChannelKind::DataTrack) < AHEAD {
            let packet = self.packet();
            if peer.write(ChannelKind::DataTrack, &packet, now) != Sent::Yes {
                return;
            }
            self.packets += 1;
            self.bytes += packet.len() as u64;
        }
    }

    /// A header, and any payload. The header is well-formed: with another one livekit-server 1.13.5 itself ends.
    fn packet(&mut self) -> Vec<u8> {
        let mut packet = self.headed();
        let dice = &mut self.dice;
        let len = if dice.bool() { dice.usize(..64) } else { dice.usize(..LARGEST) };
        packet.extend(std::iter::repeat_with(|| dice.u8(..)).take(len));
        packet
    }

    /// A header: of the track that there is, or of any other; numbers that go on, jump or repeat.
    fn headed(&mut self) -> Vec<u8> {
        let dice = &mut self.dice;
        let handle = if dice.u8(..) < 64 { dice.u16(1..) } else { HANDLE };
        let number = if dice.bool() { (self.packets / 4) as u16 } else { dice.u16(..) };
        let e2ee = dice.bool().then(|| E2eeExtension { key_index: dice.u8(..), iv: [dice.u8(..); 12] });
        let user_timestamp = dice.bool().then(|| dice.u64(..));
        let markers = [Marker::Start, Marker::Inter, Marker::Final, Marker::Single];
        let header = Header {
            marker: markers[dice.usize(..markers.len())],
            handle: Handle::new(handle).unwrap(),
            sequence: if dice.bool() { self.packets as u16 } else { dice.u16(..) },
            frame_number: number,
            timestamp: dice.u32(..),
            extensions: Extensions { e2ee, user_timestamp },
        };
        let mut bytes = vec![0; header.len()];
        header.write(&mut bytes).unwrap();
        bytes
    }
}
