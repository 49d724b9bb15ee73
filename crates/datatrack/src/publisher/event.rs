use std::sync::Arc;

use super::PublishError;
use crate::info::{EncryptionType, TrackInfo};
use crate::packet::Handle;
use crate::schema::{FrameEncoding, SchemaId};

/// What the publisher asks its driver to do, or tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublisherEvent {
    /// Send a `PublishDataTrackRequest`.
    PublishRequest(PublishRequest),
    /// Send an `UnpublishDataTrackRequest`.
    UnpublishRequest {
        /// The track.
        handle: Handle,
    },
    /// The SFU knows the track now; frames can be pushed.
    Published {
        /// The track.
        handle: Handle,
        /// What the SFU says of it.
        info: TrackInfo,
    },
    /// The track could not be published; its handle is spent.
    PublishFailed {
        /// The track.
        handle: Handle,
        /// Why.
        error: PublishError,
    },
    /// The same track has a new SID after a full reconnect.
    Republished {
        /// The track.
        handle: Handle,
        /// What the SFU says of it now.
        info: TrackInfo,
    },
    /// The track is gone; once for each that was published.
    Unpublished {
        /// The track.
        handle: Handle,
        /// Who ended it.
        by: UnpublishedBy,
    },
    /// What is queued fell to the level that [`watch_buffered`](super::Publisher::watch_buffered) set.
    BufferedAmountLow {
        /// The track.
        handle: Handle,
    },
}

/// The fields of a `PublishDataTrackRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Our number for the track.
    pub handle: Handle,
    /// The track's name.
    pub name: Arc<str>,
    /// Whether its frames are encrypted.
    pub encryption: EncryptionType,
    /// The payloads' encoding.
    pub frame_encoding: Option<FrameEncoding>,
    /// The payloads' schema.
    pub schema: Option<SchemaId>,
}

/// Who ended a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnpublishedBy {
    /// [`unpublish`](super::Publisher::unpublish).
    Local,
    /// The SFU.
    Sfu,
    /// The session was closed.
    Disconnected,
    /// The SFU did not take it again after a full reconnect.
    RepublishFailed(PublishError),
}
