//! Links and the hub: locks, tasks and timers. Tests in which time matters run on tokio's paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use datatrack::e2ee::{E2eeError, KeyDerivation, KeyMaterial, KeyOptions, SystemIvRandom};
use datatrack::packet::Handle;
use datatrack::publisher::{
    PublishError, PublishOptions, PublisherConfig, PublisherEvent, SessionEncryption,
};
use datatrack::subscriber::{
    BufferPolicy, Frame, StreamId, SubscribeError, SubscribeOptions, SubscriberConfig, SubscriberEvent,
};
use datatrack::{EncryptionType, TrackInfo, TrackSid};
use datatrack_transport::loopback::{Hub, MemberId, Sound};
use datatrack_transport::network::{NetworkOptions, SEND_BUFFER};
use datatrack_transport::{Clock, Link, LinkEvent, LinkHost, LinkOptions};
use tokio::sync::Notify;

const ALICE: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Host {
    frames: Notify,
    told: AtomicUsize,
    work: Mutex<Vec<Work>>,
    has_work: Notify,
    /// The host calls the hub back at once for each event, as an owner might.
    hub: OnceLock<Arc<Hub>>,
}

impl LinkHost for Host {
    fn events_ready(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
        if let Some(hub) = self.hub.get() {
            hub.stats();
        }
    }

    fn frames_ready(&self) {
        self.frames.notify_one();
    }

    fn work_ready(&self) {}

    fn spawn_blocking(&self, work: Work) {
        self.work.lock().unwrap().push(work);
        self.has_work.notify_one();
    }
}

/// Runs the links' blocking work on tokio's blocking pool.
async fn blocking_pool(host: Arc<Host>) {
    loop {
        let work = std::mem::take(&mut *host.work.lock().unwrap());
        for work in work {
            tokio::task::spawn_blocking(work).await.unwrap();
        }
        host.has_work.notified().await;
    }
}

fn options(clock: Clock, encryption: SessionEncryption) -> LinkOptions {
    LinkOptions {
        publisher: PublisherConfig {
            encryption: encryption.clone(),
            publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
            timestamp_base: 0,
            iv_random: Box::new(SystemIvRandom::new()),
        },
        subscriber: SubscriberConfig { encryption, ..Default::default() },
        clock,
    }
}

fn info(handle: Handle, sid: &str, encrypted: bool) -> TrackInfo {
    TrackInfo {
        pub_handle: handle,
        sid: TrackSid::new(sid).unwrap(),
        name: sid.into(),
        encryption: if encrypted { EncryptionType::Gcm } else { EncryptionType::None },
        frame_encoding: None,
        schema: None,
    }
}

fn events(link: &Link) -> Vec<LinkEvent> {
    std::iter::from_fn(|| link.poll_event()).collect()
}

/// Alice publishes one track, Bob reads it, the hub runs.
struct Two {
    hub: Arc<Hub>,
    alice: Arc<Link>,
    bob: Arc<Link>,
    alices: Arc<Host>,
    bobs: Arc<Host>,
    track: Handle,
    stream: StreamId,
    task: tokio::task::JoinHandle<()>,
}

impl Two {
    fn new(network: NetworkOptions, encryption: SessionEncryption) -> Self {
        let encrypted = !matches!(encryption, SessionEncryption::None);
        let hub = Hub::new(network);
        let (alices, bobs) = (Arc::new(Host::default()), Arc::new(Host::default()));
        let alice =
            hub.join(ALICE, options(hub.clock(), encryption.clone()), alices.clone(), Sound::default());
        let bob = hub.join(BOB, options(hub.clock(), encryption), bobs.clone(), Sound::default());
        // A new link seeds its random generator on that pool.
        for host in [&alices, &bobs] {
            std::mem::take(&mut *host.work.lock().unwrap()).into_iter().for_each(|work| work());
        }
        let asked = PublishOptions { encrypted, ..PublishOptions::new("DTR_a") };
        let track = alice.publisher(|publisher, now| publisher.publish(asked, now)).unwrap();
        let info = info(track, "DTR_a", encrypted);
        alice.publisher(|publisher, _| publisher.handle_publish_response(info.clone()));
        events(&alice);
        bob.subscriber(|subscriber, now| {
            subscriber.handle_publication_update("alice", vec![info.clone()], now);
        });
        let [LinkEvent::Subscriber(SubscriberEvent::TrackPublished { track: remote, .. })] = events(&bob)[..]
        else {
            panic!("no track")
        };
        let all = SubscribeOptions { buffer: BufferPolicy::Frames(usize::MAX), ..Default::default() };
        let stream = bob.subscribe(remote, all).unwrap();
        let number = Handle::new(200).unwrap();
        bob.subscriber(|subscriber, now| subscriber.handle_subscriber_handles(vec![(number, info.sid)], now));
        events(&bob);
        hub.add_route(ALICE, track, BOB, number);
        let task = tokio::spawn(hub.clone().run());
        Self { hub, alice, bob, alices, bobs, track, stream, task }
    }

    /// The next frame that Bob gets, by waiting as a reader does.
    async fn next(&self) -> Frame {
        loop {
            let frame = self.bob.subscriber(|subscriber, _| {
                while subscriber.poll_readable().is_some() {}
                let frame = subscriber.read_frame(self.stream);
                if frame.is_none() {
                    subscriber.request_frames(self.stream);
                }
                frame
            });
            match frame {
                Some(frame) => return frame,
                None => self.bobs.frames.notified().await,
            }
        }
    }

    fn completed(&self) -> u64 {
        self.bob
            .subscriber(|subscriber, _| subscriber.stream_stats(self.stream))
            .map_or(0, |stats| stats.received)
    }

    fn sent(&self) -> datatrack::stats::SendStats {
        let stats = self.alice.publisher(|publisher, _| publisher.track_stats(self.track)).unwrap();
        assert_eq!(stats.pushed, stats.sent + stats.dropped.total() + stats.queued);
        stats
    }
}

fn native() -> SessionEncryption {
    SessionEncryption::Native(KeyOptions::per_participant(KeyDerivation::Hkdf))
}

#[tokio::test(start_paused = true)]
async fn two_members_exchange_frames_of_any_size() {
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    for len in [0_usize, 1, 256, 16_000, 500_000] {
        two.alice.push(two.track, &vec![len as u8; len], Some(len as u64)).unwrap();
        let frame = two.next().await;
        assert_eq!(
            (frame.payload.to_bytes(), frame.user_timestamp),
            (vec![len as u8; len].into(), Some(len as u64))
        );
    }
    assert_eq!(two.hub.stats().no_route, 0);
}

#[tokio::test(start_paused = true)]
async fn signals_in_a_flood_of_packets_are_never_lost() {
    const SIGNALS: usize = 1_000;
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    let mut told = 0;
    for round in 0..SIGNALS {
        for _ in 0..20 {
            two.alice.push(two.track, &[0; 64], None).unwrap();
        }
        two.bob.subscriber(|subscriber, now| {
            let infos = vec![info(Handle::new(1).unwrap(), &format!("DTR_{round}"), round % 2 == 0)];
            subscriber.handle_publication_update("carol", infos, now);
        });
        if round % 10 == 0 {
            tokio::task::yield_now().await;
        }
        told += events(&two.bob)
            .iter()
            .filter(|event| matches!(event, LinkEvent::Subscriber(SubscriberEvent::TrackPublished { .. })))
            .count();
    }
    assert_eq!(told, SIGNALS);
    while two.completed() < 20 * SIGNALS as u64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_derived_by_the_pool_and_frames_wait_for_them() {
    let two = Two::new(NetworkOptions::default(), native());
    let material = KeyMaterial::from(vec![1; 16]);
    let sealing = two.alice.set_key(None, 0, &material).unwrap();
    let opening = two.bob.set_key(Some("alice"), 0, &material).unwrap();
    two.alice.push(two.track, b"held", None).unwrap();
    assert_eq!((two.alices.work.lock().unwrap().len(), two.bobs.work.lock().unwrap().len()), (1, 1));
    tokio::spawn(blocking_pool(two.alices.clone()));
    assert_eq!(sealing.wait().await, Ok(()));
    // Bob has no key yet: the frame now waits on his side.
    while two.alice.publisher(|publisher, _| publisher.has_packets()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(two.completed(), 0);
    tokio::spawn(blocking_pool(two.bobs.clone()));
    assert_eq!(opening.wait().await, Ok(()));
    assert_eq!(two.next().await.payload.to_bytes(), &b"held"[..]);
    let ratchets = [two.alice.ratchet_key(None, 0).unwrap(), two.bob.ratchet_key(Some("alice"), 0).unwrap()];
    for ready in ratchets {
        assert_eq!(ready.wait().await, Ok(()));
    }
    two.alice.push(two.track, b"ratcheted", None).unwrap();
    assert_eq!(two.next().await.payload.to_bytes(), &b"ratcheted"[..]);
    assert!(two.alice.set_key(None, 16, &material).is_err());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_task_the_streams_and_the_wait_for_a_key() {
    let two = Two::new(NetworkOptions::default(), native());
    let waiting = two.alice.set_key(None, 0, &KeyMaterial::from(vec![1; 16])).unwrap();
    for _ in 0..100 {
        two.alice.push(two.track, &[0; 1_000], None).unwrap();
    }
    two.hub.close();
    two.hub.close();
    two.task.await.unwrap();
    assert_eq!(waiting.wait().await, Err(E2eeError::Disabled));
    let ended =
        SubscriberEvent::StreamEnded { stream: two.stream, error: Some(SubscribeError::Disconnected) };
    assert_eq!(events(&two.bob), [LinkEvent::Subscriber(ended)]);
    assert!(two.alice.push(two.track, b"x", None).is_err());
    assert_eq!(two.alice.poll_timeout(), None);
    // A derivation that finishes afterwards does no harm.
    for work in std::mem::take(&mut *two.alices.work.lock().unwrap()) {
        work();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_in_the_middle_of_traffic_ends_the_task() {
    let network = NetworkOptions { delay: Duration::from_millis(5), loss: 0.1, ..Default::default() };
    let two = Two::new(network, SessionEncryption::None);
    for round in 0..50 {
        for _ in 0..50 {
            let _ = two.alice.push(two.track, &[0; 5_000], None);
        }
        tokio::task::yield_now().await;
        if round == 25 {
            two.hub.close();
        }
    }
    two.task.await.unwrap();
    let stats = two.alice.publisher(|publisher, _| publisher.track_stats(two.track)).unwrap();
    assert_eq!((stats.pushed, stats.queued), (stats.sent + stats.dropped.total(), 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gets_and_sends_nothing_more() {
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    two.alice.push(two.track, b"1", None).unwrap();
    two.next().await;
    two.hub.leave(BOB);
    two.alice.push(two.track, b"2", None).unwrap();
    while two.hub.stats().no_route == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(two.completed(), 1);
    two.hub.leave(ALICE);
    two.alice.push(two.track, b"3", None).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(two.sent().queued, 1, "no hub takes it");
    two.hub.close();
    two.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_keeps_memory_bounded_and_the_newest_frames_fresh() {
    // A tenth of the pushed data fits through. In each second the line stalls for 300 ms.
    let network = NetworkOptions {
        bytes_per_second: 500_000,
        stall: Duration::from_millis(300),
        stall_every: Duration::from_secs(1),
        ..Default::default()
    };
    let two = Two::new(network, SessionEncryption::None);
    let start = tokio::time::Instant::now();
    let age = |frame: &Frame| start.elapsed().as_millis() as u64 - frame.user_timestamp.unwrap();
    let mut delivered = 0;
    let mut oldest = 0;
    for _ in 0..5_000_u64 {
        let sent_at = start.elapsed().as_millis() as u64;
        two.alice.push(two.track, &[0; 5_000], Some(sent_at)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(two.sent().queued_bytes <= 1 << 20);
        while let Some(frame) = two.bob.subscriber(|subscriber, _| subscriber.read_frame(two.stream)) {
            delivered += 1;
            oldest = oldest.max(age(&frame));
        }
    }
    let stats = two.sent();
    // 100 ms in the queue, then the line's own buffer, and a stall.
    let line = SEND_BUFFER as u64 * 1_000 / 500_000;
    assert!(oldest <= 110 + line + 2 * 300 + 10, "{oldest} ms");
    assert!(delivered > 250, "{delivered}");
    assert!(stats.dropped.timed_out + stats.dropped.queue_full > 3_000, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn the_hub_keeps_its_members_deadlines() {
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    let start = tokio::time::Instant::now();
    let asked = PublishOptions::new("unanswered");
    let pending = two.alice.publisher(|publisher, now| publisher.publish(asked, now)).unwrap();
    let failed = PublisherEvent::PublishFailed { handle: pending, error: PublishError::Timeout };
    let mut told = Vec::new();
    while !told.contains(&LinkEvent::Publisher(failed.clone())) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        told.extend(events(&two.alice));
    }
    let waited = start.elapsed();
    assert!((10_000..10_200).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_stops_deadlines_without_a_busy_loop() {
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    two.alice.publisher(|publisher, now| publisher.publish(PublishOptions::new("b"), now)).unwrap();
    two.alice.handle_connection_lost();
    events(&two.alice);
    // Without this sleep the paused clock would not advance.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(events(&two.alice), []);
    two.alice.handle_resumed();
    assert!(matches!(events(&two.alice)[..], [LinkEvent::Publisher(PublisherEvent::PublishRequest(_))]));
    tokio::time::sleep(Duration::from_secs(11)).await;
    // The SFU may have taken the track although no answer has come, so it gets an unpublish request.
    assert!(matches!(
        events(&two.alice)[..],
        [
            LinkEvent::Publisher(PublisherEvent::PublishFailed { .. }),
            LinkEvent::Publisher(PublisherEvent::UnpublishRequest { .. }),
        ]
    ));
}

#[tokio::test(start_paused = true)]
async fn an_owner_may_come_back_to_the_hub_when_told_of_events() {
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    assert!(two.alices.hub.set(two.hub.clone()).is_ok());
    two.alice.push(two.track, &[0; 100], None).unwrap();
    two.alice.publisher(|publisher, _| publisher.watch_buffered(two.track, 0));
    two.next().await;
    let low = PublisherEvent::BufferedAmountLow { handle: two.track };
    assert_eq!(events(&two.alice), [LinkEvent::Publisher(low)]);
    assert_eq!(two.alices.told.load(Ordering::Relaxed), 3, "publish, its answer, and this");
}

#[tokio::test(start_paused = true)]
async fn a_better_network_takes_effect_and_keeps_the_order() {
    let slow = NetworkOptions { delay: Duration::from_millis(50), ..Default::default() };
    let two = Two::new(slow, SessionEncryption::None);
    two.alice.push(two.track, &[1], None).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    two.hub.set_network(NetworkOptions::default());
    two.alice.push(two.track, &[2], None).unwrap();
    for number in 1..=2 {
        assert_eq!(two.next().await.payload.to_bytes(), vec![number]);
    }
    two.alice.push(two.track, &[3], None).unwrap();
    assert_eq!(two.next().await.payload.to_bytes(), vec![3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing_from_other_threads_while_the_hub_forwards_loses_nothing_unaccounted() {
    const FRAMES: u64 = 20_000;
    let two = Two::new(NetworkOptions::default(), SessionEncryption::None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for number in 0..FRAMES / 2 {
                    two.alice.push(two.track, &[7; 100], Some(number)).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..1_000 {
                events(&two.alice);
                two.sent();
                two.hub.stats();
            }
        });
    });
    // No wake-up may be lost: everything leaves without another push.
    loop {
        let stats = two.sent();
        if stats.queued == 0 && two.completed() == stats.sent {
            assert_eq!(stats.pushed, FRAMES);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(two.hub.stats().forwarded, two.sent().packets_sent);
    two.hub.close();
    two.task.await.unwrap();
}

#[test]
fn events_of_two_threads_keep_their_order() {
    let host = Arc::new(Host::default());
    let link = Link::new(options(Clock::start(), SessionEncryption::None), host);
    const TRACKS: u16 = 2_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for number in 0..TRACKS {
                    let name = format!("{:?} {number}", std::thread::current().id());
                    let _ =
                        link.publisher(|publisher, now| publisher.publish(PublishOptions::new(name), now));
                }
            });
        }
    });
    let handles = events(&link).into_iter().map(|event| match event {
        LinkEvent::Publisher(PublisherEvent::PublishRequest(request)) => request.handle.get(),
        other => panic!("{other:?}"),
    });
    assert!(handles.eq(1..=2 * TRACKS), "in the order in which the publisher made them");
}

#[test]
fn a_failed_link_says_so_once_and_is_closed() {
    let host = Arc::new(Host::default());
    let link = Link::new(options(Clock::start(), SessionEncryption::None), host.clone());
    link.fail("a bug");
    assert_eq!(events(&link), [LinkEvent::Failed("a bug".to_owned())]);
    assert_eq!(host.told.load(Ordering::Relaxed), 1);
    let refused = link.publisher(|publisher, now| publisher.publish(PublishOptions::new("a"), now));
    assert_eq!(refused, Err(PublishError::Disconnected));
}
