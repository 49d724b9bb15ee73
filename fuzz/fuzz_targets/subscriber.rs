//! Any calls on a subscriber, in any order: it never panics, its counters add up, and its events are consistent.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use datatrack::depacketizer::DepacketizerOptions;
use datatrack::e2ee::{Derivation, KeyDerivation, KeyOptions, KeyScope};
use datatrack::packet::{E2eeExtension, Extensions, Header, Marker};
use datatrack::publisher::SessionEncryption;
use datatrack::subscriber::{
    BufferPolicy, Epoch, Frame, StreamId, SubscribeOptions, SubscriberConfig, SubscriberEvent, TrackId,
};
use datatrack::{EncryptionType, Handle, Instant, Subscriber, TrackInfo, TrackSid};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    encryption: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
struct Info {
    handle: u8,
    sid: u8,
    name: u8,
    encrypted: bool,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Update {
        publisher: u8,
        infos: Vec<Info>,
    },
    Subscribe {
        track: u8,
        stream: u8,
        frames: Option<u8>,
        max_bytes: u16,
        target_fps: u8,
        allow: bool,
        latest: bool,
    },
    Latest {
        stream: u8,
        number: Option<u8>,
        len: u16,
    },
    Unsubscribe(u8),
    Table(Vec<(u8, u8)>),
    /// All announced tracks, in order, from this handle on.
    FullTable(u8),
    Packet {
        handle: u8,
        marker: u8,
        sequence: u8,
        frame: u8,
        len: u16,
        key_index: Option<u8>,
    },
    Frames {
        handle: u8,
        first: u16,
        count: u8,
    },
    Raw(Vec<u8>),
    StalePacket {
        handle: u8,
        epoch: u8,
    },
    Request(u8),
    Readable,
    Read {
        stream: u8,
        decode: bool,
    },
    Pipeline {
        track: u8,
        partial: u8,
        packets: u8,
    },
    Wait {
        ms: u16,
    },
    Lost,
    Resumed,
    Rebuilt,
    SetKey {
        publisher: u8,
        index: u8,
        seed: u8,
    },
    Ratchet {
        publisher: u8,
        index: u8,
    },
    StartDerivation,
    EndDerivation,
    OpenFailure(u8),
    Close,
}

#[derive(Default)]
struct Told {
    subscribed: bool,
    ended: bool,
}

struct Checked {
    subscriber: Subscriber,
    now: Instant,
    tracks: HashMap<TrackId, TrackInfo>,
    streams: HashMap<StreamId, Told>,
    derivations: Vec<Derivation>,
    sealed_session: bool,
}

impl Checked {
    fn check(&mut self) {
        while let Some(event) = self.subscriber.poll_event() {
            match event {
                SubscriberEvent::TrackPublished { track, info, .. } => {
                    assert!(self.tracks.insert(track, info).is_none(), "published twice");
                }
                SubscriberEvent::TrackUpdated { track, info } => {
                    let before = self.tracks.insert(track, info.clone()).expect("a track that was told");
                    assert_ne!(before.sid, info.sid);
                    assert_eq!((before.encryption, &before.name), (info.encryption, &info.name));
                }
                SubscriberEvent::TrackUnpublished { track, sid, .. } => {
                    let before = self.tracks.remove(&track).expect("a track that was told");
                    assert_eq!(before.sid, sid);
                }
                SubscriberEvent::Subscribed { stream } => {
                    if let Some(told) = self.streams.get_mut(&stream) {
                        assert!(!told.ended && !told.subscribed);
                        told.subscribed = true;
                    }
                }
                SubscriberEvent::StreamEnded { stream, .. } => {
                    if let Some(told) = self.streams.get_mut(&stream) {
                        assert!(!std::mem::replace(&mut told.ended, true), "ended twice");
                    }
                }
                SubscriberEvent::EncryptionError { count, .. } => assert!(count > 0),
                SubscriberEvent::UpdateSubscription { .. } | SubscriberEvent::LatestWanted { .. } => {}
            }
        }
        let packets = self.subscriber.packet_stats();
        assert_eq!(
            packets.received,
            packets.accepted + packets.dropped.total() + packets.held,
            "{packets:?}"
        );
        assert!(packets.held <= (8 << 10) / 64);
        for (&track, info) in &self.tracks {
            let stats = self.subscriber.track_stats(track).expect("a track that was told");
            assert_eq!(stats.opened, stats.completed + stats.dropped.total() + stats.open, "{stats:?}");
            assert!(stats.open <= 64 + 256);
            if info.encryption == EncryptionType::Gcm && !self.sealed_session {
                assert_eq!(stats.completed, 0, "sealed frames of a session without keys");
            }
        }
        for &stream in self.streams.keys() {
            let stats = self.subscriber.stream_stats(stream).expect("a stream that is not closed");
            assert_eq!(stats.received, stats.delivered + stats.dropped.total() + stats.buffered, "{stats:?}");
            assert!(stats.buffered <= 256);
        }
    }

    fn packet(&mut self, header: &Header, len: usize) {
        let mut packet = vec![0; header.len() + len];
        header.write(&mut packet).expect("room");
        let epoch = self.subscriber.epoch();
        self.subscriber.handle_packet(packet.into(), epoch, self.now);
    }
}

fn handle(number: u8) -> Handle {
    Handle::new(u16::from(number % 16) + 1).expect("not zero")
}

fn sid(number: u8) -> TrackSid {
    TrackSid::new(&format!("DTR_{}", number % 16)).expect("a SID")
}

fn identity(number: u8) -> String {
    format!("publisher {}", number % 3)
}

fuzz_target!(|input: Input| {
    let (encryption, sealed_session) = match input.encryption % 4 {
        0 => (SessionEncryption::None, false),
        1 => (SessionEncryption::Native(KeyOptions::per_participant(KeyDerivation::Hkdf)), true),
        2 => (SessionEncryption::Native(KeyOptions::shared(KeyDerivation::Hkdf)), true),
        _ => (SessionEncryption::Custom, true),
    };
    let subscriber =
        Subscriber::new(SubscriberConfig { encryption, early_packet_bytes: 8 << 10, ..Default::default() });
    let mut checked = Checked {
        subscriber,
        now: Instant::ZERO,
        tracks: HashMap::new(),
        streams: HashMap::new(),
        derivations: Vec::new(),
        sealed_session,
    };
    for step in input.steps {
        let Checked { subscriber, now, tracks, streams, derivations, .. } = &mut checked;
        match step {
            Step::Update { publisher, infos } => {
                let infos = infos.into_iter().map(|info| TrackInfo {
                    pub_handle: handle(info.handle),
                    sid: sid(info.sid),
                    name: format!("{}", info.name % 4).into(),
                    encryption: if info.encrypted { EncryptionType::Gcm } else { EncryptionType::None },
                    frame_encoding: None,
                    schema: None,
                });
                subscriber.handle_publication_update(&identity(publisher), infos.collect(), *now);
            }
            Step::Subscribe { track, stream, frames, max_bytes, target_fps, allow, latest } => {
                let buffer = match frames {
                    Some(frames) => BufferPolicy::Frames(frames.into()),
                    None => BufferPolicy::Bounded {
                        max_frames: 100,
                        max_bytes: max_bytes.into(),
                        max_age: Some(Duration::from_millis(200)),
                    },
                };
                let target_fps = target_fps.into();
                let options = SubscribeOptions { buffer, target_fps, allow_unencrypted: allow, latest };
                let stream = StreamId(u32::from(stream % 8));
                if subscriber.subscribe(TrackId(u32::from(track % 32)), stream, options, *now).is_ok() {
                    assert!(streams.insert(stream, Told::default()).is_none(), "two streams of a number");
                }
            }
            Step::Latest { stream, number, len } => {
                let frame = number.map(|number| Frame {
                    number: number.into(),
                    timestamp: 0,
                    user_timestamp: None,
                    sealed: None,
                    payload: Bytes::from(vec![0; usize::from(len % 2_000)]).into(),
                    completed_at: *now,
                    latched: true,
                });
                subscriber.provide_latest(StreamId(u32::from(stream % 8)), frame, *now);
            }
            Step::Unsubscribe(stream) => {
                let stream = StreamId(u32::from(stream % 8));
                let stats = subscriber.unsubscribe(stream);
                assert_eq!(stats.is_some(), streams.remove(&stream).is_some());
                if let Some(stats) = stats {
                    assert_eq!(stats.received, stats.delivered + stats.dropped.total());
                }
            }
            Step::Table(table) => {
                let table = table.into_iter().map(|(number, of)| (handle(number), sid(of)));
                subscriber.handle_subscriber_handles(table.collect(), *now);
            }
            Step::FullTable(first) => {
                let table = (0..8).map(|step| first.wrapping_add(step)).zip(tracks.values());
                let table = table.map(|(number, info)| (handle(number), info.sid.clone()));
                subscriber.handle_subscriber_handles(table.collect(), *now);
            }
            Step::Packet { handle: number, marker, sequence, frame, len, key_index } => {
                let e2ee = key_index.map(|key_index| E2eeExtension { key_index, iv: [1; 12] });
                let marker =
                    [Marker::Single, Marker::Start, Marker::Inter, Marker::Final][usize::from(marker % 4)];
                let header = Header {
                    marker,
                    handle: handle(number),
                    sequence: sequence.into(),
                    frame_number: frame.into(),
                    timestamp: 0,
                    extensions: Extensions { e2ee, user_timestamp: None },
                };
                checked.packet(&header, usize::from(len % 2_000));
            }
            Step::Frames { handle: number, first, count } => {
                for step in 0..u16::from(count) {
                    let number_of_frame = first.wrapping_add(step);
                    let header = Header {
                        marker: Marker::Single,
                        handle: handle(number),
                        sequence: number_of_frame,
                        frame_number: number_of_frame,
                        timestamp: 0,
                        extensions: Extensions::default(),
                    };
                    checked.packet(&header, 16);
                }
            }
            Step::Raw(bytes) => {
                let epoch = subscriber.epoch();
                subscriber.handle_packet(Bytes::from(bytes), epoch, *now);
            }
            Step::StalePacket { handle: number, epoch } => {
                let packet = vec![0b1_1000, 0, 0, number % 16 + 1, 0, 0, 0, 0, 0, 0, 0, 0];
                subscriber.handle_packet(packet.into(), Epoch(epoch.into()), *now);
            }
            Step::Request(stream) => {
                subscriber.request_frames(StreamId(u32::from(stream % 8)));
            }
            Step::Readable => {
                if let Some(stream) = subscriber.poll_readable() {
                    assert!(streams.contains_key(&stream), "a closed stream is readable");
                    assert!(subscriber.next_frame_len(stream, *now).is_some());
                    subscriber.push_back_readable(stream);
                }
            }
            Step::Read { stream, decode } => {
                let stream = StreamId(u32::from(stream % 8));
                let len = subscriber.next_frame_len(stream, *now);
                let frame = subscriber.read_frame(stream);
                assert_eq!(len, frame.map(|frame| frame.payload.len()));
                if !decode {
                    subscriber.count_decode_failure(stream);
                }
            }
            Step::Pipeline { track, partial, packets } => {
                let options = DepacketizerOptions {
                    max_partial_frames: partial.into(),
                    max_packets_per_frame: packets.into(),
                    ..Default::default()
                };
                subscriber.set_pipeline_options(TrackId(u32::from(track % 32)), options);
            }
            Step::Wait { ms } => {
                *now = *now + Duration::from_millis(ms.into());
                subscriber.handle_timeout(*now);
                assert!(subscriber.poll_timeout().is_none_or(|deadline| deadline > *now));
            }
            Step::Lost => subscriber.handle_connection_lost(),
            Step::Resumed => subscriber.handle_resumed(*now),
            Step::Rebuilt => subscriber.handle_rebuilt(*now),
            Step::SetKey { publisher, index, seed } => {
                let scope = KeyScope::Participant(identity(publisher).into());
                let _ = subscriber.set_key(scope, index, vec![seed; 16].into());
                let _ = subscriber.set_key(KeyScope::Shared, index, vec![seed; 16].into());
            }
            Step::Ratchet { publisher, index } => {
                let _ = subscriber.ratchet_key(KeyScope::Participant(identity(publisher).into()), index);
            }
            Step::StartDerivation => derivations.extend(subscriber.poll_derivation()),
            Step::EndDerivation => {
                if let Some(derivation) = derivations.pop() {
                    subscriber.handle_derived(derivation.run(), *now);
                }
            }
            Step::OpenFailure(stream) => {
                subscriber.count_open_failure(StreamId(u32::from(stream % 8)), 0, *now);
            }
            Step::Close => subscriber.close(),
        }
        checked.check();
    }
    checked.subscriber.close();
    checked.check();
    assert!(checked.streams.values().all(|told| told.ended), "each stream is told its end");
    // Timers end: after closing, at most one deadline without effect is left.
    for _ in 0..3 {
        if let Some(deadline) = checked.subscriber.poll_timeout() {
            checked.subscriber.handle_timeout(deadline);
        }
    }
    assert!(checked.subscriber.poll_timeout().is_none());
});
