/// Why a stream could not be opened, or why it ended although the track did not end and the caller did not close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The track has ended, or it ended before the SFU answered.
    #[error("the track is no longer published")]
    Unpublished,
    /// The SFU assigned no handle in time.
    #[error("the server did not answer the subscription in time")]
    Timeout,
    /// This participant may not subscribe, or may not subscribe to this track.
    #[error("this participant is not allowed to subscribe")]
    NotAllowed,
    /// The session is closed.
    #[error("the session is disconnected")]
    Disconnected,
    /// The track is not encrypted although this session is, and the caller did not allow that.
    #[error("the track is not encrypted, and this session expects encryption")]
    Unencrypted,
    /// The track is encrypted, but this session has no end-to-end encryption.
    #[error("the track is encrypted, and this session has no end-to-end encryption")]
    Encrypted,
    /// The number given for the stream belongs to another stream.
    #[error("a stream of that number exists")]
    StreamExists,
}
