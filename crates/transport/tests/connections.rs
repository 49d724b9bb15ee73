//! Two connections that serve as each other's server, over UDP on the loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datatrack::packet::Handle;
use datatrack::publisher::PublishOptions;
use datatrack::subscriber::{StreamId, SubscribeOptions, SubscriberEvent};
use datatrack::{EncryptionType, TrackInfo, TrackSid};
use datatrack_transport::connection::{
    Connection, ConnectionEvent, ConnectionMode, ConnectionOptions, DescriptionKind, Linger, PeerState,
    SendError, Target,
};
use datatrack_transport::peer::{ChannelKind, MAX_MESSAGE_SIZE, PROBE, PeerError};
use datatrack_transport::{Link, LinkEvent};
use support::{Host, PATIENCE, link};

/// One of the two connections, with its events so far.
struct End {
    link: Arc<Link>,
    connection: Connection,
    host: Arc<Host>,
    events: Vec<ConnectionEvent>,
}

impl End {
    fn new(mode: ConnectionMode) -> Self {
        Self::with(ConnectionOptions {
            local_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            server: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tcp: false,
            ..ConnectionOptions::new(mode)
        })
    }

    fn with(options: ConnectionOptions) -> Self {
        let host = Arc::new(Host::default());
        let (link, signal) = link(&host);
        let runtime = tokio::runtime::Handle::current();
        let connection = Connection::spawn(link.clone(), &signal, options, host.clone(), &runtime);
        Self { link, connection, host, events: Vec::new() }
    }

    fn state(&self, target: Target) -> Option<PeerState> {
        self.events.iter().rev().find_map(|event| match event {
            ConnectionEvent::State { target: of, state } if *of == target => Some(*state),
            _ => None,
        })
    }

    /// Waits until `done` holds of this end, and passes its descriptions to the other end meanwhile.
    async fn until(&mut self, other: &Self, mut done: impl FnMut(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                while let Some(event) = self.connection.poll_event() {
                    if let ConnectionEvent::LocalDescription { kind, sdp, id, .. } = &event {
                        match kind {
                            DescriptionKind::Offer => other.connection.handle_offer(sdp.clone(), *id),
                            DescriptionKind::Answer => other.connection.handle_answer(sdp.clone(), *id),
                        }
                    }
                    self.events.push(event);
                }
                if done(self) {
                    return;
                }
                self.host.events.notified().await;
            }
        });
        assert!(waited.await.is_ok(), "nothing came of it: {:?}", self.events);
    }
}

/// Two ends, connected in both directions.
async fn pair() -> (End, End) {
    let (mut left, mut right) = (End::new(ConnectionMode::Dual), End::new(ConnectionMode::Dual));
    left.connection.create_offer();
    right.connection.create_offer();
    connect(&mut left, &mut right).await;
    (left, right)
}

async fn connect(left: &mut End, right: &mut End) {
    let described = |end: &End, kind: DescriptionKind, many: usize| {
        let of_kind = |event: &&ConnectionEvent| matches!(event, ConnectionEvent::LocalDescription { kind: found, .. } if *found == kind);
        end.events.iter().filter(of_kind).count() >= many
    };
    for kind in [DescriptionKind::Offer, DescriptionKind::Answer] {
        left.until(right, |end| described(end, kind, 1)).await;
        right.until(left, |end| described(end, kind, 1)).await;
    }
    let connected = |end: &End| {
        [Target::Publisher, Target::Subscriber]
            .into_iter()
            .all(|target| end.state(target) == Some(PeerState::Connected))
    };
    left.until(right, connected).await;
    right.until(left, connected).await;
}

/// Tells both links what the signalling of an SFU would, if that SFU forwarded handles unchanged.
fn subscribe(from: &Link, to: &Link, name: &str) -> (Handle, StreamId) {
    let handle = from.publisher(|publisher, now| publisher.publish(PublishOptions::new(name), now)).unwrap();
    let info = TrackInfo {
        pub_handle: handle,
        sid: TrackSid::new(&format!("DTR_{name}")).unwrap(),
        name: name.into(),
        encryption: EncryptionType::None,
        frame_encoding: None,
        schema: None,
    };
    from.publisher(|publisher, _| publisher.handle_publish_response(info.clone()));
    let sid = info.sid.clone();
    to.subscriber(|subscriber, now| subscriber.handle_publication_update("other", vec![info], now));
    let track = std::iter::from_fn(|| to.poll_event())
        .find_map(|event| match event {
            LinkEvent::Subscriber(SubscriberEvent::TrackPublished { track, .. }) => Some(track),
            _ => None,
        })
        .unwrap();
    let stream = to.subscribe(track, SubscribeOptions::default()).unwrap();
    to.subscriber(|subscriber, now| subscriber.handle_subscriber_handles(vec![(handle, sid)], now));
    (handle, stream)
}

async fn read(end: &End, stream: StreamId) -> Bytes {
    let read = async {
        loop {
            let frame = end.link.subscriber(|subscriber, _| {
                while subscriber.poll_readable().is_some() {}
                let frame = subscriber.read_frame(stream);
                if frame.is_none() {
                    subscriber.request_frames(stream);
                }
                frame
            });
            match frame {
                Some(frame) => return frame.payload.to_bytes(),
                None => end.host.frames.notified().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("a frame")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_all_sizes_go_both_ways() {
    let (left, right) = pair().await;
    for (from, to) in [(&left, &right), (&right, &left)] {
        let (track, stream) = subscribe(&from.link, &to.link, "track");
        for size in [0, 1, 256, 15_988, 15_989, 200_000, 1_000_000] {
            let payload: Vec<u8> = (0..size).map(|byte: usize| (byte * 7 + size) as u8).collect();
            from.link.push(track, &payload, None).unwrap();
            assert!(read(to, stream).await == payload, "{size} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_pushed_before_the_connection_leave_when_it_is_there() {
    let (mut left, mut right) = (End::new(ConnectionMode::Dual), End::new(ConnectionMode::Dual));
    let (track, stream) = subscribe(&left.link, &right.link, "early");
    left.link.push(track, b"early", None).unwrap();
    left.connection.create_offer();
    right.connection.create_offer();
    connect(&mut left, &mut right).await;
    assert_eq!(read(&right, stream).await, &b"early"[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_are_told_when_they_are_gone() {
    let (mut left, mut right) = pair().await;
    let message = Bytes::from(vec![5; MAX_MESSAGE_SIZE]);
    for _ in 0..50 {
        left.connection.send(ChannelKind::Reliable, message.clone(), false).unwrap();
    }
    left.connection.watch_buffered(ChannelKind::Reliable, 0);
    let low = ConnectionEvent::BufferedAmountLow { channel: ChannelKind::Reliable };
    left.until(&right, |end| end.events.contains(&low)).await;
    assert_eq!(left.connection.buffered(ChannelKind::Reliable), 0);
    let is_message = |event: &&ConnectionEvent| {
        matches!(event, ConnectionEvent::Message { channel: ChannelKind::Reliable, .. })
    };
    right.until(&left, |end| end.events.iter().filter(is_message).count() == 50).await;
    assert_eq!(
        left.connection.send(ChannelKind::DataTrack, Bytes::new(), false),
        Err(SendError::WrongChannel)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linger_is_over_when_the_other_side_has_everything() {
    let (mut left, mut right) = pair().await;
    let (track, stream) = subscribe(&left.link, &right.link, "last");
    let message = Bytes::from(vec![5; MAX_MESSAGE_SIZE]);
    for _ in 0..20 {
        left.connection.send(ChannelKind::Reliable, message.clone(), false).unwrap();
    }
    left.link.push(track, b"frame", None).unwrap();
    left.link.finish();
    left.connection.linger(1, Linger::DataTracks);
    left.connection.linger(2, Linger::Everything);
    let lingered = |id| ConnectionEvent::Lingered { id };
    left.until(&right, |end| end.events.contains(&lingered(2))).await;
    // The linger did not end early: no message waits any more.
    for channel in [ChannelKind::Reliable, ChannelKind::Lossy] {
        assert!(left.connection.buffered(channel) <= PROBE.len());
    }
    assert!(left.events.contains(&lingered(1)));
    assert_eq!(read(&right, stream).await, &b"frame"[..]);
    let is_message = |event: &&ConnectionEvent| matches!(event, ConnectionEvent::Message { .. });
    right.until(&left, |end| end.events.iter().filter(is_message).count() >= 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_path_a_linger_is_over_at_once() {
    let (mut left, right) = (End::new(ConnectionMode::Single), End::new(ConnectionMode::Single));
    left.connection.send(ChannelKind::Reliable, Bytes::from_static(b"never"), false).unwrap();
    left.connection.linger(7, Linger::Everything);
    left.until(&right, |end| end.events.contains(&ConnectionEvent::Lingered { id: 7 })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_both_sides_once() {
    let (mut left, mut right) = pair().await;
    left.connection.close();
    left.until(&right, |end| end.state(Target::Subscriber) == Some(PeerState::Closed)).await;
    right.until(&left, |end| end.state(Target::Publisher) == Some(PeerState::Failed)).await;
    right.until(&left, |end| end.state(Target::Subscriber) == Some(PeerState::Failed)).await;
    assert_eq!(left.connection.send(ChannelKind::Lossy, Bytes::new(), false), Err(SendError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_that_cannot_be_used_are_told() {
    let (mut left, right) = (End::new(ConnectionMode::Dual), End::new(ConnectionMode::Single));
    let rejected = |target, id, error| ConnectionEvent::DescriptionRejected { target, id, error };
    left.connection.handle_offer("nonsense", 7);
    let nonsense = rejected(Target::Subscriber, 7, PeerError::BadDescription);
    left.until(&right, |end| end.events.contains(&nonsense)).await;
    left.connection.handle_answer("nonsense", 0);
    let nonsense = rejected(Target::Publisher, 0, PeerError::BadDescription);
    left.until(&right, |end| end.events.contains(&nonsense)).await;
    // There is one peer connection only: the server offers nothing.
    let (mut left, right) = (right, left);
    left.connection.handle_offer("anything", 8);
    let unexpected = rejected(Target::Subscriber, 8, PeerError::BadDescription);
    left.until(&right, |end| end.events.contains(&unexpected)).await;
}

/// Fills `MAX_UNREAD_LOSSY` and `MAX_UNREAD`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_the_owner_does_not_read_are_bounded() {
    let (left, right) = pair().await;
    let message = Bytes::from(vec![5; 60_000]);
    // A sender that finds no space leaves the processor to the connections, which have much to carry.
    let send = async |channel| {
        if left.connection.send(channel, message.clone(), false).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let dropped = async {
        while right.connection.stats().lossy.dropped == 0 {
            send(ChannelKind::Lossy).await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.expect("lossy messages are dropped");
    let received = right.connection.stats().lossy.messages_received;
    assert!(received > 4_194_304 / 60_128, "{received}");
    // Control is read, messages are not.
    let ended = async {
        loop {
            while let Some(event) = right.connection.poll_control() {
                if let ConnectionEvent::State { state: PeerState::Failed, .. } = event {
                    return;
                }
            }
            send(ChannelKind::Reliable).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end");
    let mut bytes = 0;
    while let Some((_, data)) = right.connection.poll_message() {
        bytes += data.len() + 128;
    }
    assert!((67_108_864..67_108_864 + 2 * 60_128).contains(&bytes), "{bytes}");
}

/// Fills `MAX_TCP`. The server names many ports, each of which can be dialled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_addresses_that_a_server_names_a_few_are_dialled() {
    let options = ConnectionOptions {
        udp: false,
        server: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ..ConnectionOptions::new(ConnectionMode::Single)
    };
    let (mut left, mut right) = (End::with(options), End::new(ConnectionMode::Dual));
    left.connection.create_offer();
    left.until(&right, |end| end.events.iter().any(is_description)).await;
    right.until(&left, |end| end.events.iter().any(is_description)).await;
    let mut doors = Vec::new();
    for _ in 0..40 {
        doors.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    for door in &doors {
        let port = door.local_addr().unwrap().port();
        let candidate = format!("candidate:7 1 tcp 1671430143 127.0.0.1 {port} typ host tcptype passive");
        left.connection.add_remote_candidate(Target::Publisher, candidate);
    }
    let mut dialled = Vec::new();
    while dialled.len() < 8 {
        for door in &doors {
            let now = std::future::poll_fn(|cx| std::task::Poll::Ready(door.poll_accept(cx)));
            if let std::task::Poll::Ready(accepted) = now.await {
                dialled.push(accepted.unwrap());
            }
        }
        tokio::task::yield_now().await;
    }
    // The task has worked on all of them when it has worked on what comes afterwards.
    left.events.clear();
    left.connection.handle_offer("nonsense", 7);
    let rejected = |event: &ConnectionEvent| matches!(event, ConnectionEvent::DescriptionRejected { .. });
    left.until(&right, |end| end.events.iter().any(rejected)).await;
    for door in &doors {
        let now = std::future::poll_fn(|cx| std::task::Poll::Ready(door.poll_accept(cx)));
        assert!(now.await.is_pending());
    }
    assert_eq!(dialled.len(), 8);
}

/// Fills `MAX_COMMANDS`, `MAX_DESCRIPTION` and `MAX_CANDIDATE`. The task, which would work on what comes, does not run.
#[tokio::test]
async fn what_a_server_says_faster_than_it_is_worked_on_is_bounded_and_told() {
    let host = Arc::new(Host::default());
    let (link, signal) = link(&host);
    let options = ConnectionOptions::new(ConnectionMode::Dual);
    let (connection, task) = Connection::new(link, &signal, options, host);
    let rejected = |connection: &Connection| {
        std::iter::from_fn(|| connection.poll_event())
            .filter(|event| matches!(event, ConnectionEvent::DescriptionRejected { .. }))
            .count()
    };
    connection.handle_offer("v".repeat(524_289), 1);
    assert_eq!(rejected(&connection), 1, "one that is too large does not wait");
    for _ in 0..1_000 {
        connection.add_remote_candidate(Target::Publisher, "c".repeat(1_025));
    }
    connection.handle_answer("nonsense", 0);
    assert_eq!(rejected(&connection), 0, "candidates that are too large take no place");
    for _ in 0..10_000 {
        connection.add_remote_candidate(Target::Subscriber, "candidate:1 1 udp 1 10.0.0.1 9 typ host");
        connection.handle_offer("v".repeat(524_288), 2);
    }
    let told = rejected(&connection);
    assert!((9_900..10_000).contains(&told), "{told}");
    // Closing finds a place.
    connection.close();
    tokio::time::timeout(PATIENCE, task).await.expect("an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_told() {
    let options = ConnectionOptions {
        connect_timeout: std::time::Duration::ZERO,
        ..ConnectionOptions::new(ConnectionMode::Single)
    };
    let (mut left, right) = (End::with(options), End::new(ConnectionMode::Dual));
    left.connection.create_offer();
    left.until(&right, |end| end.state(Target::Publisher) == Some(PeerState::TimedOut)).await;
}

/// Runs the test of that name again in a network namespace of its own. Returns whether this process is that run.
/// Without the right to make a namespace, it says so.
fn in_a_namespace(test: &str) -> bool {
    const INSIDE: &str = "DATATRACK_IN_A_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = || std::process::Command::new("unshare");
    if !unshare().args(["--net", "true"]).status().is_ok_and(|status| status.success()) {
        support::skip("there is no right to make a network namespace");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let run =
        unshare().arg("--net").arg(this).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").status();
    assert!(run.unwrap().success());
    false
}

fn ip(command: &str) {
    let run = std::process::Command::new("ip").args(command.split(' ')).status();
    assert!(run.expect("iproute2").success(), "ip {command}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_way_to_the_server_is_taken_by_a_restart() {
    if !in_a_namespace("another_way_to_the_server_is_taken_by_a_restart") {
        return;
    }
    let from = |source: &str| ip(&format!("route replace local 10.7.0.9 dev lo table local src {source}"));
    for setup in ["link set lo up", "addr add 10.7.0.1/32 dev lo", "addr add 10.7.0.9/32 dev lo"] {
        ip(setup);
    }
    from("10.7.0.1");
    let mut left =
        End::with(ConnectionOptions { tcp: false, ..ConnectionOptions::new(ConnectionMode::Single) });
    let mut right = End::with(ConnectionOptions {
        local_addresses: vec![IpAddr::from([10, 7, 0, 9])],
        tcp: false,
        ..ConnectionOptions::new(ConnectionMode::Dual)
    });
    let (track, stream) = subscribe(&left.link, &right.link, "moving");
    left.connection.create_offer();
    for round in 0..2 {
        left.until(&right, |end| end.events.iter().any(is_description)).await;
        right.until(&left, |end| end.events.iter().any(is_description)).await;
        left.until(&right, |end| end.state(Target::Publisher) == Some(PeerState::Connected)).await;
        let payload = [round; 100];
        left.link.push(track, &payload, None).unwrap();
        assert_eq!(read(&right, stream).await, &payload[..]);
        if round == 0 {
            (left.events, right.events) = (Vec::new(), Vec::new());
            ip("addr add 10.7.0.2/32 dev lo");
            from("10.7.0.2");
            ip("addr del 10.7.0.1/32 dev lo");
            left.until(&right, |end| end.state(Target::Publisher) == Some(PeerState::Disconnected)).await;
            left.events.clear();
            left.connection.create_offer();
        }
    }
}

#[tokio::test]
async fn a_local_address_that_the_machine_lacks_ends_udp_alone_at_once() {
    let options = |tcp| ConnectionOptions {
        // An address for documentation, which no machine has.
        local_addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9))],
        tcp,
        ..ConnectionOptions::new(ConnectionMode::Single)
    };
    let other = End::new(ConnectionMode::Single);
    for tcp in [false, true] {
        let mut end = End::with(options(tcp));
        end.connection.create_offer();
        end.until(&other, |end| end.events.iter().any(is_description)).await;
        assert_eq!(end.state(Target::Publisher) == Some(PeerState::NoUdpSocket), !tcp);
    }
}

/// Runs in a process of its own, which may open only few files: it takes all of them.
#[cfg(unix)]
#[tokio::test]
async fn udp_alone_ends_at_once_when_the_system_gives_no_socket() {
    const INSIDE: &str = "DATATRACK_WITH_FEW_FILES";
    const TEST: &str = "udp_alone_ends_at_once_when_the_system_gives_no_socket";
    if std::env::var_os(INSIDE).is_none() {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"]);
        let run = shell.arg(std::env::current_exe().unwrap()).arg(TEST).env(INSIDE, "1").status();
        return assert!(run.unwrap().success());
    }
    let options = ConnectionOptions {
        server: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        tcp: false,
        ..ConnectionOptions::new(ConnectionMode::Single)
    };
    let (mut left, right) = (End::with(options), End::new(ConnectionMode::Dual));
    left.connection.create_offer();
    left.until(&right, |end| end.events.iter().any(is_description)).await;
    let (sdp, id) = loop {
        match right.connection.poll_event() {
            Some(ConnectionEvent::LocalDescription { sdp, id, .. }) => break (sdp, id),
            Some(_) => {}
            None => tokio::time::timeout(PATIENCE, right.host.events.notified()).await.unwrap(),
        }
    };
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    left.connection.handle_answer(sdp, id);
    left.until(&right, |end| end.state(Target::Publisher) == Some(PeerState::NoUdpSocket)).await;
    drop(files);
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_are_offered_one_offer_at_a_time_and_an_offer_of_new_ones_is_not_replaced() {
    let of_kind = |end: &End, wanted: DescriptionKind| {
        let of_kind = |event: &&ConnectionEvent| matches!(event, ConnectionEvent::LocalDescription { kind, .. } if *kind == wanted);
        end.events.iter().filter(of_kind).count()
    };
    let offers = |end: &End| of_kind(end, DescriptionKind::Offer);
    let answers = |end: &End| of_kind(end, DescriptionKind::Answer);
    let (mut left, mut right) = pair().await;
    left.connection.require_sections(1, 0);
    left.until(&right, |end| offers(end) == 2).await;
    // These have to wait for the answer, and go into one offer.
    for _ in 0..3 {
        left.connection.require_sections(1, 0);
    }
    right.until(&left, |end| answers(end) == 2).await;
    left.until(&right, |end| offers(end) == 3).await;
    let Some(ConnectionEvent::LocalDescription { sdp, .. }) =
        left.events.iter().rfind(|event| is_description(event))
    else {
        panic!("no description")
    };
    assert_eq!(sdp.matches("m=audio").count(), 4, "{sdp}");
    assert_eq!(left.state(Target::Publisher), Some(PeerState::Connected));
    // Its answer is lost, as when signalling is: what the other side has taken is not known.
    left.connection.create_offer();
    left.until(&right, |end| end.state(Target::Publisher) == Some(PeerState::Failed)).await;
    assert_eq!(offers(&left), 3);
}

const fn is_description(event: &ConnectionEvent) -> bool {
    matches!(event, ConnectionEvent::LocalDescription { .. })
}
