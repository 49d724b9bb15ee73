//! The local participant's keys, in a session that seals frames itself, and the frames that wait for the first key.

use super::track::Sealing;
use super::{Encryption, Publisher, Slot};
use crate::e2ee::{Completion, Derivation, DerivationId, Derived, E2eeError, KeyMaterial, SealingKeys};
use crate::stats::SendDrop;

impl Publisher {
    /// Sets the key at an index of 0 to 15. It is in use once its derivation was handed back. Until then, tracks
    /// without any key hold their frames.
    pub fn set_key(&mut self, index: u8, material: KeyMaterial) -> Result<DerivationId, E2eeError> {
        self.keys()?.set_key(index, material)
    }

    /// Replaces the key at an index by its next ratchet step.
    pub fn ratchet_key(&mut self, index: u8) -> Result<DerivationId, E2eeError> {
        self.keys()?.ratchet(index)
    }

    /// Seals with the key at that index from now on. If it is still being derived, sealing starts as soon as it is
    /// there.
    pub fn set_key_index(&mut self, index: u8) -> Result<(), E2eeError> {
        self.keys()?.set_current_index(index)?;
        self.settle_held();
        Ok(())
    }

    /// The next derivation. The driver runs it off the packet path and hands its result to
    /// [`handle_derived`](Self::handle_derived).
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        self.keys().ok()?.poll_derivation()
    }

    /// Takes the result of a derivation. The requested change is complete, and held frames are sent.
    pub fn handle_derived(&mut self, derived: Derived) -> Option<Completion> {
        let completion = self.keys().ok()?.handle_derived(derived);
        self.settle_held();
        completion
    }

    fn keys(&mut self) -> Result<&mut SealingKeys, E2eeError> {
        match &mut self.encryption {
            Encryption::Native(keys) => Ok(keys),
            Encryption::None | Encryption::Custom => Err(E2eeError::Disabled),
        }
    }

    /// Seals the held frames if there is a key now. Drops them if none is being derived.
    fn settle_held(&mut self) {
        let Encryption::Native(keys) = &self.encryption else { return };
        let has_key = keys.current().is_some();
        if !has_key && keys.is_pending() {
            return;
        }
        let random = self.config.iv_random.as_mut();
        let mut sealing = Sealing { keys, random, scratch: &mut self.scratch };
        let mut watched = Vec::new();
        for slot in &mut self.slots {
            let Slot::Active(track) = slot else { continue };
            if !track.holds_frames() {
                continue;
            }
            if track.watch.is_some() {
                watched.push(track.handle);
            }
            if !has_key {
                track.drop_held(SendDrop::NoKey);
                continue;
            }
            track.release_held(&mut sealing, &mut self.pool);
            if !track.listed && !track.queue.is_empty() {
                track.listed = true;
                self.turns.push_back(track.handle);
            }
        }
        for handle in watched {
            self.check_watch(handle);
        }
    }
}
