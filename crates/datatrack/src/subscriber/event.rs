use std::sync::Arc;

use super::{StreamId, SubscribeError, TrackId};
use crate::info::{TrackInfo, TrackSid};
use crate::stats::FrameStats;

/// What the subscriber asks its driver to do, or tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriberEvent {
    /// Send an `UpdateDataSubscription` with this one entry.
    UpdateSubscription {
        /// The track.
        sid: TrackSid,
        /// Whether frames are wanted.
        subscribe: bool,
        /// Frames a second that are wanted; 0: all.
        target_fps: u32,
    },
    /// A remote participant publishes a track.
    TrackPublished {
        /// Our number for it; it stays when the SID changes.
        track: TrackId,
        /// The publisher's identity.
        publisher: Arc<str>,
        /// What the SFU says of it.
        info: TrackInfo,
    },
    /// The same track under a new SID: its publisher was connected anew.
    TrackUpdated {
        /// The track.
        track: TrackId,
        /// What the SFU says of it now.
        info: TrackInfo,
    },
    /// A remote track is gone.
    TrackUnpublished {
        /// The track.
        track: TrackId,
        /// The publisher's identity.
        publisher: Arc<str>,
        /// Its last SID.
        sid: TrackSid,
        /// Its last counters: the subscriber has forgotten them.
        stats: FrameStats,
    },
    /// The SFU assigned a handle: frames of this stream can come. Once for each stream.
    Subscribed {
        /// The stream.
        stream: StreamId,
    },
    /// No more frames after those that are buffered; once for each stream that was not closed by the caller.
    StreamEnded {
        /// The stream.
        stream: StreamId,
        /// `None`: the track was unpublished.
        error: Option<SubscribeError>,
    },
    /// Frames were dropped for reasons of encryption; at most one such event per publisher, reason and second.
    EncryptionError {
        /// The publisher's identity.
        publisher: Arc<str>,
        /// What is wrong.
        reason: EncryptionErrorReason,
        /// The key index that the last such frame named.
        key_index: u8,
        /// Frames dropped since the last such event.
        count: u64,
    },
}

/// What is wrong with a sealed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EncryptionErrorReason {
    /// There is no key at the index that it names.
    MissingKey,
    /// No key opens it.
    DecryptionFailed,
    /// It is not sealed, though its track is encrypted.
    Unencrypted,
    /// The key at its index failed too often and is not tried any more.
    InvalidKey,
}
