//! The keys of publishers, in a session that opens frames itself.

use std::sync::Arc;

use super::{Encryption, EncryptionErrorReason, Subscriber};
use crate::e2ee::{
    Completion, Derivation, DerivationId, Derived, E2eeError, IV_LEN, KeyMaterial, KeyScope, OpenOutcome,
    OpeningKeys, SealedFrame,
};
use crate::frame::Payload;
use crate::time::Instant;

impl Subscriber {
    /// Sets the key that opens a publisher's frames, at an index of 0 to 15.
    pub fn set_key(
        &mut self,
        scope: KeyScope,
        index: u8,
        material: KeyMaterial,
    ) -> Result<DerivationId, E2eeError> {
        self.keys()?.set_key(scope, index, material)
    }

    /// Replaces a key by its next ratchet step.
    pub fn ratchet_key(&mut self, scope: KeyScope, index: u8) -> Result<DerivationId, E2eeError> {
        self.keys()?.ratchet(scope, index)
    }

    /// The next derivation. The driver runs it off the packet path and hands its result to
    /// [`handle_derived`](Self::handle_derived).
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        self.keys().ok()?.poll_derivation()
    }

    /// Takes the result of a derivation. Frames that waited for it are tried again.
    pub fn handle_derived(&mut self, derived: Derived, now: Instant) -> Option<Completion> {
        let completion = self.keys().ok()?.handle_derived(derived, now);
        while let Some(scope) = self.keys().ok().and_then(OpeningKeys::poll_retry) {
            let waiting = match scope {
                KeyScope::Participant(identity) => {
                    self.by_publisher.get(&identity).cloned().unwrap_or_default()
                }
                KeyScope::Shared => self.subscribed_tracks(),
            };
            for id in waiting {
                let Some(track) = self.tracks.get_mut(&id) else { continue };
                for sealed in track.sealed.take() {
                    self.complete(id, sealed.frame, sealed.completed_at, now);
                }
            }
        }
        completion
    }

    /// Opens a message of the reliable side that `sender` sealed. After [`OpenOutcome::Wait`] the caller can try it
    /// again when a derivation has finished. Without built-in encryption there is no key.
    pub fn open_message(
        &mut self,
        sender: &str,
        key_index: u8,
        iv: &[u8; IV_LEN],
        sealed: &Payload,
        now: Instant,
    ) -> OpenOutcome {
        match self.keys() {
            Ok(keys) => keys.open(sender, key_index, iv, sealed, now),
            Err(_) => OpenOutcome::NoKey,
        }
    }

    /// Opens a frame of an audio track of `sender`. A frame that cannot be opened is told as an
    /// [`EncryptionError`](super::SubscriberEvent::EncryptionError), as that of a data track is. After
    /// [`OpenOutcome::Wait`] the caller can try it again.
    pub fn open_media(&mut self, sender: &Arc<str>, frame: SealedFrame<'_>, now: Instant) -> OpenOutcome {
        let outcome = match self.keys() {
            Ok(keys) => keys.open_frame(sender, frame, now),
            Err(_) => OpenOutcome::NoKey,
        };
        let reason = match outcome {
            OpenOutcome::Opened(_) | OpenOutcome::Wait => return outcome,
            OpenOutcome::NoKey => EncryptionErrorReason::MissingKey,
            OpenOutcome::Failed => EncryptionErrorReason::DecryptionFailed,
            OpenOutcome::InvalidKey => EncryptionErrorReason::InvalidKey,
        };
        self.count_media_error(sender, reason, frame.key_index, now);
        outcome
    }

    /// A frame of an encrypted audio track of `sender` is not one, so there is nothing to open.
    pub fn refuse_media(&mut self, sender: &Arc<str>, now: Instant) {
        self.count_media_error(sender, EncryptionErrorReason::Unencrypted, 0, now);
    }

    fn count_media_error(
        &mut self,
        sender: &Arc<str>,
        reason: EncryptionErrorReason,
        key_index: u8,
        now: Instant,
    ) {
        let event = self.errors.count(sender, reason, key_index, 1, now);
        self.events.extend(event);
    }

    fn keys(&mut self) -> Result<&mut OpeningKeys, E2eeError> {
        match &mut self.encryption {
            Encryption::Native(keys) => Ok(keys),
            Encryption::None | Encryption::Custom => Err(E2eeError::Disabled),
        }
    }
}
