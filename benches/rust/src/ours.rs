//! Core and driver.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that fails says so and ends")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use datatrack::e2ee::{KeyDerivation, KeyMaterial, KeyOptions, KeyScope, SystemIvRandom};
use datatrack::publisher::{PublishOptions, Publisher, PublisherConfig, SessionEncryption};
use datatrack::subscriber::{
    Epoch, StreamId, SubscribeOptions, Subscriber, SubscriberConfig, SubscriberEvent, TrackId,
};
use datatrack::{EncryptionType, Handle, Instant, TrackInfo, TrackSid};
use datatrack_transport::{Link, LinkHost, LinkOptions};

use crate::feed::{Feed, batch};
use crate::measure::Contender;

const KEY: &[u8] = b"a key for the bench";

fn encryption(encrypted: bool) -> SessionEncryption {
    if encrypted {
        SessionEncryption::Native(KeyOptions::shared(KeyDerivation::Hkdf))
    } else {
        SessionEncryption::None
    }
}

fn publisher_config(encrypted: bool) -> PublisherConfig {
    PublisherConfig {
        encryption: encryption(encrypted),
        publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
        timestamp_base: 1,
        iv_random: Box::new(SystemIvRandom::new()),
    }
}

fn subscriber_config(encrypted: bool) -> SubscriberConfig {
    SubscriberConfig { encryption: encryption(encrypted), ..SubscriberConfig::default() }
}

fn info(number: u16, encrypted: bool) -> TrackInfo {
    TrackInfo {
        pub_handle: Handle::new(number).unwrap(),
        sid: TrackSid::new(&format!("DTR_{number}")).unwrap(),
        name: format!("track {number}").into(),
        encryption: if encrypted { EncryptionType::Gcm } else { EncryptionType::None },
        frame_encoding: None,
        schema: None,
    }
}

/// Publishes tracks 1 to `tracks`. The key is in use.
fn publish(publisher: &mut Publisher, tracks: u16, encrypted: bool) {
    for number in 1..=tracks {
        let info = info(number, encrypted);
        let options = PublishOptions { encrypted, ..PublishOptions::new(info.name.clone()) };
        publisher.publish(options, Instant::ZERO).unwrap();
        publisher.handle_publish_response(info);
    }
    if encrypted {
        publisher.set_key(0, KeyMaterial::from(KEY)).unwrap();
        let derivation = publisher.poll_derivation().unwrap();
        publisher.handle_derived(derivation.run());
    }
    while publisher.poll_event().is_some() {}
}

/// Subscribes to tracks 1 to `tracks`. A track's handle and stream have the track's number.
fn subscribe(subscriber: &mut Subscriber, tracks: u16, encrypted: bool) {
    let infos = (1..=tracks).map(|number| info(number, encrypted)).collect();
    subscriber.handle_publication_update("alice", infos, Instant::ZERO);
    let mut number = 0;
    while let Some(event) = subscriber.poll_event() {
        if let SubscriberEvent::TrackPublished { track, .. } = event {
            number += 1;
            open(subscriber, track, StreamId(number));
        }
    }
    let handle = |number| (Handle::new(number).unwrap(), info(number, encrypted).sid);
    subscriber.handle_subscriber_handles((1..=tracks).map(handle).collect(), Instant::ZERO);
    if encrypted {
        subscriber.set_key(KeyScope::Shared, 0, KeyMaterial::from(KEY)).unwrap();
        let derivation = subscriber.poll_derivation().unwrap();
        subscriber.handle_derived(derivation.run(), Instant::ZERO);
    }
    while subscriber.poll_event().is_some() {}
}

fn open(subscriber: &mut Subscriber, track: TrackId, stream: StreamId) {
    subscriber.subscribe(track, stream, SubscribeOptions::default(), Instant::ZERO).unwrap();
}

/// A frame's packets, cut and sealed by the publisher.
pub(crate) fn feed(size: usize, encrypted: bool) -> Feed {
    let mut publisher = Publisher::new(publisher_config(encrypted));
    publish(&mut publisher, 1, encrypted);
    publisher.push(Handle::new(1).unwrap(), &vec![7; size], None, Instant::ZERO).unwrap();
    let mut packets = Vec::new();
    while let Some(transmit) = publisher.peek_transmit(Instant::ZERO) {
        packets.push(transmit.packet.to_vec());
        publisher.advance_transmit();
    }
    Feed::new(packets)
}

pub(crate) fn core_publish(size: usize, encrypted: bool) -> Contender<'static> {
    let mut publisher = Publisher::new(publisher_config(encrypted));
    publish(&mut publisher, 1, encrypted);
    let handle = Handle::new(1).unwrap();
    let payload = vec![7; size];
    let mut micros = 0;
    Contender::simple("core", move || {
        micros += 10;
        let now = Instant::from_micros(micros);
        publisher.push(handle, black_box(&payload), None, now).unwrap();
        while let Some(transmit) = publisher.peek_transmit(now) {
            black_box(transmit.packet);
            publisher.advance_transmit();
        }
    })
}

pub(crate) fn core_subscribe(size: usize, encrypted: bool) -> Contender<'static> {
    let mut subscriber = Subscriber::new(subscriber_config(encrypted));
    subscribe(&mut subscriber, 1, encrypted);
    let mut feed = feed(size, encrypted);
    let mut target = vec![0; size];
    let mut micros = 0;
    Contender::new("core", move |frames| {
        fed(&mut feed, size, frames, |batch| {
            for packets in batch {
                micros += 10;
                let now = Instant::from_micros(micros);
                for packet in packets {
                    subscriber.handle_packet(packet, Epoch::default(), now);
                }
                let frame = subscriber.read_frame(StreamId(1)).unwrap();
                black_box(frame.payload.copy_to(&mut target).unwrap());
            }
        })
    })
}

/// Prepares frames in batches, and measures `take` alone.
fn fed(feed: &mut Feed, size: usize, frames: u32, mut take: impl FnMut(Vec<Vec<Bytes>>)) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = frames;
    while left > 0 {
        let here = left.min(batch(size));
        left -= here;
        let batch = (0..here).map(|_| feed.next()).collect();
        let start = Clock::now();
        take(batch);
        elapsed += start.elapsed();
    }
    elapsed
}

struct SilentHost;

impl LinkHost for SilentHost {
    fn events_ready(&self) {}
    fn frames_ready(&self) {}
    fn work_ready(&self) {}
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

fn link(encrypted: bool) -> Arc<Link> {
    let options = LinkOptions {
        publisher: publisher_config(encrypted),
        subscriber: subscriber_config(encrypted),
        clock: datatrack_transport::Clock::start(),
    };
    Link::new(options, Arc::new(SilentHost))
}

/// Pushes `at_once` frames. Then a turn of the task takes their packets.
pub(crate) fn link_publish(
    name: &'static str,
    size: usize,
    encrypted: bool,
    at_once: u32,
) -> Contender<'static> {
    let link = link(encrypted);
    link.publisher(|publisher, _| publish(publisher, 1, encrypted));
    let handle = Handle::new(1).unwrap();
    let payload = vec![7; size];
    Contender::new(name, move |frames| {
        let start = Clock::now();
        let mut left = frames;
        while left > 0 {
            let here = left.min(at_once);
            left -= here;
            for _ in 0..here {
                link.push(handle, black_box(&payload), None).unwrap();
            }
            while link.transmit(|_, packet| !black_box(packet).is_empty()).is_some() {}
        }
        start.elapsed()
    })
}

/// The packets of `at_once` frames arrive. Then a reader takes the frames.
pub(crate) fn link_subscribe(
    name: &'static str,
    size: usize,
    encrypted: bool,
    at_once: u32,
) -> Contender<'static> {
    let link = link(encrypted);
    link.subscriber(|subscriber, _| subscribe(subscriber, 1, encrypted));
    let mut feed = feed(size, encrypted);
    let mut target = vec![0; size];
    let mut taken = Vec::new();
    Contender::new(name, move |frames| {
        fed(&mut feed, size, frames, |batch| {
            if at_once == 1 {
                for packets in batch {
                    link.handle_packets(packets, Epoch::default());
                    let frame = link.subscriber(|subscriber, _| subscriber.read_frame(StreamId(1)));
                    black_box(frame.unwrap().payload.copy_to(&mut target).unwrap());
                }
                return;
            }
            let mut batch = batch.into_iter().flatten().peekable();
            while batch.peek().is_some() {
                link.handle_packets(batch.by_ref().take(at_once as usize), Epoch::default());
                link.subscriber(|subscriber, _| {
                    while let Some(frame) = subscriber.read_frame(StreamId(1)) {
                        taken.push(frame);
                    }
                });
                // Copied without a lock, as the binding does it.
                for frame in taken.drain(..) {
                    black_box(frame.payload.copy_to(&mut target).unwrap());
                }
            }
        })
    })
}

/// Packets or frames that a task moves before other tasks have a turn.
const TURN: u32 = 64;

/// That many tracks take turns, through the link.
pub(crate) fn publish_many(name: &'static str, tracks: u16, size: usize) -> Contender<'static> {
    let link = link(false);
    link.publisher(|publisher, _| publish(publisher, tracks, false));
    let payload = vec![7; size];
    let mut numbers = (1..=tracks).cycle();
    Contender::new(name, move |frames| {
        let start = Clock::now();
        for _ in 0..frames.div_ceil(TURN) {
            for number in numbers.by_ref().take(TURN as usize) {
                let handle = Handle::new(number).unwrap();
                link.push(handle, black_box(&payload), None).unwrap();
            }
            while link.transmit(|_, packet| !black_box(packet).is_empty()).is_some() {}
        }
        per_frame(start.elapsed(), frames)
    })
}

/// That many tracks take turns, each with a stream whose reader waits, through the link.
pub(crate) fn subscribe_many(name: &'static str, tracks: u16, size: usize) -> Contender<'static> {
    let link = link(false);
    link.subscriber(|subscriber, _| {
        subscribe(subscriber, tracks, false);
        (1..=tracks).for_each(|number| {
            subscriber.request_frames(StreamId(number.into()));
        });
    });
    let one = feed(size, false);
    let mut feeds: Vec<_> = (1..=tracks).map(|number| one.under(number)).collect();
    let mut target = vec![0; size];
    let mut turn = 0;
    Contender::new(name, move |frames| {
        let mut elapsed = Duration::ZERO;
        for _ in 0..frames.div_ceil(TURN) {
            let mut packets = Vec::new();
            for _ in 0..TURN {
                let index = turn % feeds.len();
                turn += 1;
                packets.extend(feeds[index].next());
            }
            let start = Clock::now();
            link.handle_packets(packets, Epoch::default());
            let mut read = 0;
            link.subscriber(|subscriber, _| {
                while let Some(stream) = subscriber.poll_readable() {
                    while let Some(frame) = subscriber.read_frame(stream) {
                        black_box(frame.payload.copy_to(&mut target).unwrap());
                        read += 1;
                    }
                    subscriber.request_frames(stream);
                }
            });
            elapsed += start.elapsed();
            assert_eq!(read, TURN, "frames were lost");
        }
        per_frame(elapsed, frames)
    })
}

/// Only whole turns are made, so there may be some more frames than requested.
fn per_frame(elapsed: Duration, frames: u32) -> Duration {
    elapsed * frames / (frames.div_ceil(TURN) * TURN)
}

/// How many of `bursts` frames arrive when all packets of each come at once.
pub(crate) fn burst(packets: usize, bursts: u32) -> u32 {
    let link = link(false);
    link.subscriber(|subscriber, _| subscribe(subscriber, 1, false));
    let mut feed = feed(packets * 15_988, false);
    let arrived = |frame| match link.subscriber(|subscriber, _| subscriber.read_frame(StreamId(1))) {
        Some(_) => frame + 1,
        None => frame,
    };
    (0..bursts).fold(0, |frames, _| {
        let burst = feed.next();
        if burst.len() != packets {
            panic!("{} packets instead of {packets}", burst.len());
        }
        link.handle_packets(burst, Epoch::default());
        arrived(frames)
    })
}
