mod ring;
mod slot;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::error::check_index;
use super::jobs::JobKind;
use super::{
    Completion, Derivation, DerivationId, Derived, E2eeError, IV_LEN, KeyMaterial, KeyOptions, KeyScope,
};
use crate::{Instant, Payload};
use ring::Ring;

pub use slot::SEARCH_PAUSE;

/// The keys that others' frames are opened with: 16 for each participant, or 16 that all share.
///
/// With a shared key (`KeyOptions::shared`) there is only that: as in livekit-client it serves every participant, and
/// a participant's own key is refused (livekit-client would silently put it in the shared one's place).
///
/// **Ratchets are followed.** A frame that the key at its index does not open is tried with the keys 1, 2, … up to
/// `ratchet_window` steps ahead. Each step is derived once and kept, one derivation at a time for each participant, so
/// what bad frames cost is bounded. A step takes the key's place only after it has opened a frame; the key just before
/// it still opens late frames. After a search in vain no other one starts at that index for [`SEARCH_PAUSE`].
///
/// Peers' frames never make this object larger, but for the steps of keys that were set: at most `ratchet_window` for
/// each.
pub struct OpeningKeys {
    options: KeyOptions,
    shared: Option<Ring>,
    participants: HashMap<Arc<str>, Ring>,
    /// Whose rings may have something to derive.
    ready: VecDeque<KeyScope>,
    retries: VecDeque<KeyScope>,
    next_id: u64,
}

/// What became of a sealed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// The plaintext, in a buffer of its own.
    Opened(Bytes),
    /// A key that may open it is being derived: hold the frame, and try again when
    /// [`poll_retry`](OpeningKeys::poll_retry) names its publisher.
    Wait,
    /// There is no key at its index, and none is being derived. So it is for indexes from 16 on too.
    NoKey,
    /// The key does not open it, nor does any ratchet step that may be tried now.
    Failed,
    /// The same, and more frames in a row failed than `failure_tolerance` allows: until the key is set or ratcheted
    /// anew, frames are not even tried.
    InvalidKey,
}

impl OpeningKeys {
    /// No keys yet.
    pub fn new(options: KeyOptions) -> Self {
        Self {
            options,
            shared: None,
            participants: HashMap::new(),
            ready: VecDeque::new(),
            retries: VecDeque::new(),
            next_id: 0,
        }
    }

    /// The options.
    pub const fn options(&self) -> &KeyOptions {
        &self.options
    }

    /// Asks for a key at `index` (0 to 15), derived from `material`. Once derived it replaces the one that is there.
    pub fn set_key(
        &mut self,
        scope: KeyScope,
        index: u8,
        material: impl Into<KeyMaterial>,
    ) -> Result<DerivationId, E2eeError> {
        let material = material.into();
        check_index(index)?;
        self.check_scope(&scope)?;
        if material.is_empty() {
            return Err(E2eeError::EmptyKeyMaterial);
        }
        let ring = match &scope {
            KeyScope::Shared => self.shared.get_or_insert_with(Ring::default),
            KeyScope::Participant(identity) => self.participants.entry(Arc::clone(identity)).or_default(),
        };
        let id = DerivationId(self.next_id);
        self.next_id += 1;
        ring.ask(id, index, JobKind::Set(material));
        self.ready.push_back(scope);
        Ok(id)
    }

    /// Asks for the key one step ahead of the one at `index` (0 to 15), to replace it.
    pub fn ratchet(&mut self, scope: KeyScope, index: u8) -> Result<DerivationId, E2eeError> {
        check_index(index)?;
        self.check_scope(&scope)?;
        let id = DerivationId(self.next_id);
        let ring =
            self.ring_mut(&scope).filter(|ring| ring.can_ratchet(index)).ok_or(E2eeError::NoKey { index })?;
        ring.ask(id, index, JobKind::Ratchet);
        self.next_id += 1;
        self.ready.push_back(scope);
        Ok(id)
    }

    /// The next derivation to be run. There is at most one for each participant at a time, but there may be many
    /// participants: the driver says how many run at once.
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        while let Some(scope) = self.ready.pop_front() {
            let derivation = self.options.derivation;
            let Some(job) = self.ring_mut(&scope).and_then(Ring::start) else { continue };
            return Some(Derivation { id: job.id, scope: Some(scope), derivation, work: job.work });
        }
        None
    }

    /// Takes a derivation's result. A [`Completion`] comes out if it is the end of what
    /// [`set_key`](Self::set_key) or [`ratchet`](Self::ratchet) began. Ask [`poll_retry`](Self::poll_retry) and
    /// [`poll_derivation`](Self::poll_derivation) next.
    ///
    /// Results of keys that were removed in the meantime, or of another machine, are dropped.
    pub fn handle_derived(&mut self, derived: Derived, now: Instant) -> Option<Completion> {
        let scope = derived.scope?;
        let ring = self.ring_mut(&scope)?;
        let finished = ring.finish(derived.id, derived.result, now)?;
        if ring.has_work() {
            self.ready.push_back(scope.clone());
        }
        if !self.retries.contains(&scope) {
            self.retries.push_back(scope);
        }
        finished.completion
    }

    /// Opens a frame of the participant `identity`: `key_index` and `iv` are what its E2EE extension says, `sealed` is
    /// its ciphertext with the tag.
    ///
    /// `sealed` is left as it is, so after [`OpenOutcome::Wait`] the same frame can be tried again.
    pub fn open(
        &mut self,
        identity: &str,
        key_index: u8,
        iv: &[u8; IV_LEN],
        sealed: &Payload,
        now: Instant,
    ) -> OpenOutcome {
        let options = &self.options;
        let ring = if options.shared { self.shared.as_mut() } else { self.participants.get_mut(identity) };
        let Some(ring) = ring else { return OpenOutcome::NoKey };
        let (outcome, wants_step) = ring.open(options, key_index, iv, sealed, now);
        if wants_step {
            ring.ask(DerivationId(self.next_id), key_index, JobKind::Search);
            self.next_id += 1;
            let scope =
                if options.shared { KeyScope::Shared } else { KeyScope::Participant(identity.into()) };
            self.ready.push_back(scope);
        }
        outcome
    }

    /// Whose held frames are worth trying again, after derivations ended or keys were removed.
    pub fn poll_retry(&mut self) -> Option<KeyScope> {
        self.retries.pop_front()
    }

    /// Forgets the keys of that scope and what was asked for it, and returns what will never be completed for it.
    pub fn remove(&mut self, scope: &KeyScope) -> Vec<DerivationId> {
        let ring = match scope {
            KeyScope::Shared => self.shared.take(),
            KeyScope::Participant(identity) => self.participants.remove(identity),
        };
        let Some(ring) = ring else { return Vec::new() };
        // Frames that wait for its derivations would wait for ever.
        if !self.retries.contains(scope) {
            self.retries.push_back(scope.clone());
        }
        ring.asked_for().collect()
    }

    /// Forgets all keys and all that was asked for, and returns what will never be completed for it.
    pub fn clear(&mut self) -> Vec<DerivationId> {
        let shared = self.shared.is_some().then_some(KeyScope::Shared);
        let participants = self.participants.keys().cloned().map(KeyScope::Participant);
        let scopes: Vec<_> = shared.into_iter().chain(participants).collect();
        self.ready.clear();
        scopes.iter().flat_map(|scope| self.remove(scope)).collect()
    }

    fn ring_mut(&mut self, scope: &KeyScope) -> Option<&mut Ring> {
        match scope {
            KeyScope::Shared => self.shared.as_mut(),
            KeyScope::Participant(identity) => self.participants.get_mut(identity),
        }
    }

    const fn check_scope(&self, scope: &KeyScope) -> Result<(), E2eeError> {
        match (scope, self.options.shared) {
            (KeyScope::Shared, true) | (KeyScope::Participant(_), false) => Ok(()),
            (KeyScope::Participant(_), true) => Err(E2eeError::SharedKeyExpected),
            (KeyScope::Shared, false) => Err(E2eeError::ParticipantKeyExpected),
        }
    }
}

impl fmt::Debug for OpeningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKeys")
            .field("options", &self.options)
            .field("participants", &self.participants.len())
            .finish_non_exhaustive()
    }
}
