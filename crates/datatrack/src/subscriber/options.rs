use std::time::Duration;

use crate::publisher::SessionEncryption;

/// The options of a [`Subscriber`](super::Subscriber).
#[derive(Debug, Clone)]
pub struct SubscriberConfig {
    /// End-to-end encryption.
    pub encryption: SessionEncryption,
    /// How long the SFU may take to assign a handle; 10 s by default, as in LiveKit's SDKs.
    pub subscribe_timeout: Duration,
    /// How long to wait for an answer before the request is repeated. Each further wait is twice as long. 1 s by
    /// default.
    ///
    /// livekit-server 1.13.5 loses some requests: some of more than five that come at once, and a request that comes
    /// while it ends an earlier subscription to the same track. Its answers are lost with the connection for signalling,
    /// and it repeats none for a subscription that exists. If packets show that it forwards all tracks that wait, one of
    /// the subscriptions is ended and requested again, from the second repetition on.
    pub subscribe_retry: Duration,
    /// How long a subscription may wait after the SFU has refused it because of the publisher's permissions; 1 s by
    /// default. A publisher that names its tracks learns the SID of a new track after the SFU has announced it, and only
    /// then permits the subscription.
    pub permission_grace: Duration,
    /// Whether subscription requests may wait for their turn. If so, the driver calls
    /// [`handle_subscription_sent`](super::Subscriber::handle_subscription_sent) when one was sent, and the SFU's time
    /// starts then. By default they do not wait, and the time starts with the event.
    pub paced_requests: bool,
    /// Bytes of memory for packets whose handle the SFU has not named yet. 256 KiB by default.
    pub early_packet_bytes: usize,
    /// How long such packets are kept. 1 s by default.
    pub early_packet_age: Duration,
}

impl Default for SubscriberConfig {
    fn default() -> Self {
        Self {
            encryption: SessionEncryption::None,
            subscribe_timeout: Duration::from_secs(10),
            subscribe_retry: Duration::from_secs(1),
            permission_grace: Duration::from_secs(1),
            paced_requests: false,
            early_packet_bytes: 256 << 10,
            early_packet_age: Duration::from_secs(1),
        }
    }
}

/// The options of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// Which frames are kept for a slow reader.
    pub buffer: BufferPolicy,
    /// The requested frame rate, in frames a second. 0, the default: all frames. With several streams of a track, the
    /// highest rate counts. Up to version 1.13.5 the server accepts the value and ignores it.
    pub target_fps: u32,
    /// Whether to open a track that is not encrypted although this session is.
    pub allow_unencrypted: bool,
    /// Whether the publisher's last frame comes before the live frames, which wait for it.
    /// [`SubscriberEvent::LatestWanted`](super::SubscriberEvent::LatestWanted) asks for it.
    pub latest: bool,
}

/// Which frames are kept for a slow reader. The oldest frames are dropped first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferPolicy {
    /// Exactly that many frames, at least one, regardless of their size and age.
    Frames(usize),
    /// As many frames as the bounds allow.
    Bounded {
        /// Most frames. 1,024 by default.
        max_frames: usize,
        /// Bytes of memory, [`PIECE_OVERHEAD`](crate::PIECE_OVERHEAD) for each packet included. 4 MiB by default. A
        /// single frame may be larger.
        max_bytes: usize,
        /// A frame older than this is dropped when more than 16 newer ones are behind it. 200 ms by default; `None`
        /// sets no age limit.
        max_age: Option<Duration>,
    },
}

impl BufferPolicy {
    /// Newer frames that must be behind a frame before its age counts.
    pub const FRESH_FRAMES: usize = 16;
}

impl Default for BufferPolicy {
    fn default() -> Self {
        Self::Bounded { max_frames: 1_024, max_bytes: 4 << 20, max_age: Some(Duration::from_millis(200)) }
    }
}
