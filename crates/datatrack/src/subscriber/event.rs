use std::sync::Arc;

use super::{StreamId, SubscribeError, TrackId};
use crate::info::{TrackInfo, TrackSid};
use crate::stats::FrameStats;

/// A request of the subscriber to its driver, or news for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriberEvent {
    /// Send an `UpdateDataSubscription` with this one entry.
    UpdateSubscription {
        /// The track.
        sid: TrackSid,
        /// Whether to subscribe or to unsubscribe.
        subscribe: bool,
        /// The requested frame rate, in frames a second. 0: all frames.
        target_fps: u32,
    },
    /// A remote participant published a track.
    TrackPublished {
        /// The subscriber's number for it. It stays the same when the SID changes.
        track: TrackId,
        /// The publisher's identity.
        publisher: Arc<str>,
        /// The SFU's description of it.
        info: TrackInfo,
    },
    /// The track has a new SID: its publisher's connection was rebuilt.
    TrackUpdated {
        /// The track.
        track: TrackId,
        /// The SFU's new description of it.
        info: TrackInfo,
    },
    /// A remote track ended.
    TrackUnpublished {
        /// The track.
        track: TrackId,
        /// The publisher's identity.
        publisher: Arc<str>,
        /// Its last SID.
        sid: TrackSid,
        /// Its last counters. The subscriber no longer has them.
        stats: FrameStats,
    },
    /// The SFU assigned a handle, so frames of this stream can arrive. It comes once for each stream.
    Subscribed {
        /// The stream.
        stream: StreamId,
    },
    /// Fetch the last frame that the publisher of a latched track keeps, and answer with
    /// [`provide_latest`](super::Subscriber::provide_latest). It comes when the SFU forwards to a stream with
    /// [`latest`](super::SubscribeOptions::latest), and again after each interruption. A later request replaces the
    /// earlier one.
    LatestWanted {
        /// The stream.
        stream: StreamId,
        /// Its track.
        track: TrackId,
    },
    /// No frames follow after those in the buffer. It comes once for each stream that the caller did not close.
    StreamEnded {
        /// The stream.
        stream: StreamId,
        /// `None`: the track was unpublished.
        error: Option<SubscribeError>,
    },
    /// Frames were dropped because of encryption. There is at most one such event a second for each publisher and
    /// reason.
    EncryptionError {
        /// The publisher's identity.
        publisher: Arc<str>,
        /// The reason.
        reason: EncryptionErrorReason,
        /// The key index of the last such frame.
        key_index: u8,
        /// Frames that were dropped since the last such event.
        count: u64,
    },
}

/// Why a frame could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EncryptionErrorReason {
    /// There is no key at the frame's key index.
    MissingKey,
    /// No key opens it.
    DecryptionFailed,
    /// It is not sealed, although its track is encrypted.
    Unencrypted,
    /// The key at its index failed too often and is no longer tried.
    InvalidKey,
}
