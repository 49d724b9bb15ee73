use std::sync::Arc;

use super::PublishError;
use crate::info::{EncryptionType, TrackInfo};
use crate::packet::Handle;
use crate::schema::{FrameEncoding, SchemaId};

/// A request of the publisher to its driver, or news for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublisherEvent {
    /// Send a `PublishDataTrackRequest`.
    PublishRequest(PublishRequest),
    /// Send an `UnpublishDataTrackRequest`.
    UnpublishRequest {
        /// The track.
        handle: Handle,
    },
    /// The SFU knows the track now. Frames can be pushed.
    Published {
        /// The track.
        handle: Handle,
        /// The SFU's description of it.
        info: TrackInfo,
    },
    /// The track could not be published. Its handle is spent.
    PublishFailed {
        /// The track.
        handle: Handle,
        /// The reason.
        error: PublishError,
    },
    /// The track was republished after the connection was rebuilt. It has a new SID.
    Republished {
        /// The track.
        handle: Handle,
        /// The SFU's new description of it.
        info: TrackInfo,
    },
    /// The track ended. It comes once for each track that was published.
    Unpublished {
        /// The track.
        handle: Handle,
        /// Why it ended.
        by: UnpublishedBy,
    },
    /// The queued bytes fell to the level that [`watch_buffered`](super::Publisher::watch_buffered) set.
    BufferedAmountLow {
        /// The track.
        handle: Handle,
    },
}

/// The fields of a `PublishDataTrackRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The publisher's handle for the track.
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

/// Why a publication ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnpublishedBy {
    /// The caller called [`unpublish`](super::Publisher::unpublish).
    Local,
    /// The SFU ended it.
    Sfu,
    /// The session was closed.
    Disconnected,
    /// The SFU did not accept it again after the connection was rebuilt.
    RepublishFailed(PublishError),
}
