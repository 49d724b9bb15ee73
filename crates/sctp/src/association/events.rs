//! What an association tells its owner.

use thiserror::Error;

/// Which stream.
pub type StreamId = u16;

/// Something that has happened.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Data can be sent.
    Connected,
    /// It is over.
    AssociationLost {
        /// Why.
        reason: AssociationError,
    },
    /// Of a stream.
    Stream(StreamEvent),
}

/// Why an association ended.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociationError {
    /// The peer did not answer.
    #[error("the peer does not answer")]
    TimedOut,
    /// The peer ended it.
    #[error("the peer aborted the association (cause {0})")]
    Aborted(u16),
    /// The peer has lost it and begins anew, or asks for one that it has no part in.
    #[error("the peer has begun a new association")]
    Restarted,
    /// The peer sent what no peer may send.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// Received data filled the buffer without making a message.
    #[error("the receive buffer is full of incomplete messages")]
    ReceiveBufferExhausted,
    /// A message is larger than may be received.
    #[error("a message is larger than may be received")]
    MessageTooLarge,
    /// It was shut down, by either side.
    #[error("the association was shut down")]
    Shutdown,
}

/// Something that has happened to a stream.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// There is something to read. Told once until something is read.
    Readable {
        /// Which.
        id: StreamId,
    },
    /// Room to write again; not told by this engine, which takes what is written.
    Writable {
        /// Which.
        id: StreamId,
    },
    /// The peer has reset the stream; it is gone. [`StreamEvent::ResetComplete`] or [`StreamEvent::ResetFailed`]
    /// follows.
    Finished {
        /// Which.
        id: StreamId,
    },
    /// The stream is reset in both directions: its identifier can be used again.
    ResetComplete {
        /// Which.
        id: StreamId,
    },
    /// The peer did not reset the stream.
    ResetFailed {
        /// Which.
        id: StreamId,
        /// Why.
        reason: StreamResetError,
    },
    /// Not told by this engine.
    Stopped {
        /// Which.
        id: StreamId,
        /// The peer's code.
        error_code: u16,
    },
    /// What is written and not settled has fallen to the threshold.
    BufferedAmountLow {
        /// Which.
        id: StreamId,
    },
}

/// Why a reset failed.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamResetError {
    /// The peer refused.
    Denied,
}
