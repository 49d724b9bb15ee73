use std::sync::Arc;
use std::time::Duration;

use crate::e2ee::{IvRandom, KeyOptions};
use crate::packetizer::PacketizerOptions;
use crate::schema::{FrameEncoding, SchemaId};

/// How a session deals with end-to-end encryption.
#[derive(Debug, Clone, Default)]
pub enum SessionEncryption {
    /// Not at all: encrypted tracks can be neither published nor read.
    #[default]
    None,
    /// With the built-in AES-128-GCM.
    Native(KeyOptions),
    /// The application seals and opens frames itself: `push_sealed` on one side, sealed frames on the other.
    Custom,
}

/// What a [`Publisher`](super::Publisher) is made from.
pub struct PublisherConfig {
    /// End-to-end encryption.
    pub encryption: SessionEncryption,
    /// How long the SFU may take to answer a publish request; 10 s by default, as in LiveKit's SDKs.
    pub publish_timeout: Duration,
    /// Where the packets' 90 kHz timestamps start; random, by RFC 3550 §5.1.
    pub timestamp_base: u32,
    /// Where initialization vectors come from: the operating system's generator, never a seeded one.
    pub iv_random: Box<dyn IvRandom + Send>,
}

impl PublisherConfig {
    /// How long the SFU may take to answer, unless told otherwise.
    pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
}

/// What a track is published with.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// 1 to 256 bytes, unique among this participant's data tracks.
    pub name: Arc<str>,
    /// Whether frames are encrypted end to end.
    pub encrypted: bool,
    /// The payloads' encoding.
    pub frame_encoding: Option<FrameEncoding>,
    /// The payloads' schema.
    pub schema: Option<SchemaId>,
    /// What happens to frames that cannot leave at once.
    pub queue: QueueOptions,
    /// How large frames may be.
    pub packetizer: PacketizerOptions,
}

impl PublishOptions {
    /// A plain track of that name with the default queue.
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
    /// Bytes, headers included; 1 MiB by default. A single frame may be larger: an empty queue takes any frame.
    pub max_bytes: usize,
    /// A frame older than this goes when a newer one is behind it; 100 ms by default, `None` turns it off.
    pub max_age: Option<Duration>,
    /// What a push does when `max_bytes` are queued.
    pub when_full: WhenFull,
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
    /// The oldest frame makes room: the newest is never behind old ones.
    #[default]
    DropOldest,
    /// The new frame is refused with [`PushFrameError::QueueFull`](super::PushFrameError::QueueFull).
    Refuse,
}
