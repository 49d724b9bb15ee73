//! What can go wrong when the caller asks for something.

use thiserror::Error;

/// The result of a call on a stream or an association.
pub(crate) type Result<T> = core::result::Result<T, Error>;

/// Why a call was refused. The names that str0m matches are those of the crate that this one stands in for.
#[derive(Debug, Error, Eq, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// `open_stream` for a stream that is open.
    #[error("there is a stream with this identifier already")]
    ErrStreamAlreadyExist,
    /// `open_stream` for a stream whose reset is not finished in both directions.
    #[error("the stream is being reset and cannot be opened yet")]
    ErrStreamResetPending,
    /// The association has as many streams as it may have.
    #[error("no more streams can be opened")]
    ErrStreamCreateFailed,
    /// There is no stream with this identifier.
    #[error("there is no stream with this identifier")]
    ErrStreamNotExisted,
    /// The stream is closed for this direction.
    #[error("the stream is closed")]
    ErrStreamClosed,
    /// The association is not established, so nothing can be sent.
    #[error("the association is not established")]
    ErrPayloadDataStateNotExist,
    /// `shutdown` of an association that is not established.
    #[error("shutdown of an association that is not established")]
    ErrShutdownNonEstablished,
    /// The message is larger than the peer takes.
    #[error("the message is larger than the peer takes")]
    ErrOutboundPacketTooLarge,
    /// The buffer given to `Chunks::read` is shorter than the message.
    #[error("the buffer is shorter than the message")]
    ErrShortBuffer,
    /// The operating system gave no random numbers.
    #[error("no random numbers from the operating system")]
    ErrNoRandomness,
    /// All else, in words.
    #[error("{0}")]
    Other(String),
}
