//! One machine with access to each input, and a pair of machines with an SFU and a bad network between them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use datatrack::e2ee::{IvRandom, IvRandomError, KeyDerivation, KeyMaterial, KeyOptions, KeyScope};
use datatrack::packet::{Extensions, rewrite_handle};
use datatrack::packetizer::{Packetizer, PacketizerOptions};
use datatrack::publisher::{
    PublishOptions, PublisherConfig, PublisherEvent, SessionEncryption, UnpublishedBy,
};
use datatrack::stats::{FrameStats, PacketStats, SendStats, StreamStats};
use datatrack::subscriber::{
    Epoch, Frame, StreamId, SubscribeOptions, SubscriberConfig, SubscriberEvent, TrackId,
};
use datatrack::{EncryptionType, Handle, Instant, Publisher, Subscriber, TrackInfo, TrackSid};

pub const ALICE: &str = "alice";

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

pub fn handle(number: u16) -> Handle {
    Handle::new(number).unwrap()
}

pub fn sid(name: &str) -> TrackSid {
    TrackSid::new(&format!("DTR_{name}")).unwrap()
}

/// The info of an unencrypted track.
pub fn info(number: u16, sid_of: &str, name: &str) -> TrackInfo {
    TrackInfo {
        pub_handle: handle(number),
        sid: sid(sid_of),
        name: name.into(),
        encryption: EncryptionType::None,
        frame_encoding: None,
        schema: None,
    }
}

pub fn sealed_info(number: u16, sid_of: &str, name: &str) -> TrackInfo {
    TrackInfo { encryption: EncryptionType::Gcm, ..info(number, sid_of, name) }
}

/// Bytes that no other frame has.
pub fn payload(seed: usize, len: usize) -> Vec<u8> {
    let seed = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len).map(|at| ((seed >> (at % 8 * 8)) as u8).wrapping_add((at >> 3) as u8)).collect()
}

/// End-to-end encryption with keys for each participant, derived by HKDF, which is fast.
pub fn hkdf() -> SessionEncryption {
    SessionEncryption::Native(KeyOptions::per_participant(KeyDerivation::Hkdf))
}

pub fn key(seed: u8) -> KeyMaterial {
    vec![seed; 32].into()
}

struct CountedIvs(u64);

impl IvRandom for CountedIvs {
    fn fill(&mut self, prefix: &mut [u8; 8]) -> Result<(), IvRandomError> {
        self.0 += 1;
        *prefix = self.0.to_be_bytes();
        Ok(())
    }
}

pub fn publisher_with(encryption: SessionEncryption) -> Publisher {
    Publisher::new(PublisherConfig {
        encryption,
        publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
        timestamp_base: 1_000,
        iv_random: Box::new(CountedIvs(0)),
    })
}

pub fn publisher() -> Publisher {
    publisher_with(SessionEncryption::None)
}

pub fn subscriber_with(encryption: SessionEncryption) -> Subscriber {
    Subscriber::new(SubscriberConfig { encryption, ..Default::default() })
}

pub fn subscriber() -> Subscriber {
    subscriber_with(SessionEncryption::None)
}

pub fn encrypted(name: &str) -> PublishOptions {
    PublishOptions { encrypted: true, ..PublishOptions::new(name) }
}

/// A track that the SFU has confirmed at time 0, under `DTR_` and its name.
pub fn published(publisher: &mut Publisher, options: PublishOptions) -> Handle {
    let encryption = if options.encrypted { EncryptionType::Gcm } else { EncryptionType::None };
    let name = options.name.clone();
    let handle = publisher.publish(options, at(0)).unwrap();
    let answer = TrackInfo { encryption, ..info(handle.get(), &name, &name) };
    publisher.handle_publish_response(answer);
    sent_events(publisher);
    handle
}

pub fn sent_events(publisher: &mut Publisher) -> Vec<PublisherEvent> {
    std::iter::from_fn(|| publisher.poll_event()).collect()
}

pub fn events(subscriber: &mut Subscriber) -> Vec<SubscriberEvent> {
    std::iter::from_fn(|| subscriber.poll_event()).collect()
}

pub fn next_packet(publisher: &mut Publisher, now: Instant) -> Option<(Handle, Bytes)> {
    let transmit = publisher.peek_transmit(now)?;
    let packet = (transmit.handle, Bytes::copy_from_slice(transmit.packet));
    publisher.advance_transmit();
    Some(packet)
}

pub fn packets(publisher: &mut Publisher, now: Instant) -> Vec<(Handle, Bytes)> {
    std::iter::from_fn(|| next_packet(publisher, now)).collect()
}

/// Runs the publisher's derivations.
pub fn derive_sealing(publisher: &mut Publisher) {
    while let Some(derivation) = publisher.poll_derivation() {
        publisher.handle_derived(derivation.run());
    }
}

/// Runs the subscriber's derivations.
pub fn derive_opening(subscriber: &mut Subscriber, now: Instant) {
    while let Some(derivation) = subscriber.poll_derivation() {
        subscriber.handle_derived(derivation.run(), now);
    }
}

pub fn of_alice() -> KeyScope {
    KeyScope::Participant(ALICE.into())
}

/// Announces all tracks that Alice publishes now. Returns the numbers of the new tracks.
pub fn announce(subscriber: &mut Subscriber, infos: Vec<TrackInfo>, now: Instant) -> Vec<TrackId> {
    subscriber.handle_publication_update(ALICE, infos, now);
    events(subscriber)
        .into_iter()
        .filter_map(|event| match event {
            SubscriberEvent::TrackPublished { track, .. } => Some(track),
            _ => None,
        })
        .collect()
}

/// One unencrypted track with SID `DTR_a`. Stream 1 reads it, and it has handle 9.
pub fn subscribed(subscriber: &mut Subscriber) -> TrackId {
    let track = announce(subscriber, vec![info(1, "a", "a")], at(0))[0];
    subscriber.subscribe(track, StreamId(1), SubscribeOptions::default(), at(0)).unwrap();
    subscriber.handle_subscriber_handles(vec![(handle(9), sid("a"))], at(0));
    events(subscriber);
    track
}

pub fn read(subscriber: &mut Subscriber, stream: u32) -> Vec<Vec<u8>> {
    frames(subscriber, stream).iter().map(|frame| frame.payload.to_bytes().to_vec()).collect()
}

pub fn frames(subscriber: &mut Subscriber, stream: u32) -> Vec<Frame> {
    std::iter::from_fn(|| subscriber.read_frame(StreamId(stream))).collect()
}

/// Cuts frames into packets as they come from the SFU.
pub struct Sender(Packetizer);

impl Sender {
    pub fn new(number: u16) -> Self {
        let options = PacketizerOptions { max_packets_per_frame: 1_000 };
        Self(Packetizer::new(handle(number), options))
    }

    pub fn frame(&mut self, payload: &[u8]) -> Vec<Bytes> {
        self.frame_with(payload, Extensions::default())
    }

    pub fn frame_with(&mut self, payload: &[u8], extensions: Extensions) -> Vec<Bytes> {
        let mut out = Vec::new();
        let layout = self.0.packetize(payload, 0, extensions, 7, &mut out).unwrap();
        (0..layout.packets).map(|n| Bytes::copy_from_slice(&out[layout.range(n).unwrap()])).collect()
    }
}

/// Hands in packets of the present session.
pub fn receive(subscriber: &mut Subscriber, packets: impl IntoIterator<Item = Bytes>, now: Instant) {
    let epoch = subscriber.epoch();
    for packet in packets {
        subscriber.handle_packet(packet, epoch, now);
    }
}

pub fn assert_sent_closes(stats: SendStats) {
    assert_eq!(stats.pushed, stats.sent + stats.dropped.total() + stats.queued, "{stats:?}");
}

pub fn assert_packets_close(stats: PacketStats) {
    assert_eq!(stats.received, stats.accepted + stats.dropped.total() + stats.held, "{stats:?}");
}

pub fn assert_frames_close(stats: FrameStats) {
    assert_eq!(stats.opened, stats.completed + stats.dropped.total() + stats.open, "{stats:?}");
}

pub fn assert_stream_closes(stats: StreamStats) {
    assert_eq!(stats.received, stats.delivered + stats.dropped.total() + stats.buffered, "{stats:?}");
}

/// What the network between the pair does, in packets of 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub loss: u32,
    pub duplicate: u32,
    pub reorder: u32,
    pub delay_ms: u64,
}

/// A small generator (xorshift64*). The same seed gives the same fates.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % u64::from(limit)) as u32
    }
}

/// One machine of the pair, with its events so far.
pub struct TestPeer<Machine, Event> {
    pub machine: Machine,
    pub told: Vec<Event>,
}

/// Alice publishes, Bob reads, an SFU answers both at once, and packets cross a network.
pub struct Pair {
    pub alice: TestPeer<Publisher, PublisherEvent>,
    pub bob: TestPeer<Subscriber, SubscriberEvent>,
    pub now: Instant,
    pub weather: Weather,
    dice: Dice,
    in_flight: BTreeMap<(Instant, u64), (Handle, Epoch, Bytes)>,
    sent: u64,
    infos: Vec<TrackInfo>,
    table: HashMap<TrackSid, Handle>,
    next_handle: u16,
    next_sid: u32,
}

impl Pair {
    pub fn new(seed: u64, weather: Weather, encryption: SessionEncryption) -> Self {
        Self {
            alice: TestPeer { machine: publisher_with(encryption.clone()), told: Vec::new() },
            bob: TestPeer { machine: subscriber_with(encryption), told: Vec::new() },
            now: at(1),
            weather,
            dice: Dice::new(seed),
            in_flight: BTreeMap::new(),
            sent: 0,
            infos: Vec::new(),
            table: HashMap::new(),
            next_handle: 200,
            next_sid: 0,
        }
    }

    /// A track that Bob reads through stream 1, ready for pushes.
    pub fn with_track(&mut self, options: PublishOptions) -> (Handle, TrackId) {
        let handle = self.alice.machine.publish(options, self.now).unwrap();
        self.settle();
        let track = self
            .bob
            .told
            .iter()
            .rev()
            .find_map(|event| match event {
                SubscriberEvent::TrackPublished { track, .. } => Some(*track),
                _ => None,
            })
            .unwrap();
        self.bob.machine.subscribe(track, StreamId(1), SubscribeOptions::default(), self.now).unwrap();
        self.settle();
        (handle, track)
    }

    /// Carries out both machines' requests, as the SFU and the driver would, until there are none.
    pub fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(event) = self.alice.machine.poll_event() {
                idle = false;
                self.answer_alice(&event);
                self.alice.told.push(event);
            }
            while let Some(event) = self.bob.machine.poll_event() {
                idle = false;
                if let SubscriberEvent::UpdateSubscription { sid, subscribe, .. } = &event {
                    self.answer_bob(sid, *subscribe);
                }
                self.bob.told.push(event);
            }
            derive_sealing(&mut self.alice.machine);
            derive_opening(&mut self.bob.machine, self.now);
            while let Some((handle, packet)) = next_packet(&mut self.alice.machine, self.now) {
                idle = false;
                self.send(handle, packet);
            }
            if idle {
                return;
            }
        }
    }

    fn answer_alice(&mut self, event: &PublisherEvent) {
        match event {
            PublisherEvent::PublishRequest(request) => {
                self.next_sid += 1;
                let info = TrackInfo {
                    pub_handle: request.handle,
                    sid: sid(&self.next_sid.to_string()),
                    name: request.name.clone(),
                    encryption: request.encryption,
                    frame_encoding: request.frame_encoding.clone(),
                    schema: request.schema.clone(),
                };
                self.infos.push(info.clone());
                self.alice.machine.handle_publish_response(info);
            }
            PublisherEvent::UnpublishRequest { handle } => {
                self.infos.retain(|info| info.pub_handle != *handle);
                self.alice.machine.handle_unpublish_response(*handle);
            }
            _ => return,
        }
        self.bob.machine.handle_publication_update(ALICE, self.infos.clone(), self.now);
    }

    fn answer_bob(&mut self, sid: &TrackSid, subscribe: bool) {
        if subscribe && self.infos.iter().any(|info| info.sid == *sid) {
            if !self.table.contains_key(sid) {
                self.table.insert(sid.clone(), handle(self.next_handle));
                self.next_handle += 1;
            }
        } else {
            self.table.remove(sid);
        }
        let table = self.table.iter().map(|(sid, handle)| (*handle, sid.clone())).collect();
        self.bob.machine.handle_subscriber_handles(table, self.now);
    }

    fn send(&mut self, handle: Handle, packet: Bytes) {
        let roll = |dice: &mut Dice, share| dice.below(1_000) < share;
        let lost = roll(&mut self.dice, self.weather.loss);
        let copies = 1 + u64::from(roll(&mut self.dice, self.weather.duplicate));
        let Some(info) = self.infos.iter().find(|info| info.pub_handle == handle) else { return };
        let Some(&route) = self.table.get(&info.sid) else { return };
        if lost {
            return;
        }
        let mut packet = packet.to_vec();
        rewrite_handle(&mut packet, route);
        for _ in 0..copies {
            let late = if roll(&mut self.dice, self.weather.reorder) { 20 } else { 0 };
            self.sent += 1;
            let due = self.now + ms(self.weather.delay_ms + late);
            let epoch = self.bob.machine.epoch();
            self.in_flight.insert((due, self.sent), (route, epoch, packet.clone().into()));
        }
    }

    /// Lets time pass from one deadline to the next: of Alice, of Bob, and of packets in flight.
    pub fn progress(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let packet = self.in_flight.first_key_value().map(|((due, _), _)| *due);
            let next = [packet, self.alice.machine.poll_timeout(), self.bob.machine.poll_timeout()]
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= end);
            self.now = next.map_or(end, |next| next.max(self.now));
            while let Some(first) = self.in_flight.first_entry()
                && first.key().0 <= self.now
            {
                let (_, epoch, packet) = first.remove();
                self.bob.machine.handle_packet(packet, epoch, self.now);
                assert_packets_close(self.bob.machine.packet_stats());
            }
            self.alice.machine.handle_timeout(self.now);
            self.bob.machine.handle_timeout(self.now);
            self.settle();
            self.check();
            if next.is_none() {
                return;
            }
        }
    }

    /// Rebuilds the connections of both. The SFU starts afresh.
    pub fn rebuild(&mut self) {
        self.in_flight.clear();
        self.infos.clear();
        self.table.clear();
        self.next_handle = 200;
        self.alice.machine.handle_connection_lost();
        self.bob.machine.handle_connection_lost();
        self.alice.machine.handle_rebuilt(self.now);
        self.bob.machine.handle_rebuilt(self.now);
        self.settle();
    }

    /// Checks that all counters add up.
    pub fn check(&self) {
        for number in 1..=4 {
            if let Some(stats) = self.alice.machine.track_stats(handle(number)) {
                assert_sent_closes(stats);
            }
            if let Some(stats) = self.bob.machine.track_stats(TrackId(number.into())) {
                assert_frames_close(stats);
            }
            if let Some(stats) = self.bob.machine.stream_stats(StreamId(number.into())) {
                assert_stream_closes(stats);
            }
        }
        assert_packets_close(self.bob.machine.packet_stats());
        if let Some(stats) = self.bob.machine.track_stats(TrackId(0)) {
            assert_frames_close(stats);
        }
    }

    pub fn ends_of(&self, handle: Handle) -> usize {
        self.alice
            .told
            .iter()
            .filter(|event| match event {
                PublisherEvent::PublishFailed { handle: ended, .. }
                | PublisherEvent::Unpublished { handle: ended, .. } => *ended == handle,
                _ => false,
            })
            .count()
    }
}

/// Why a publication ended, if its end is the only event.
pub fn only_end(events: &[PublisherEvent]) -> Option<&UnpublishedBy> {
    match events {
        [PublisherEvent::Unpublished { by, .. }] => Some(by),
        _ => None,
    }
}
