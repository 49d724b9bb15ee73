//! Any calls on a publisher, in any order: it never panics, its counters add up, and its events are consistent.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use datatrack::e2ee::{Derivation, IvRandom, IvRandomError, KeyDerivation, KeyOptions};
use datatrack::packet::{E2eeExtension, Header, MTU};
use datatrack::packetizer::PacketizerOptions;
use datatrack::publisher::{
    PublishOptions, PublishRejection, PublisherConfig, PublisherEvent, QueueOptions, SessionEncryption,
    WhenFull,
};
use datatrack::{EncryptionType, Handle, Instant, Publisher, TrackInfo, TrackSid};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    encryption: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Publish {
        name: u8,
        encrypted: bool,
        refuse: bool,
        max_bytes: u16,
        max_age: Option<u8>,
        packets: u8,
    },
    Cancel(u8),
    Unpublish(u8),
    /// The SFU confirms the track as requested.
    Answer {
        handle: u8,
        sid: u8,
    },
    /// The SFU answers with something that was not requested.
    Contradict {
        handle: u16,
        sid: u8,
        encrypted: bool,
    },
    Reject {
        handle: u8,
        reason: u8,
    },
    SfuUnpublish(u8),
    Push {
        handle: u8,
        len: u16,
        timestamp: Option<u64>,
    },
    PushSealed {
        handle: u8,
        len: u8,
        key_index: u8,
    },
    Watch {
        handle: u8,
        bytes: u16,
    },
    Transmit {
        packets: u8,
    },
    Peek,
    Wait {
        ms: u16,
    },
    Lost,
    Resumed,
    Rebuilt,
    SetKey {
        index: u8,
        seed: u8,
    },
    Ratchet(u8),
    Index(u8),
    StartDerivation,
    EndDerivation,
    Close,
}

struct Ivs(u64);

impl IvRandom for Ivs {
    fn fill(&mut self, prefix: &mut [u8; 8]) -> Result<(), IvRandomError> {
        self.0 += 1;
        *prefix = self.0.to_be_bytes();
        Ok(())
    }
}

#[derive(Default)]
struct Told {
    published: bool,
    encrypted: bool,
    ended: bool,
}

struct Checked {
    publisher: Publisher,
    now: Instant,
    tracks: HashMap<Handle, Told>,
    derivations: Vec<Derivation>,
}

impl Checked {
    fn check(&mut self) {
        while let Some(event) = self.publisher.poll_event() {
            match event {
                PublisherEvent::PublishRequest(request) => {
                    let told = &self.tracks[&request.handle];
                    assert!(!told.ended, "asked for after its end");
                    assert_eq!(told.encrypted, request.encryption == EncryptionType::Gcm);
                }
                PublisherEvent::Published { handle, info } => {
                    let told = self.tracks.get_mut(&handle).expect("a handle that was given out");
                    assert!(!told.ended && !told.published);
                    assert_eq!(told.encrypted, info.encryption == EncryptionType::Gcm);
                    told.published = true;
                }
                PublisherEvent::Republished { handle, info } => {
                    let told = &self.tracks[&handle];
                    assert!(!told.ended && told.published);
                    assert_eq!(told.encrypted, info.encryption == EncryptionType::Gcm);
                }
                PublisherEvent::PublishFailed { handle, .. } => {
                    let told = self.tracks.get_mut(&handle).expect("a handle that was given out");
                    assert!(!told.ended && !told.published);
                    told.ended = true;
                }
                PublisherEvent::Unpublished { handle, .. } => {
                    let told = self.tracks.get_mut(&handle).expect("a handle that was given out");
                    assert!(!told.ended && told.published);
                    told.ended = true;
                }
                PublisherEvent::BufferedAmountLow { handle } => assert!(self.tracks.contains_key(&handle)),
                PublisherEvent::UnpublishRequest { handle } => assert!(self.tracks.contains_key(&handle)),
            }
        }
        let live = self.publisher.handles().collect::<Vec<_>>();
        for (&handle, told) in &self.tracks {
            assert_eq!(live.contains(&handle), !told.ended, "one end for each");
            let stats = self.publisher.track_stats(handle).expect("counters stay");
            assert_eq!(stats.pushed, stats.sent + stats.dropped.total() + stats.queued, "{stats:?}");
            assert_eq!(stats.queued_bytes, self.publisher.buffered_amount(handle) as u64);
            assert!(stats.queued > 0 || stats.queued_bytes == 0);
            assert!(!told.ended || stats.queued == 0);
            // For the queue: the limit of 64 KiB, one frame above it, and one that is partly sent. The same for held
            // frames.
            assert!(stats.queued_bytes < 6 * 256 * 1_024, "{stats:?}");
        }
    }

    fn transmit(&mut self) -> bool {
        let had = self.publisher.has_packets();
        let Some(transmit) = self.publisher.peek_transmit(self.now) else { return false };
        assert!(had && transmit.packet.len() <= MTU);
        let (header, _) = Header::parse(transmit.packet).expect("our own packets are well-formed");
        assert_eq!(header.handle, transmit.handle);
        let told = &self.tracks[&transmit.handle];
        assert!(told.published && !told.ended);
        assert_eq!(
            told.encrypted,
            header.extensions.e2ee.is_some(),
            "never plain where sealed was asked for"
        );
        self.publisher.advance_transmit();
        true
    }
}

fn handle(number: u8) -> Handle {
    Handle::new(u16::from(number % 8) + 1).expect("not zero")
}

fn sid(number: u8) -> TrackSid {
    TrackSid::new(&format!("DTR_{number}")).expect("a SID")
}

fuzz_target!(|input: Input| {
    let encryption = match input.encryption % 3 {
        0 => SessionEncryption::None,
        1 => SessionEncryption::Native(KeyOptions::per_participant(KeyDerivation::Hkdf)),
        _ => SessionEncryption::Custom,
    };
    let publisher = Publisher::new(PublisherConfig {
        encryption,
        publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
        timestamp_base: u32::MAX,
        iv_random: Box::new(Ivs(0)),
    });
    let mut checked =
        Checked { publisher, now: Instant::ZERO, tracks: HashMap::new(), derivations: Vec::new() };
    for step in input.steps {
        let Checked { publisher, now, tracks, derivations } = &mut checked;
        match step {
            Step::Publish { name, encrypted, refuse, max_bytes, max_age, packets } => {
                let when_full = if refuse { WhenFull::Refuse } else { WhenFull::DropOldest };
                let options = PublishOptions {
                    encrypted,
                    queue: QueueOptions {
                        max_age: max_age.map(|ms| Duration::from_millis(ms.into())),
                        ..QueueOptions::without_age_limit(max_bytes.into(), when_full)
                    },
                    packetizer: PacketizerOptions { max_packets_per_frame: (packets % 8).into() },
                    ..PublishOptions::new(format!("track {}", name % 8))
                };
                if let Ok(handle) = publisher.publish(options, *now) {
                    let before = tracks.insert(handle, Told { encrypted, ..Default::default() });
                    assert!(before.is_none(), "a handle is never given out twice");
                }
            }
            Step::Cancel(track) => publisher.cancel_publish(handle(track)),
            Step::Unpublish(track) => publisher.unpublish(handle(track)),
            Step::Answer { handle: track, sid: number } => {
                let track = handle(track);
                let encrypted = tracks.get(&track).is_some_and(|told| told.encrypted);
                let encryption = if encrypted { EncryptionType::Gcm } else { EncryptionType::None };
                publisher.handle_publish_response(TrackInfo {
                    pub_handle: track,
                    sid: sid(number),
                    name: "any".into(),
                    encryption,
                    frame_encoding: None,
                    schema: None,
                });
            }
            Step::Contradict { handle: track, sid: number, encrypted } => {
                let Some(pub_handle) = Handle::new(track) else { continue };
                publisher.handle_publish_response(TrackInfo {
                    pub_handle,
                    sid: sid(number),
                    name: "any".into(),
                    encryption: if encrypted { EncryptionType::Gcm } else { EncryptionType::None },
                    frame_encoding: None,
                    schema: None,
                });
            }
            Step::Reject { handle: track, reason } => {
                let rejection = match reason % 3 {
                    0 => PublishRejection::DuplicateHandle,
                    1 => PublishRejection::NotAllowed,
                    _ => PublishRejection::Other("no".to_owned()),
                };
                publisher.handle_publish_rejected(handle(track), rejection);
            }
            Step::SfuUnpublish(track) => publisher.handle_unpublish_response(handle(track)),
            Step::Push { handle: track, len, timestamp } => {
                let before = publisher.track_stats(handle(track));
                let result = publisher.push(handle(track), &vec![7; len.into()], timestamp, *now);
                let (before, after) = (before.unwrap_or_default(), publisher.track_stats(handle(track)));
                let pushed = after.unwrap_or_default().pushed - before.pushed;
                assert_eq!(pushed, u64::from(result.is_ok()));
            }
            Step::PushSealed { handle: track, len, key_index } => {
                let extension = E2eeExtension { key_index, iv: [1; 12] };
                let payload = vec![7; len.into()];
                let _ = publisher.push_sealed(handle(track), &payload, None, extension, *now);
            }
            Step::Watch { handle: track, bytes } => publisher.watch_buffered(handle(track), bytes.into()),
            Step::Transmit { packets } => {
                for _ in 0..packets {
                    if !checked.transmit() {
                        break;
                    }
                }
            }
            Step::Peek => {
                publisher.peek_transmit(*now);
            }
            Step::Wait { ms } => {
                *now = *now + Duration::from_millis(ms.into());
                publisher.handle_timeout(*now);
                assert!(publisher.poll_timeout().is_none_or(|deadline| deadline > *now));
            }
            Step::Lost => publisher.handle_connection_lost(),
            Step::Resumed => publisher.handle_resumed(*now),
            Step::Rebuilt => publisher.handle_rebuilt(*now),
            Step::SetKey { index, seed } => drop(publisher.set_key(index, vec![seed; 16].into())),
            Step::Ratchet(index) => drop(publisher.ratchet_key(index)),
            Step::Index(index) => drop(publisher.set_key_index(index)),
            Step::StartDerivation => derivations.extend(publisher.poll_derivation()),
            Step::EndDerivation => {
                if let Some(derivation) = derivations.pop() {
                    publisher.handle_derived(derivation.run());
                }
            }
            Step::Close => publisher.close(),
        }
        checked.check();
    }
    checked.publisher.close();
    checked.check();
    assert_eq!(checked.publisher.handles().count(), 0);
    assert!(!checked.publisher.has_packets());
    assert!(checked.publisher.poll_timeout().is_none());
});
