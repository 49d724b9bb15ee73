use crate::schema::SchemaError;

/// Why a track could not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The token does not allow publishing data (`canPublishData`).
    #[error("not allowed to publish data tracks: the token lacks canPublishData")]
    NotAllowed,
    /// This participant already has a data track of that name.
    #[error("a data track of that name is published already")]
    DuplicateName,
    /// The name is empty or longer than 256 bytes.
    #[error("a track name has 1 to {MAX_NAME_LEN} bytes", MAX_NAME_LEN = super::MAX_NAME_LEN)]
    InvalidName,
    /// The SFU did not answer in time.
    #[error("the server did not answer the publish request in time")]
    Timeout,
    /// All 65,535 handles of this session are in use or ended a moment ago, or the SFU accepts no more tracks.
    #[error("no more data tracks can be published in this session")]
    LimitReached,
    /// The session is closed.
    #[error("the session is disconnected")]
    Disconnected,
    /// Frame encoding and schema do not go together.
    #[error(transparent)]
    InvalidSchema(#[from] SchemaError),
    /// The caller cancelled the publication.
    #[error("publishing was cancelled")]
    Cancelled,
    /// The SFU answered with another encryption than the requested one. Nothing was or will be sent.
    #[error("the server answered with another encryption than the one asked for")]
    EncryptionMismatch,
    /// An encrypted track was requested in a session without end-to-end encryption.
    #[error("an encrypted track needs a session with end-to-end encryption")]
    NoEncryption,
    /// The SFU refused for a reason that has no variant here.
    #[error("the server refused: {0}")]
    Internal(String),
}

/// Why the SFU rejected a publish request (`livekit.RequestResponse.Reason`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishRejection {
    /// `NOT_ALLOWED`.
    NotAllowed,
    /// `DUPLICATE_NAME`.
    DuplicateName,
    /// `DUPLICATE_HANDLE`: an earlier answer was lost.
    DuplicateHandle,
    /// `INVALID_NAME`.
    InvalidName,
    /// `LIMIT_EXCEEDED`.
    LimitReached,
    /// Any other reason, with the server's text.
    Other(String),
}

impl From<PublishRejection> for PublishError {
    fn from(rejection: PublishRejection) -> Self {
        match rejection {
            PublishRejection::NotAllowed => Self::NotAllowed,
            PublishRejection::DuplicateName => Self::DuplicateName,
            PublishRejection::DuplicateHandle => Self::Internal("duplicate handle".to_owned()),
            PublishRejection::InvalidName => Self::InvalidName,
            PublishRejection::LimitReached => Self::LimitReached,
            PublishRejection::Other(message) => Self::Internal(message),
        }
    }
}

/// Why a frame was not taken. No part of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushFrameError {
    /// The SFU has not answered the publish request yet.
    #[error("the track is not published yet")]
    NotPublished,
    /// The track was unpublished, or never existed.
    #[error("the track is no longer published")]
    TrackUnpublished,
    /// The queue is full, and the track refuses frames then.
    #[error("the track's queue is full")]
    QueueFull,
    /// The connection is lost. It may be resumed or rebuilt.
    #[error("the connection is being rebuilt")]
    Reconnecting,
    /// The session is closed.
    #[error("the session is disconnected")]
    Disconnected,
    /// The payload is longer than a frame of this track may be, in bytes.
    #[error("the frame has {size} bytes, this track takes at most {max}")]
    FrameTooLarge {
        /// The payload's length.
        size: usize,
        /// The longest payload that is taken.
        max: usize,
    },
    /// The track is encrypted. There is no key, and none is being derived.
    #[error("the track is encrypted and there is no key")]
    NoKey,
    /// The cipher or the operating system's random generator failed.
    #[error("the frame could not be encrypted")]
    EncryptionFailed,
}
