use std::sync::Arc;

use super::KeyDerivation;

/// How keys are derived, shared and followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOptions {
    /// How key material becomes keys. It must be the same for all participants. Default: PBKDF2.
    pub derivation: KeyDerivation,
    /// Whether one key serves all participants. Default: no.
    pub shared: bool,
    /// How many ratchet steps ahead of its key a frame is tried with. 0 follows no ratchet. Default: 16; 0 for a shared
    /// key.
    pub ratchet_window: u8,
    /// How many frames of a participant in a row may fail before the key counts as invalid for that participant. It
    /// stays invalid until it is set or ratcheted again. With a negative number a key never becomes invalid. Default: −1.
    pub failure_tolerance: i32,
}

impl KeyOptions {
    /// The native SDKs' default for keys of participants.
    pub const DEFAULT_RATCHET_WINDOW: u8 = 16;

    /// A key for each participant, followed for 16 ratchet steps.
    pub const fn per_participant(derivation: KeyDerivation) -> Self {
        Self {
            derivation,
            shared: false,
            ratchet_window: Self::DEFAULT_RATCHET_WINDOW,
            failure_tolerance: -1,
        }
    }

    /// One key for all participants. Its ratchet is not followed, because one participant's step would take the key
    /// from all others.
    pub const fn shared(derivation: KeyDerivation) -> Self {
        Self { derivation, shared: true, ratchet_window: 0, failure_tolerance: -1 }
    }
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self::per_participant(KeyDerivation::Pbkdf2)
    }
}

/// Whose frames a key opens. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyScope {
    /// The frames of all participants.
    Shared,
    /// The frames of the participant with this identity.
    Participant(Arc<str>),
}
