//! The managers of the `livekit-datatrack` crate, on tokio's current-thread runtime.
//!
//! Frames are pushed and their packets are awaited, or packets are handed in and their frames are awaited: one at a
//! time, or as many as the managers' queues hold.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that fails says so and ends")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use bytes::Bytes;
use datatrack::packet::{E2eeExtension, Extensions, Handle, MTU};
use datatrack::packetizer::{Packetizer, PacketizerOptions};
use livekit_datatrack::api::{DataTrackFrame, DataTrackOptions, DataTrackStream, LocalDataTrack};
use livekit_datatrack::backend::{
    DecryptionError, DecryptionProvider, EncryptedPayload, EncryptionError, EncryptionProvider, local, remote,
};
use livekit_protocol as proto;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio_stream::StreamExt;

use crate::feed::{Feed, batch};
use crate::measure::Contender;

const SID: &str = "DTR_1234";
/// Packets or frames that the managers' queues hold.
pub(crate) const QUEUE: usize = 16;

/// An encryption provider as the crate requires it, with the `aes-gcm` crate.
struct Provider {
    cipher: Aes128Gcm,
    counter: AtomicU32,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl Provider {
    fn new() -> Arc<Self> {
        Arc::new(Self { cipher: Aes128Gcm::new(&[7; 16].into()), counter: AtomicU32::new(0) })
    }
}

impl EncryptionProvider for Provider {
    fn encrypt(&self, payload: Bytes) -> Result<EncryptedPayload, EncryptionError> {
        let mut iv = [0; 12];
        iv[8..].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let payload = self
            .cipher
            .encrypt(&Nonce::from(iv), &payload[..])
            .map_err(|error| EncryptionError::Failed { reason: error.to_string() })?;
        Ok(EncryptedPayload { payload: payload.into(), iv, key_index: 0 })
    }
}

impl DecryptionProvider for Provider {
    fn decrypt(&self, payload: EncryptedPayload, _sender: String) -> Result<Bytes, DecryptionError> {
        self.cipher
            .decrypt(&Nonce::from(payload.iv), &payload.payload[..])
            .map(Bytes::from)
            .map_err(|error| DecryptionError::Failed { reason: error.to_string() })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn info(encrypted: bool) -> proto::DataTrackInfo {
    let encryption = if encrypted { proto::encryption::Type::Gcm } else { proto::encryption::Type::None };
    proto::DataTrackInfo {
        pub_handle: 1,
        sid: SID.into(),
        name: "track".into(),
        encryption: encryption.into(),
        ..Default::default()
    }
}

async fn published(encrypted: bool) -> (LocalDataTrack, local::ManagerInput, local::ManagerOutput) {
    let encryption_provider = encrypted.then(|| Provider::new() as Arc<dyn EncryptionProvider>);
    let (manager, input, mut output) = local::Manager::new(local::ManagerOptions { encryption_provider });
    tokio::spawn(manager.run());
    let publishing = tokio::spawn({
        let input = input.clone();
        async move { input.publish_track(DataTrackOptions::new("track")).await.unwrap() }
    });
    let Some(local::OutputEvent::SfuPublishRequest(_)) = output.next().await else { panic!("no request") };
    let response = proto::PublishDataTrackResponse { info: Some(info(encrypted)) };
    input.send(local::InputEvent::SfuPublishResponse(response.try_into().unwrap())).unwrap();
    (publishing.await.unwrap(), input, output)
}

pub(crate) fn publish(name: &'static str, size: usize, encrypted: bool, at_once: u32) -> Contender<'static> {
    let runtime = runtime();
    let (track, input, mut output) = runtime.block_on(published(encrypted));
    let payload = Bytes::from(vec![7; size]);
    Contender::new(name, move |frames| {
        let _open = &input;
        runtime.block_on(async {
            let start = Instant::now();
            let mut left = frames;
            while left > 0 {
                let here = left.min(at_once);
                left -= here;
                for _ in 0..here {
                    track.try_push(DataTrackFrame::new(payload.clone())).unwrap();
                }
                for _ in 0..here {
                    let Some(local::OutputEvent::PacketsAvailable(packets)) = output.next().await else {
                        panic!("no packets");
                    };
                    black_box(packets);
                }
            }
            start.elapsed()
        })
    })
}

async fn subscribed(encrypted: bool) -> (DataTrackStream, remote::ManagerInput, remote::ManagerOutput) {
    let decryption_provider = encrypted.then(|| Provider::new() as Arc<dyn DecryptionProvider>);
    let (manager, input, mut output) = remote::Manager::new(remote::ManagerOptions { decryption_provider });
    tokio::spawn(manager.run());
    let participant = proto::ParticipantInfo {
        identity: "alice".into(),
        data_tracks: vec![info(encrypted)],
        ..Default::default()
    };
    let mut update = proto::ParticipantUpdate { participants: vec![participant] };
    let update = remote::event_from_participant_update(&mut update, "bob").unwrap();
    input.send(update.into()).unwrap();
    let Some(remote::OutputEvent::TrackPublished(published)) = output.next().await else {
        panic!("no track");
    };
    let subscribing = tokio::spawn(async move { published.track.subscribe().await });
    let Some(remote::OutputEvent::SfuUpdateSubscription(_)) = output.next().await else {
        panic!("no subscription");
    };
    let handle = proto::data_track_subscriber_handles::PublishedDataTrack {
        publisher_identity: "alice".into(),
        track_sid: SID.into(),
        ..Default::default()
    };
    let handles = proto::DataTrackSubscriberHandles { sub_handles: [(1, handle)].into() };
    input.send(remote::InputEvent::SfuSubscriberHandles(handles.try_into().unwrap())).unwrap();
    (subscribing.await.unwrap().unwrap(), input, output)
}

fn feed(size: usize, encrypted: bool) -> Feed {
    let mut payload = Bytes::from(vec![7; size]);
    let mut extensions = Extensions::default();
    if encrypted {
        let sealed = Provider::new().encrypt(payload).unwrap();
        payload = sealed.payload;
        extensions.e2ee = Some(E2eeExtension { key_index: sealed.key_index, iv: sealed.iv });
    }
    let mut packetizer = Packetizer::new(Handle::new(1).unwrap(), PacketizerOptions::default());
    let mut packets = Vec::new();
    packetizer.packetize(&payload, 0, extensions, 1, &mut packets).unwrap();
    Feed::new(packets.chunks(MTU).map(<[u8]>::to_vec).collect())
}

pub(crate) fn subscribe(
    name: &'static str,
    size: usize,
    encrypted: bool,
    at_once: u32,
) -> Contender<'static> {
    let runtime = runtime();
    let (mut stream, input, output) = runtime.block_on(subscribed(encrypted));
    let mut feed = feed(size, encrypted);
    let mut target = vec![0; size];
    Contender::new(name, move |frames| {
        let _open = &output;
        runtime.block_on(async {
            let mut elapsed = Duration::ZERO;
            let mut left = frames;
            while left > 0 {
                let here = left.min(batch(size));
                left -= here;
                let batch: Vec<_> = (0..here).map(|_| feed.next()).collect();
                let start = Instant::now();
                let mut batch = batch.into_iter().peekable();
                while batch.peek().is_some() {
                    let mut frames = 0;
                    for packets in batch.by_ref().take(at_once as usize) {
                        frames += 1;
                        for (index, packet) in packets.into_iter().enumerate() {
                            if index > 0 && index % QUEUE == 0 {
                                yield_now().await;
                                yield_now().await;
                            }
                            input.send(remote::InputEvent::PacketReceived(packet)).unwrap();
                        }
                    }
                    for _ in 0..frames {
                        let frame = stream.next().await.unwrap().payload();
                        target.copy_from_slice(&frame);
                        black_box(&target);
                    }
                }
                elapsed += start.elapsed();
            }
            elapsed
        })
    })
}

/// How many of `bursts` frames arrive when all packets of each come at once.
pub(crate) fn burst(packets: usize, bursts: u32) -> u32 {
    let runtime = runtime();
    runtime.block_on(async {
        let (mut stream, input, _output) = subscribed(false).await;
        let mut feed = feed(packets * 15_988, false);
        let mut frames = 0;
        for _ in 0..bursts {
            for packet in feed.next() {
                input.send(remote::InputEvent::PacketReceived(packet)).unwrap();
            }
            // The managers' tasks run until they are idle in each turn. A frame that has not arrived after that many
            // turns never will.
            for _ in 0..100 {
                yield_now().await;
            }
            let arrived = tokio::time::timeout(Duration::ZERO, stream.next()).await;
            frames += u32::from(matches!(arrived, Ok(Some(_))));
        }
        frames
    })
}
