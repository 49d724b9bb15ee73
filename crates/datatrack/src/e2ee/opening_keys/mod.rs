mod ring;
mod senders;
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
    Completion, Derivation, DerivationId, Derived, E2eeError, FrameKey, IV_LEN, KeyMaterial, KeyOptions,
    KeyScope,
};
use crate::{Instant, Payload};
use ring::Ring;

pub use slot::SEARCH_PAUSE;

/// The keys that open remote participants' frames: 16 for each participant, or 16 shared ones.
///
/// With a shared key (`KeyOptions::shared`) there are only shared keys. As in livekit-client, they serve every
/// participant. A participant's own key is refused; livekit-client would silently replace the shared key with it.
///
/// **Ratchets are followed.** If the key at a frame's index does not open it, the steps 1, 2, … up to `ratchet_window`
/// ahead are tried. Each step is derived once and kept. There is one derivation at a time for each participant. So the
/// cost of bad frames is bounded. A step replaces the key only after it has opened a frame. The key just before it
/// still opens late frames. After a search in vain, frames of that sender start no other search at that index for
/// [`SEARCH_PAUSE`].
///
/// Peers' frames make this object larger only by the steps of keys that were set, at most `ratchet_window` for each
/// key, and by the counts of failed frames, of at most 1,024 senders for each key.
pub struct OpeningKeys {
    options: KeyOptions,
    shared: Option<Ring>,
    participants: HashMap<Arc<str>, Ring>,
    /// Scopes whose rings may have something to derive.
    ready: VecDeque<KeyScope>,
    retries: VecDeque<KeyScope>,
    next_id: u64,
}

/// A sealed frame, with what its sender says of it.
#[derive(Debug, Clone, Copy)]
pub struct SealedFrame<'a> {
    /// The index of the key that sealed it.
    pub key_index: u8,
    /// The IV.
    pub iv: &'a [u8; IV_LEN],
    /// What the tag covers besides the ciphertext.
    pub head: &'a [u8],
    /// The ciphertext with the tag.
    pub sealed: &'a Payload,
}

impl SealedFrame<'_> {
    fn open_with(&self, key: &FrameKey) -> Option<Bytes> {
        key.open_payload_with_head(self.iv, self.head, self.sealed).ok()
    }
}

/// The result of opening a sealed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// The plaintext, in a new buffer.
    Opened(Bytes),
    /// A key that may open it is being derived. Hold the frame, and try again when
    /// [`poll_retry`](OpeningKeys::poll_retry) names its publisher.
    Wait,
    /// There is no key at its index, and none is being derived. This is also the result for an index of 16 or more.
    NoKey,
    /// Neither the key nor any ratchet step that may be tried now opens it.
    Failed,
    /// As [`Failed`](Self::Failed), but more frames of the sender in a row failed than `failure_tolerance` allows.
    /// Frames of that sender are not even tried until the key is set or ratcheted again.
    InvalidKey,
}

impl OpeningKeys {
    /// Opening keys without any key.
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

    /// Requests a key at `index` (0 to 15), derived from `material`. Once derived, it replaces the present one.
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

    /// Requests the next ratchet step of the key at `index` (0 to 15), to replace the key.
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

    /// The next derivation to run. There is at most one for each participant at a time. With many participants, the
    /// driver decides how many run at once.
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        while let Some(scope) = self.ready.pop_front() {
            let derivation = self.options.derivation;
            let Some(job) = self.ring_mut(&scope).and_then(Ring::start) else { continue };
            return Some(Derivation { id: job.id, scope: Some(scope), derivation, work: job.work });
        }
        None
    }

    /// Takes a derivation's result. Returns a [`Completion`] if it ends what [`set_key`](Self::set_key) or
    /// [`ratchet`](Self::ratchet) began. Call [`poll_retry`](Self::poll_retry) and
    /// [`poll_derivation`](Self::poll_derivation) next.
    ///
    /// Results for keys that were removed meanwhile, or of another machine, are dropped.
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

    /// Opens a frame of the participant `identity`. `key_index` and `iv` come from its E2EE extension. `sealed` is the
    /// ciphertext with the tag.
    ///
    /// `sealed` stays unchanged. So after [`OpenOutcome::Wait`] the same frame can be tried again.
    pub fn open(
        &mut self,
        identity: &str,
        key_index: u8,
        iv: &[u8; IV_LEN],
        sealed: &Payload,
        now: Instant,
    ) -> OpenOutcome {
        self.open_frame(identity, SealedFrame { key_index, iv, head: &[], sealed }, now)
    }

    /// As [`open`](Self::open), for a frame that may have been sealed with a head.
    pub fn open_frame(&mut self, identity: &str, frame: SealedFrame<'_>, now: Instant) -> OpenOutcome {
        let key_index = frame.key_index;
        let options = &self.options;
        let ring = if options.shared { self.shared.as_mut() } else { self.participants.get_mut(identity) };
        let Some(ring) = ring else { return OpenOutcome::NoKey };
        let (outcome, wants_step) = ring.open(options, identity, frame, now);
        if wants_step {
            ring.ask(DerivationId(self.next_id), key_index, JobKind::Search);
            self.next_id += 1;
            let scope =
                if options.shared { KeyScope::Shared } else { KeyScope::Participant(identity.into()) };
            self.ready.push_back(scope);
        }
        outcome
    }

    /// A scope whose held frames are worth another try, because a derivation ended or keys were removed.
    pub fn poll_retry(&mut self) -> Option<KeyScope> {
        self.retries.pop_front()
    }

    /// Forgets the keys and requests of that scope. Returns the requests that will never complete.
    pub fn remove(&mut self, scope: &KeyScope) -> Vec<DerivationId> {
        let ring = match scope {
            KeyScope::Shared => self.shared.take(),
            KeyScope::Participant(identity) => self.participants.remove(identity),
        };
        let Some(ring) = ring else { return Vec::new() };
        // Otherwise frames that wait for its derivations would wait for ever.
        if !self.retries.contains(scope) {
            self.retries.push_back(scope.clone());
        }
        ring.asked_for().collect()
    }

    /// Forgets all keys and requests. Returns the requests that will never complete.
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
