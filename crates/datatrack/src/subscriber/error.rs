/// Why a stream could not be opened, or ended other than by the track's end or the caller's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The track is gone, or went before the SFU answered.
    #[error("the track is no longer published")]
    Unpublished,
    /// The SFU assigned no handle in time.
    #[error("the server did not answer the subscription in time")]
    Timeout,
    /// The session is closed.
    #[error("the session is disconnected")]
    Disconnected,
    /// The track is not encrypted although this session is, and that was not allowed.
    #[error("the track is not encrypted, and this session expects encryption")]
    Unencrypted,
    /// The track is encrypted, and this session has no end-to-end encryption.
    #[error("the track is encrypted, and this session has no end-to-end encryption")]
    Encrypted,
    /// The number given for the stream is that of another one.
    #[error("a stream of that number exists")]
    StreamExists,
}
