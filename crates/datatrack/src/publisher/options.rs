use std::sync::Arc;
use std::time::Duration;

use crate::e2ee::{IvRandom, KeyOptions};
use crate::packetizer::PacketizerOptions;
use crate::schema::{FrameEncoding, SchemaId};

/// A session's end-to-end encryption.
#[derive(Debug, Clone, Default)]
pub enum SessionEncryption {
    /// None: encrypted tracks can be neither published nor read.
    #[default]
    None,
    /// With the built-in AES-128-GCM.
    Native(KeyOptions),
    /// The application seals and opens frames itself: it pushes with `push_sealed`, and it receives sealed frames.
    Custom,
}

/// The options of a [`Publisher`](super::Publisher).
pub struct PublisherConfig {
    /// End-to-end encryption.
    pub encryption: SessionEncryption,
    /// How long the SFU may take to answer a publish request; 10 s by default, as in LiveKit's SDKs.
    pub publish_timeout: Duration,
    /// The first 90 kHz timestamp of the packets. It should be random, by RFC 3550 §5.1.
    pub timestamp_base: u32,
    /// The source of initialization vectors: the operating system's generator, never a seeded one.
    pub iv_random: Box<dyn IvRandom + Send>,
}

impl PublisherConfig {
    /// The default for how long the SFU may take to answer.
    pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
}

/// The options of a publication.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// The track's name: 1 to 256 bytes, unique among this participant's data tracks.
    pub name: Arc<str>,
    /// Whether frames are encrypted end to end.
    pub encrypted: bool,
    /// The payloads' encoding.
    pub frame_encoding: Option<FrameEncoding>,
    /// The payloads' schema.
    pub schema: Option<SchemaId>,
    /// Bounds of the queue of frames that cannot be sent at once.
    pub queue: QueueOptions,
    /// Bounds of a frame's size.
    pub packetizer: PacketizerOptions,
}

impl PublishOptions {
    /// The options of an unencrypted track with that name and the default queue.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            encrypted: false,
            frame_encoding: None,
            schema: None,
            queue: QueueOptions::default(),
            packetizer: PacketizerOptions::default(),
        }
    }
}

/// Bounds of a track's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Bytes, headers included. 1 MiB by default. A single frame may be larger: an empty queue takes any frame.
    pub max_bytes: usize,
    /// A frame older than this is dropped when a newer one is behind it. 100 ms by default; `None` sets no age limit.
    pub max_age: Option<Duration>,
    /// What a push does when `max_bytes` are queued.
    pub when_full: WhenFull,
}

impl QueueOptions {
    /// A queue whose frames may have any age.
    pub fn without_age_limit(max_bytes: usize, when_full: WhenFull) -> Self {
        Self { max_bytes, max_age: None, when_full }
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 20,
            max_age: Some(Duration::from_millis(100)),
            when_full: WhenFull::DropOldest,
        }
    }
}

/// What a push does when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The oldest frames are dropped. So the newest frame never waits behind many old ones.
    #[default]
    DropOldest,
    /// The new frame is refused with [`PushFrameError::QueueFull`](super::PushFrameError::QueueFull).
    Refuse,
}
