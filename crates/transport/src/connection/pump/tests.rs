//! The pump between two peers, over a line with a rate, a delay and a small buffer. The test moves the clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bursts;

use std::collections::VecDeque;
use std::sync::Arc;

use datatrack::e2ee::SystemIvRandom;
use datatrack::packet::{Handle, Header};
use datatrack::publisher::{PublishOptions, PublisherConfig, SessionEncryption};
use datatrack::subscriber::SubscriberConfig;
use datatrack::{EncryptionType, TrackInfo, TrackSid};

use super::*;
use crate::peer::{Datagram, LocalCandidate, PeerEvent, Protocol};
use crate::{Clock, LinkHost, LinkOptions};

const MS: Duration = Duration::from_millis(1);

/// Bytes that the line's router holds.
const ROUTER: usize = 256 << 10;

/// The age of a frame above which the track's queue drops it.
const MAX_AGE: Duration = Duration::from_millis(100);

struct SilentHost;

impl LinkHost for SilentHost {
    fn events_ready(&self) {}
    fn frames_ready(&self) {}
    fn work_ready(&self) {}
    fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
}

/// One direction of the line.
struct Way {
    /// Bytes a second.
    rate: f64,
    delay: Duration,
    free_at: Instant,
    under_way: VecDeque<(Instant, Datagram)>,
    /// Of so many datagrams one is lost; 0: none.
    loses_one_in: u32,
    sent: u32,
}

/// What a stalled line does with datagrams.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stall {
    Holds,
    Drops,
}

impl Way {
    fn send(&mut self, datagram: Datagram, now: Instant) {
        self.sent += 1;
        if self.loses_one_in > 0 && self.sent.is_multiple_of(self.loses_one_in) {
            return;
        }
        let start = self.free_at.max(now);
        let backlog = start.duration_since(now).as_secs_f64() * self.rate;
        if backlog > ROUTER as f64 {
            return;
        }
        self.free_at = start + Duration::from_secs_f64(datagram.contents.len() as f64 / self.rate);
        self.under_way.push_back((self.free_at + self.delay, datagram));
    }

    fn receive(&mut self, now: Instant) -> Option<Datagram> {
        self.under_way.front().filter(|(at, _)| *at <= now)?;
        self.under_way.pop_front().map(|(_, datagram)| datagram)
    }
}

/// A frame that arrived: when it was pushed and when it arrived, since the start, and its bytes.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    pushed: Duration,
    came: Duration,
    bytes: usize,
}

impl Arrival {
    fn age(&self) -> Duration {
        self.came - self.pushed
    }
}

struct World {
    start: Instant,
    now: Instant,
    sender: Peer,
    receiver: Peer,
    there: Way,
    back: Way,
    link: Arc<Link>,
    track: Handle,
    pump: Pump,
    outgoing: Mutex<Outgoing>,
    stats: ConnectionStats,
    stall: Option<Stall>,
    arrivals: Vec<Arrival>,
    messages: Vec<Duration>,
    most_buffered: usize,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl World {
    /// Two connected peers and a published track.
    async fn new(rate: f64, rtt: Duration) -> Self {
        Box::pin(Self::over(Protocol::Udp, rate, rtt)).await
    }

    async fn over(protocol: Protocol, rate: f64, rtt: Duration) -> Self {
        let link = Link::new(
            LinkOptions {
                publisher: PublisherConfig {
                    encryption: SessionEncryption::None,
                    publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
                    timestamp_base: 0,
                    iv_random: Box::new(SystemIvRandom::new()),
                },
                subscriber: SubscriberConfig::default(),
                clock: Clock::start(),
            },
            Arc::new(SilentHost),
        );
        let options = PublishOptions::new("track");
        let track = link.publisher(|publisher, now| publisher.publish(options, now)).unwrap();
        let info = TrackInfo {
            pub_handle: track,
            sid: TrackSid::new("DTR_track").unwrap(),
            name: "track".into(),
            encryption: EncryptionType::None,
            frame_encoding: None,
            schema: None,
        };
        link.publisher(|publisher, _| publisher.handle_publish_response(info));
        let start = now();
        let way = || Way {
            rate,
            delay: rtt / 2,
            free_at: start,
            under_way: VecDeque::new(),
            loses_one_in: 0,
            sent: 0,
        };
        let mut world = Self {
            start,
            now: start,
            sender: Peer::offering(start),
            receiver: Peer::answering(start),
            there: way(),
            back: way(),
            link,
            track,
            pump: Pump::new(),
            outgoing: Mutex::default(),
            stats: ConnectionStats::default(),
            stall: None,
            arrivals: Vec::new(),
            messages: Vec::new(),
            most_buffered: 0,
        };
        world
            .sender
            .add_local_candidate(LocalCandidate::Host(protocol, "10.0.0.1:1".parse().unwrap()), start);
        world
            .receiver
            .add_local_candidate(LocalCandidate::Host(protocol, "10.0.0.2:2".parse().unwrap()), start);
        let offer = world.sender.create_offer(start).unwrap();
        let answer = world.receiver.handle_offer(&offer, start).unwrap();
        world.sender.handle_answer(&answer, start).unwrap();
        if protocol == Protocol::Tcp {
            // Our peer only dials TCP. A server's candidate is passive: it can be dialled.
            let passive = "candidate:1 1 tcp 1 10.0.0.2 2 typ host tcptype passive";
            world.sender.add_remote_candidate(passive, start).unwrap();
        }
        while !world.sender.is_connected() {
            world.step().await;
        }
        // After this the round-trip time is known.
        world.run(Duration::from_secs(2), 0, 0).await;
        world
    }

    fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    /// Runs one millisecond.
    async fn step(&mut self) {
        tokio::time::advance(MS).await;
        self.now = now();
        if self.sender.is_connected() {
            while self.pump.run(&mut self.sender, &self.link, &self.outgoing, &mut self.stats, self.now) {}
        }
        self.most_buffered = self.most_buffered.max(self.sender.buffered(ChannelKind::DataTrack));
        for (peer, way) in [(&mut self.sender, &mut self.there), (&mut self.receiver, &mut self.back)] {
            if peer.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                peer.handle_timeout(self.now);
            }
            while let Some(datagram) = peer.poll_transmit() {
                if self.stall != Some(Stall::Drops) {
                    way.send(datagram, self.now);
                }
            }
        }
        if self.stall.is_none() {
            for (peer, way) in [(&mut self.receiver, &mut self.there), (&mut self.sender, &mut self.back)] {
                while let Some(Datagram { protocol, local, remote, contents }) = way.receive(self.now) {
                    peer.handle_datagram(protocol, remote, local, &contents, self.now);
                }
            }
        }
        let elapsed = self.elapsed();
        while let Some(event) = self.receiver.poll_event() {
            match event {
                PeerEvent::Message { channel: ChannelKind::DataTrack, data } => {
                    let (_, at) = Header::parse(&data).unwrap();
                    let pushed = u64::from_be_bytes(data[at..at + 8].try_into().unwrap());
                    let pushed = Duration::from_micros(pushed);
                    self.arrivals.push(Arrival { pushed, came: elapsed, bytes: data.len() });
                }
                PeerEvent::Message { channel: ChannelKind::Reliable, .. } => self.messages.push(elapsed),
                _ => {}
            }
        }
        while let Some(event) = self.sender.poll_event() {
            assert!(!matches!(event, PeerEvent::Closed | PeerEvent::Disconnected), "{event:?}");
        }
    }

    /// Pushes `count` frames of `size` bytes in each millisecond of `length`. Their payload begins with the time.
    async fn run(&mut self, length: Duration, count: usize, size: usize) {
        let until = self.now + length;
        while self.now < until {
            for _ in 0..count {
                let mut payload = vec![0; size];
                let pushed = u64::try_from(self.elapsed().as_micros()).unwrap();
                payload[..8].copy_from_slice(&pushed.to_be_bytes());
                self.link.push(self.track, &payload, None).unwrap();
            }
            self.step().await;
        }
    }
}

/// No old frame arrives late: neither one that a stalled line held, nor one that was pushed meanwhile.
async fn stall(kind: Stall, length: Duration) {
    let rtt = 20 * MS;
    let mut world = Box::pin(World::new(1e6, rtt)).await;
    world.run(Duration::from_secs(3), 10, 1_000).await;
    let limit = world.pump.limit();
    world.most_buffered = 0;
    world.stall = Some(kind);
    world.run(length, 10, 1_000).await;
    assert!(world.most_buffered <= limit, "{} of {limit} bytes", world.most_buffered);
    let queued =
        world.link.publisher(|publisher, _| publisher.track_stats(world.track)).unwrap().queued_bytes;
    assert!(queued <= 1 << 20, "{queued}");
    world.stall = None;
    let released = world.elapsed();
    let before = world.arrivals.len();
    world.run(Duration::from_secs(8), 10, 1_000).await;
    let after = &world.arrivals[before..];
    let fresh = MAX_AGE + rtt;
    let stale: usize =
        after.iter().filter(|arrival| arrival.age() > fresh).map(|arrival| arrival.bytes).sum();
    assert!(stale <= limit, "{stale} stale bytes of {limit}");
    let first = after.iter().find(|arrival| arrival.age() <= fresh).unwrap().came - released;
    // Answers to ICE checks arrive every 0.4 s. They end SCTP's wait, which would last up to the stall's length.
    assert!(first < Duration::from_millis(4_500), "the first fresh frame came after {first:?}");
    let last = after.last().unwrap().came;
    assert!(world.elapsed() - last < 10 * MS, "{:?} {kind:?} {length:?}", world.elapsed() - last);
    let bytes: usize = after
        .iter()
        .filter(|arrival| arrival.came > last - Duration::from_secs(2))
        .map(|arrival| arrival.bytes)
        .sum();
    assert!(bytes > 1_700_000, "{bytes} bytes in the last two seconds of a line that takes two million");
}

#[tokio::test(start_paused = true)]
async fn after_a_stall_nothing_old_comes_late() {
    for kind in [Stall::Drops, Stall::Holds] {
        for seconds in [2, 5, 10, 15] {
            Box::pin(stall(kind, Duration::from_secs(seconds))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_message_that_the_caller_waits_for_is_acknowledged_at_once() {
    let rtt = 20 * MS;
    let mut world = Box::pin(World::new(10e6, rtt)).await;
    world.outgoing.get_mut().unwrap().watch(ChannelKind::Reliable, 0);
    for count in 1..=3 {
        world.outgoing.get_mut().unwrap().push(ChannelKind::Reliable, "message".into()).unwrap();
        world.run(rtt + 5 * MS, 0, 0).await;
        assert_eq!(world.messages.len(), count);
        assert_eq!(world.sender.buffered(ChannelKind::Reliable), 0, "SCTP's delay is 200 ms");
    }
}

#[cfg(feature = "sctp-stock")]
#[tokio::test(start_paused = true)]
async fn no_dummy_is_sent_until_the_caller_waits_for_an_acknowledgement() {
    let rtt = 20 * MS;
    let mut world = Box::pin(World::new(10e6, rtt)).await;
    world.outgoing.get_mut().unwrap().push(ChannelKind::Reliable, "message".into()).unwrap();
    world.run(rtt + 5 * MS, 0, 0).await;
    assert_eq!(world.messages.len(), 1);
    assert!(world.sender.buffered(ChannelKind::Reliable) > 0);
    world.outgoing.get_mut().unwrap().watch(ChannelKind::Reliable, 0);
    world.run(rtt + 5 * MS, 0, 0).await;
    assert_eq!(world.sender.buffered(ChannelKind::Reliable), 0);
}

/// Our SCTP asks for the acknowledgement by the I bit (RFC 7053).
#[cfg(not(feature = "sctp-stock"))]
#[tokio::test(start_paused = true)]
async fn a_lone_message_is_acknowledged_at_once() {
    let rtt = 20 * MS;
    let mut world = Box::pin(World::new(10e6, rtt)).await;
    for count in 1..=3 {
        world.outgoing.get_mut().unwrap().push(ChannelKind::Reliable, "message".into()).unwrap();
        world.run(rtt + 5 * MS, 0, 0).await;
        assert_eq!(world.messages.len(), count);
        assert_eq!(world.sender.buffered(ChannelKind::Reliable), 0, "SCTP's delay is 200 ms");
    }
    // Nothing else was sent to force it.
    assert_eq!(world.sender.written(ChannelKind::Lossy), 0);
}

#[tokio::test(start_paused = true)]
async fn a_round_trip_that_ice_measured_while_all_was_slow_is_soon_corrected() {
    let mut world = Box::pin(World::new(20e6, 100 * MS)).await;
    world.there.delay = MS;
    world.back.delay = MS;
    world.pump = Pump::new();
    world.run(Duration::from_millis(300), 2, 15_000).await;
    assert!(world.pump.rtt.unwrap() >= 100 * MS, "ICE has not measured again");
    // 100 ms at 20 MB/s would be two megabytes.
    assert!((32 << 10..512 << 10).contains(&world.pump.limit()), "{} bytes", world.pump.limit());
}

#[tokio::test(start_paused = true)]
async fn a_long_way_is_filled() {
    // 12 MB/s of datagrams; 15 MB/s are offered.
    let mut world = Box::pin(World::new(12e6, 40 * MS)).await;
    let begin = world.elapsed();
    world.run(Duration::from_secs(4), 1, 15_000).await;
    let within = |from: f64, to: f64| -> f64 {
        let range = begin + Duration::from_secs_f64(from)..begin + Duration::from_secs_f64(to);
        let bytes: usize = world
            .arrivals
            .iter()
            .filter(|arrival| range.contains(&arrival.came))
            .map(|arrival| arrival.bytes)
            .sum();
        bytes as f64 / (to - from)
    };
    // SCTP's window starts at four kilobytes and doubles with each round trip.
    assert!(within(0.8, 1.0) > 10e6, "{} MB/s", within(0.8, 1.0) / 1e6);
    assert!(within(2.0, 4.0) > 11e6, "{} MB/s", within(2.0, 4.0) / 1e6);
    let opened = world.arrivals.iter().filter(|arrival| arrival.pushed > begin + Duration::from_secs(1));
    let oldest = opened.map(Arrival::age).max().unwrap();
    assert!(oldest < MAX_AGE + 40 * MS, "{oldest:?}");
}

/// One datagram in a hundred is lost, and with it one frame of 13 datagrams in eight.
#[cfg(not(feature = "sctp-stock"))]
#[tokio::test(start_paused = true)]
async fn a_lost_part_of_a_frame_is_sent_once_more_while_the_frame_is_fresh() {
    let rtt = 40 * MS;
    let mut world = Box::pin(World::new(10e6, rtt)).await;
    // At first the window opens.
    for loses_one_in in [0, 100] {
        world.there.loses_one_in = loses_one_in;
        world.arrivals.clear();
        for _ in 0..200 {
            world.run(MS, 1, 15_000).await;
            world.run(9 * MS, 0, 0).await;
        }
        world.run(Duration::from_secs(1), 0, 0).await;
    }
    assert_eq!(world.arrivals.len(), 200);
    let late = world.arrivals.iter().filter(|arrival| arrival.age() > rtt).count();
    assert!((10..50).contains(&late), "{late} frames came in the second attempt");
    let oldest = world.arrivals.iter().map(Arrival::age).max().unwrap();
    assert!(oldest < MAX_AGE + rtt, "{oldest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_large_frames_fits_a_long_line_that_has_room_for_it() {
    // The longer the line, the longer it takes until the limit has grown to what the stream needs.
    for (rtt, seconds) in [(120 * MS, 4), (240 * MS, 10)] {
        let mut world = Box::pin(World::new(10e6, rtt)).await;
        for second in 0..seconds + 4 {
            world.arrivals.clear();
            for _ in 0..100 {
                world.run(MS, 1, 15_000).await;
                world.run(9 * MS, 0, 0).await;
            }
            let (arrived, limit) = (world.arrivals.len(), world.pump.limit());
            assert!(second < seconds || arrived >= 99, "{rtt:?}: {arrived} of 100 arrived, limit {limit}");
        }
    }
}
