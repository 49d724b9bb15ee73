use super::{DerivationError, KEY_RING_SIZE};

/// Why a key could not be set, ratcheted or chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum E2eeError {
    /// The index is outside of the key ring. The reference clients take it modulo the ring's size here, but drop frames
    /// with such an index on the other side. That silences a publisher without any report, so here it is an error.
    #[error("key index {index} is not below {KEY_RING_SIZE}")]
    KeyIndexOutOfRange {
        /// The requested index.
        index: u8,
    },
    /// The key material has no bytes.
    #[error("key material is empty")]
    EmptyKeyMaterial,
    /// There is no key at that index to ratchet, and none is being derived for it.
    #[error("there is no key at index {index}")]
    NoKey {
        /// The requested index.
        index: u8,
    },
    /// The session has a shared key, but a participant's key was given.
    #[error("this session has one key for all participants: a key of one participant has no place in it")]
    SharedKeyExpected,
    /// The session has a key for each participant, but a shared key was given.
    #[error("this session has a key for each participant: a key needs a participant's identity")]
    ParticipantKeyExpected,
    /// The session has no end-to-end encryption, or the application does it itself.
    #[error("this session has no built-in end-to-end encryption")]
    Disabled,
    /// The key derivation failed.
    #[error(transparent)]
    Derivation(#[from] DerivationError),
}

/// Checks that a key index is inside of the ring.
pub(super) const fn check_index(index: u8) -> Result<(), E2eeError> {
    if index < KEY_RING_SIZE { Ok(()) } else { Err(E2eeError::KeyIndexOutOfRange { index }) }
}
