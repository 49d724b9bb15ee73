//! End-to-end encryption, as LiveKit does it for data tracks.
//!
//! The publisher seals a whole frame with AES-128-GCM and then packetizes it. The subscriber reassembles it and then
//! opens it. There is no additional authenticated data. The E2EE extension carries the IV and the key's index. The tag
//! follows the ciphertext:
//!
//! ```text
//! key material ──KDF, 128 bit──▶ key ──AES-128-GCM(IV)──▶ ciphertext ‖ tag (16 bytes)
//!      │
//!      └──KDF, 256 bit──▶ next material   (a ratchet step)
//! ```
//!
//! - [`SealingKeys`] holds the local participant's keys. One [`FrameSealer`] for each track seals with them.
//! - [`OpeningKeys`] holds the remote participants' keys, or the shared key.
//!
//! Deriving a key is slow on purpose (PBKDF2), so neither machine does it. Both ask for it with `poll_derivation`. The
//! driver calls [`Derivation::run`] where blocking is allowed, and hands the [`Derived`] back to the machine that
//! asked.
//!
//! The format authenticates the payload and nothing else: not the track, the frame number nor the timestamp. A frame
//! of audio has a plain head, which the tag covers, too.

mod cipher;
mod derivation;
mod error;
mod iv;
mod jobs;
mod material;
mod opening_keys;
mod options;
mod sealer;
mod sealing_keys;

pub use cipher::{FrameKey, OpenError, SealError};
pub use derivation::{Completion, Derivation, DerivationError, DerivationId, Derived, KeyDerivation};
pub use error::E2eeError;
pub use iv::{IvRandom, IvRandomError, IvSequence, SystemIvRandom};
pub use material::KeyMaterial;
pub use opening_keys::{OpenOutcome, OpeningKeys, SEARCH_PAUSE, SealedFrame};
pub use options::{KeyOptions, KeyScope};
pub use sealer::{FrameSealError, FrameSealer, SealedWith};
pub use sealing_keys::SealingKeys;

/// Bytes that sealing adds to a payload.
pub const TAG_LEN: usize = 16;
/// Bytes of an IV.
pub const IV_LEN: usize = 12;
/// Keys that a participant can have at once; key indexes are below it.
pub const KEY_RING_SIZE: u8 = 16;

#[cfg(test)]
mod test_support;
