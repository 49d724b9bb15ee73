use crate::Instant;
use crate::e2ee::derivation::{DerivedKey, Work};
use crate::e2ee::jobs::{Job, JobKind, Jobs, Purpose};
use crate::e2ee::{
    Completion, DerivationError, DerivationId, KEY_RING_SIZE, KeyOptions, OpenOutcome, SealedFrame, TAG_LEN,
};

use super::slot::{Attempt, Slot};

/// The keys of one participant, or the shared keys.
pub(super) struct Ring {
    slots: [Option<Slot>; KEY_RING_SIZE as usize],
    jobs: Jobs,
}

/// A job that has begun.
pub(super) struct Started {
    pub(super) id: DerivationId,
    pub(super) work: Work,
}

/// A job that has ended.
pub(super) struct Finished {
    /// Only for jobs that the application asked for.
    pub(super) completion: Option<Completion>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { slots: [const { None }; KEY_RING_SIZE as usize], jobs: Jobs::new() }
    }
}

impl Ring {
    pub(super) fn ask(&mut self, id: DerivationId, index: u8, kind: JobKind) {
        self.jobs.push(Job { id, index, kind });
    }

    pub(super) fn can_ratchet(&self, index: u8) -> bool {
        self.slot(index).is_some() || self.jobs.will_set(index)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.jobs.is_idle()
    }

    pub(super) fn asked_for(&self) -> impl Iterator<Item = DerivationId> {
        self.jobs.asked_for()
    }

    /// The next job, unless one is in flight.
    pub(super) fn start(&mut self) -> Option<Started> {
        loop {
            let job = self.jobs.start()?;
            let slot = self.slot(job.index);
            let work = match job.kind {
                JobKind::Set(material) => Work::Derive(material),
                JobKind::Ratchet => slot.map_or(Work::Nothing, |slot| match slot.known_step() {
                    Some(step) => Work::Known(step.clone()),
                    None => Work::Derive(slot.key().next.clone()),
                }),
                JobKind::Search => match slot.and_then(Slot::search_base) {
                    Some(base) => Work::Derive(base.next.clone()),
                    // The key was replaced while the search waited for its turn.
                    None => {
                        self.jobs.finish(job.id);
                        continue;
                    }
                },
            };
            return Some(Started { id: job.id, work });
        }
    }

    /// Stores a result. Returns `None` if it does not belong to the job in flight.
    pub(super) fn finish(
        &mut self,
        id: DerivationId,
        result: Result<DerivedKey, DerivationError>,
        now: Instant,
    ) -> Option<Finished> {
        let job = self.jobs.finish(id)?;
        let place = self.slots.get_mut(usize::from(job.index))?;
        let result = match (job.purpose, result) {
            (Purpose::Search, step) => {
                if let Some(slot) = place {
                    slot.handle_step(step.ok(), now);
                }
                return Some(Finished { completion: None });
            }
            (_, Err(error)) => Err(error.into()),
            (Purpose::Set, Ok(key)) => {
                *place = Some(Slot::new(key));
                Ok(())
            }
            (Purpose::Ratchet, Ok(key)) => {
                match place {
                    Some(slot) => slot.ratchet(key),
                    None => *place = Some(Slot::new(key)),
                }
                Ok(())
            }
        };
        Some(Finished { completion: Some(Completion { id, result }) })
    }

    /// Opens a frame. Also returns whether the next ratchet step at its index has to be derived.
    pub(super) fn open(
        &mut self,
        options: &KeyOptions,
        sender: &str,
        frame: SealedFrame<'_>,
        now: Instant,
    ) -> (OpenOutcome, bool) {
        let index = frame.key_index;
        // Until the application's change of this key is done, a failing frame may just be ahead of it.
        let changing = self.jobs.concern(index);
        let unless_changing = |outcome| (if changing { OpenOutcome::Wait } else { outcome }, false);
        let Some(slot) = self.slots.get_mut(usize::from(index)).and_then(Option::as_mut) else {
            return unless_changing(OpenOutcome::NoKey);
        };
        if frame.sealed.len() < TAG_LEN {
            // The frame is too short for any key. That says nothing about this key and needs no search.
            return (OpenOutcome::Failed, false);
        }
        if slot.is_invalid(sender, options) {
            return unless_changing(OpenOutcome::InvalidKey);
        }
        if let Some(opened) = slot.open(sender, frame) {
            return (OpenOutcome::Opened(opened), false);
        }
        if changing {
            return (OpenOutcome::Wait, false);
        }
        match slot.search(sender, frame, options.ratchet_window, now) {
            Attempt::Opened(opened) => (OpenOutcome::Opened(opened), false),
            Attempt::Wait => (OpenOutcome::Wait, false),
            Attempt::AskForStep => (OpenOutcome::Wait, true),
            Attempt::Failed if slot.count_failure(sender, options) => (OpenOutcome::InvalidKey, false),
            Attempt::Failed => (OpenOutcome::Failed, false),
        }
    }

    fn slot(&self, index: u8) -> Option<&Slot> {
        self.slots.get(usize::from(index))?.as_ref()
    }
}
