//! The smallest LiveKit client, for tests: signalling by hand over the driver.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Reports that a test cannot run on this machine. On CI that is a failure, because CI has everything that tests need.
pub fn skip(lacking: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{lacking}, and CI skips nothing");
    eprintln!("skipped: {lacking}");
}

pub mod server;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use datatrack::e2ee::SystemIvRandom;
use datatrack::packet::Handle;
use datatrack::publisher::{
    PublishOptions, PublisherConfig, PublisherEvent, PushFrameError, SessionEncryption,
};
use datatrack::subscriber::{Frame, StreamId, SubscribeOptions, SubscriberConfig, SubscriberEvent, TrackId};
use datatrack::{EncryptionType, TrackInfo, TrackSid};
use datatrack_transport::connection::{
    Connection, ConnectionEvent, ConnectionHost, ConnectionMode, ConnectionOptions, DescriptionKind,
    PeerState, Target, WorkSignal,
};
use datatrack_transport::peer::ChannelKind;
use datatrack_transport::{Clock, Link, LinkEvent, LinkHost, LinkOptions};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tokio::sync::{Notify, mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

/// Time limit of any wait: far more than it takes, so that a slow machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Collects the driver's events.
#[derive(Default)]
pub struct Host {
    pub events: Notify,
    pub frames: Notify,
    /// Takes the messages instead of [`Seen`].
    pub messages: Mutex<Option<mpsc::UnboundedSender<bytes::Bytes>>>,
}

impl LinkHost for Host {
    fn events_ready(&self) {
        self.events.notify_one();
    }

    fn frames_ready(&self) {
        self.frames.notify_one();
    }

    fn work_ready(&self) {}

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

impl ConnectionHost for Host {
    fn events_ready(&self) {
        self.events.notify_one();
    }
}

/// A link without keys that notifies `host`, and the signal that wakes its connection.
pub fn link(host: &Arc<Host>) -> (Arc<Link>, WorkSignal) {
    let signal = WorkSignal::new();
    let options = LinkOptions {
        publisher: PublisherConfig {
            encryption: SessionEncryption::None,
            publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
            timestamp_base: 0,
            iv_random: Box::new(SystemIvRandom::new()),
        },
        subscriber: SubscriberConfig::default(),
        clock: Clock::start(),
    };
    (signal.link(options, host.clone()), signal)
}

/// The events that a test waits for.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub states: HashMap<Target, PeerState>,
    /// How often the publisher connection connected.
    pub connected: usize,
    pub failed: bool,
    pub published: Vec<Handle>,
    pub tracks: Vec<(TrackId, Arc<str>)>,
    pub subscribed: Vec<StreamId>,
    pub messages: Vec<bytes::Bytes>,
    pub candidates: usize,
    pub sdp_rejected: usize,
}

/// A participant of a room.
pub struct Participant {
    pub link: Arc<Link>,
    pub connection: Arc<Connection>,
    pub host: Arc<Host>,
    seen: watch::Receiver<Seen>,
    task: tokio::task::JoinHandle<()>,
    started: Instant,
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.connection.close();
        self.task.abort();
    }
}

impl Participant {
    /// Joins, and returns when everything is connected.
    pub async fn join(
        server: &server::Server,
        room: &str,
        identity: &str,
        options: ConnectionOptions,
    ) -> Self {
        let started = Instant::now();
        let host = Arc::new(Host::default());
        let (link, signal) = link(&host);
        let mode = options.mode;
        let options = ConnectionOptions { server: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..options };
        let connection = Arc::new(Connection::spawn(
            link.clone(),
            &signal,
            options,
            host.clone(),
            &tokio::runtime::Handle::current(),
        ));
        connection.create_offer();
        let offer = loop {
            // One notification may stand for several events.
            match connection.poll_event() {
                Some(ConnectionEvent::LocalDescription { sdp, id, .. }) => {
                    break proto::SessionDescription {
                        r#type: "offer".into(),
                        sdp,
                        id,
                        ..Default::default()
                    };
                }
                Some(_) => {}
                None => host.events.notified().await,
            }
        };
        let token = server.token(room, identity);
        let mut first = Vec::new();
        let path = match mode {
            ConnectionMode::Dual => {
                first.push(Request::Offer(offer));
                "/rtc?sdk=node&protocol=17&client_protocol=1&auto_subscribe=0&auto_subscribe_data_track=0"
                    .to_owned()
            }
            ConnectionMode::Single => {
                let join = proto::JoinRequest {
                    client_info: Some(proto::ClientInfo {
                        sdk: proto::client_info::Sdk::Node as i32,
                        protocol: 17,
                        client_protocol: 1,
                        ..Default::default()
                    }),
                    publisher_offer: Some(offer),
                    connection_settings: Some(proto::ConnectionSettings::default()),
                    ..Default::default()
                };
                let wrapped =
                    proto::WrappedJoinRequest { join_request: join.encode_to_vec(), ..Default::default() };
                let parameter = URL_SAFE.encode(wrapped.encode_to_vec()).replace('=', "%3D");
                format!("/rtc/v1?join_request={parameter}")
            }
        };
        // The benchmark's processes may run on the two ends of a network link.
        let address = std::env::var("DATATRACK_BENCH_HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
        let url = format!("ws://{address}:{}{path}&access_token={token}", server.port);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a signalling connection");
        let (tell, seen) = watch::channel(Seen::default());
        let driver = Driver { link: link.clone(), connection: connection.clone(), host: host.clone(), tell };
        let task = tokio::spawn(driver.run(socket, first));
        let participant = Self { link, connection, host, seen, task, started };
        let targets: &[Target] = match mode {
            ConnectionMode::Single => &[Target::Publisher],
            ConnectionMode::Dual => &[Target::Publisher, Target::Subscriber],
        };
        participant
            .wait(|seen| targets.iter().all(|target| seen.states.get(target) == Some(&PeerState::Connected)))
            .await;
        participant
    }

    /// Waits until `what` holds.
    pub async fn wait(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(what)).await;
        match waited {
            Ok(seen) => seen.expect("a participant that lives").clone(),
            Err(_) => panic!("nothing came of it: {:?}", self.seen.borrow()),
        }
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Time since the join started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub async fn publish(&self, name: &str) -> Handle {
        self.publish_with(PublishOptions::new(name)).await
    }

    pub async fn publish_with(&self, options: PublishOptions) -> Handle {
        let handle = self.link.publisher(|publisher, now| publisher.publish(options, now)).unwrap();
        self.wait(|seen| seen.published.contains(&handle)).await;
        handle
    }

    pub async fn subscribe(&self, name: &str) -> StreamId {
        let seen = self.wait(|seen| seen.tracks.iter().any(|(_, track)| &**track == name)).await;
        let (track, _) = seen.tracks.iter().rfind(|(_, track)| &**track == name).unwrap();
        let stream = self.link.subscribe(*track, SubscribeOptions::default()).unwrap();
        self.wait(|seen| seen.subscribed.contains(&stream)).await;
        stream
    }

    pub fn push(&self, track: Handle, payload: &[u8]) -> Result<(), PushFrameError> {
        self.link.push(track, payload, None)
    }

    /// The messages that arrive from now on.
    pub fn messages(&self) -> mpsc::UnboundedReceiver<bytes::Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.host.messages.lock().unwrap() = Some(sender);
        receiver
    }

    /// Sends a user packet on `_reliable` as soon as there is room for it.
    pub async fn send(&self, payload: Vec<u8>) {
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(proto::UserPacket { payload, ..Default::default() })),
            ..Default::default()
        };
        let packet = bytes::Bytes::from(packet.encode_to_vec());
        while self.connection.send(ChannelKind::Reliable, packet.clone(), false).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The next frame of a stream.
    pub async fn read(&self, stream: StreamId) -> Frame {
        match tokio::time::timeout(PATIENCE, self.try_read(stream)).await {
            Ok(frame) => frame,
            Err(_) => panic!(
                "no frame came: {:?} {:?} {:?}",
                self.seen.borrow(),
                self.connection.stats(),
                self.link.subscriber(|subscriber, _| subscriber.packet_stats())
            ),
        }
    }

    pub async fn try_read(&self, stream: StreamId) -> Frame {
        loop {
            let frame = self.link.subscriber(|subscriber, _| {
                // The list of readable streams is for owners of many streams.
                while subscriber.poll_readable().is_some() {}
                let frame = subscriber.read_frame(stream);
                if frame.is_none() {
                    subscriber.request_frames(stream);
                }
                frame
            });
            if let Some(frame) = frame {
                return frame;
            }
            self.host.frames.notified().await;
        }
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Passes signals between the server, the link and the connection.
struct Driver {
    link: Arc<Link>,
    connection: Arc<Connection>,
    host: Arc<Host>,
    tell: watch::Sender<Seen>,
}

impl Driver {
    async fn run(self, socket: Socket, first: Vec<Request>) {
        let (mut to_server, mut from_server) = socket.split();
        let (requests, mut outbox) = mpsc::unbounded_channel();
        let mut identity = String::new();
        for request in first {
            let _ = requests.send(request);
        }
        let mut ping = tokio::time::interval(Duration::from_secs(5));
        loop {
            while let Some(event) = self.connection.poll_event() {
                self.take_connection_event(event, &requests);
            }
            while let Some(event) = self.link.poll_event() {
                self.take_link_event(event, &requests);
            }
            while let Ok(request) = outbox.try_recv() {
                let request = proto::SignalRequest { message: Some(request) };
                let message = Message::Binary(request.encode_to_vec().into());
                if to_server.send(message).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                message = from_server.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let response = proto::SignalResponse::decode(bytes).unwrap();
                        if let Some(response) = response.message {
                            self.take_response(response, &mut identity);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                () = self.host.events.notified() => {}
                _ = ping.tick() => {
                    let _ = requests.send(Request::PingReq(proto::Ping::default()));
                }
            }
        }
    }

    fn take_connection_event(&self, event: ConnectionEvent, requests: &mpsc::UnboundedSender<Request>) {
        match event {
            ConnectionEvent::LocalDescription { kind, sdp, id, .. } => {
                let description = |r#type: &str| proto::SessionDescription {
                    r#type: r#type.into(),
                    sdp,
                    id,
                    ..Default::default()
                };
                let _ = requests.send(match kind {
                    DescriptionKind::Offer => Request::Offer(description("offer")),
                    DescriptionKind::Answer => Request::Answer(description("answer")),
                });
            }
            ConnectionEvent::LocalCandidate { target, candidate } => {
                let init = serde_json::json!({ "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0 });
                let target = match target {
                    Target::Publisher => proto::SignalTarget::Publisher,
                    Target::Subscriber => proto::SignalTarget::Subscriber,
                };
                let _ = requests.send(Request::Trickle(proto::TrickleRequest {
                    candidate_init: init.to_string(),
                    target: target as i32,
                    r#final: false,
                }));
            }
            ConnectionEvent::State { target, state } => self.tell.send_modify(|seen| {
                seen.states.insert(target, state);
                seen.connected += usize::from(target == Target::Publisher && state == PeerState::Connected);
                seen.failed |= state == PeerState::Failed;
            }),
            ConnectionEvent::Message { data, .. } => match &*self.host.messages.lock().unwrap() {
                Some(messages) => drop(messages.send(data)),
                None => self.tell.send_modify(|seen| seen.messages.push(data)),
            },
            ConnectionEvent::DescriptionRejected { .. } => {
                self.tell.send_modify(|seen| seen.sdp_rejected += 1);
            }
            ConnectionEvent::BufferedAmountLow { .. }
            | ConnectionEvent::Lingered { .. }
            | ConnectionEvent::RelayFailed { .. } => {}
        }
    }

    fn take_link_event(&self, event: LinkEvent, requests: &mpsc::UnboundedSender<Request>) {
        match event {
            LinkEvent::Publisher(PublisherEvent::PublishRequest(request)) => {
                let _ = requests.send(Request::PublishDataTrackRequest(proto::PublishDataTrackRequest {
                    pub_handle: u32::from(request.handle.get()),
                    name: request.name.to_string(),
                    ..Default::default()
                }));
            }
            LinkEvent::Publisher(PublisherEvent::Published { handle, .. }) => {
                self.tell.send_modify(|seen| seen.published.push(handle));
            }
            LinkEvent::Subscriber(SubscriberEvent::UpdateSubscription { sid, subscribe, .. }) => {
                let update = proto::update_data_subscription::Update {
                    track_sid: sid.to_string(),
                    subscribe,
                    options: None,
                };
                let _ = requests.send(Request::UpdateDataSubscription(proto::UpdateDataSubscription {
                    updates: vec![update],
                }));
            }
            LinkEvent::Subscriber(SubscriberEvent::TrackPublished { track, info, .. }) => {
                self.tell.send_modify(|seen| seen.tracks.push((track, info.name)));
            }
            LinkEvent::Subscriber(SubscriberEvent::Subscribed { stream }) => {
                self.tell.send_modify(|seen| seen.subscribed.push(stream));
            }
            _ => {}
        }
    }

    fn take_response(&self, response: Response, identity: &mut String) {
        match response {
            Response::Join(join) => {
                *identity = join.participant.unwrap_or_default().identity;
                self.take_participants(join.other_participants, identity);
            }
            Response::Update(update) => self.take_participants(update.participants, identity),
            Response::Answer(answer) => self.connection.handle_answer(answer.sdp, answer.id),
            Response::Offer(offer) => self.connection.handle_offer(offer.sdp, offer.id),
            Response::Trickle(trickle) => {
                let target = if trickle.target == proto::SignalTarget::Subscriber as i32 {
                    Target::Subscriber
                } else {
                    Target::Publisher
                };
                let json: serde_json::Value = serde_json::from_str(&trickle.candidate_init).unwrap();
                self.tell.send_modify(|seen| seen.candidates += 1);
                self.connection.add_remote_candidate(target, json["candidate"].as_str().unwrap_or_default());
            }
            Response::PublishDataTrackResponse(response) => {
                let info = track_info(response.info.unwrap());
                self.link.publisher(|publisher, _| publisher.handle_publish_response(info));
            }
            Response::DataTrackSubscriberHandles(handles) => {
                let table = handles
                    .sub_handles
                    .into_iter()
                    .map(|(handle, track)| {
                        let handle = Handle::new(u16::try_from(handle).unwrap()).unwrap();
                        (handle, TrackSid::new(&track.track_sid).unwrap())
                    })
                    .collect();
                self.link.subscriber(|subscriber, now| subscriber.handle_subscriber_handles(table, now));
            }
            _ => {}
        }
    }

    fn take_participants(&self, participants: Vec<proto::ParticipantInfo>, identity: &str) {
        for participant in participants.into_iter().filter(|participant| participant.identity != identity) {
            let tracks = participant.data_tracks.into_iter().map(track_info).collect();
            self.link.subscriber(|subscriber, now| {
                subscriber.handle_publication_update(&participant.identity, tracks, now);
            });
        }
    }
}

fn track_info(info: proto::DataTrackInfo) -> TrackInfo {
    TrackInfo {
        pub_handle: Handle::new(u16::try_from(info.pub_handle).unwrap()).unwrap(),
        sid: TrackSid::new(&info.sid).unwrap(),
        name: info.name.into(),
        encryption: EncryptionType::None,
        frame_encoding: None,
        schema: None,
    }
}

/// A room name that no other test of the run uses.
pub fn room() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A token for that room, signed with the server's key.
pub fn token(key: &str, secret: &str, room: &str, identity: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({
        "iss": key, "sub": identity, "nbf": now - 60, "exp": now + 3_600,
        "video": {
            "roomJoin": true, "room": room, "canPublish": true, "canSubscribe": true, "canPublishData": true,
        },
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signing = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&signing, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The payload of a user packet.
pub fn user_payload(packet: &[u8]) -> Vec<u8> {
    match proto::DataPacket::decode(packet).unwrap().value {
        Some(proto::data_packet::Value::User(user)) => user.payload,
        _ => Vec::new(),
    }
}
