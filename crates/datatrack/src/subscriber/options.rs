use std::time::Duration;

use crate::publisher::SessionEncryption;

/// What a [`Subscriber`](super::Subscriber) is made from.
#[derive(Debug, Clone)]
pub struct SubscriberConfig {
    /// End-to-end encryption.
    pub encryption: SessionEncryption,
    /// How long the SFU may take to assign a handle; 10 s by default, as in LiveKit's SDKs.
    pub subscribe_timeout: Duration,
    /// After how long without an answer it is asked again, and then each time after twice as long; 1 s by default.
    ///
    /// livekit-server 1.13.5 forgets some requests: of more than five that come at once, and one that comes while it
    /// ends an earlier subscription to the same track.
    pub subscribe_retry: Duration,
    /// Whether requests for subscriptions may wait for their turn: the driver tells by
    /// [`handle_subscription_sent`](super::Subscriber::handle_subscription_sent) when one has left, and the SFU's time
    /// begins then. Otherwise, the default, it begins with the event.
    pub paced_requests: bool,
    /// Bytes of memory for packets kept while the SFU has not named their handle; 256 KiB by default.
    pub early_packet_bytes: usize,
    /// How long such packets are kept; 1 s by default.
    pub early_packet_age: Duration,
}

impl Default for SubscriberConfig {
    fn default() -> Self {
        Self {
            encryption: SessionEncryption::None,
            subscribe_timeout: Duration::from_secs(10),
            subscribe_retry: Duration::from_secs(1),
            paced_requests: false,
            early_packet_bytes: 256 << 10,
            early_packet_age: Duration::from_secs(1),
        }
    }
}

/// What a stream is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// What is kept for a reader that is behind.
    pub buffer: BufferPolicy,
    /// Frames a second that are wanted; 0, the default: all. With several streams of a track the highest counts. The
    /// server takes it and does nothing with it up to version 1.13.5.
    pub target_fps: u32,
    /// Open a track that says it is not encrypted although this session is.
    pub allow_unencrypted: bool,
}

/// Which frames are kept for a reader that is behind; the oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferPolicy {
    /// Exactly so many frames, at least one, whatever their size and age.
    Frames(usize),
    /// As much as the bounds allow.
    Bounded {
        /// Frames; 1,024 by default.
        max_frames: usize,
        /// Bytes of memory, [`PIECE_OVERHEAD`](crate::PIECE_OVERHEAD) for each packet included; 4 MiB by default. A
        /// single frame may be larger.
        max_bytes: usize,
        /// A frame older than this goes when more than 16 newer ones are behind it; 200 ms by default, `None` turns
        /// it off.
        max_age: Option<Duration>,
    },
}

impl BufferPolicy {
    /// Newer frames that must be behind one before its age counts.
    pub const FRESH_FRAMES: usize = 16;
}

impl Default for BufferPolicy {
    fn default() -> Self {
        Self::Bounded { max_frames: 1_024, max_bytes: 4 << 20, max_age: Some(Duration::from_millis(200)) }
    }
}
