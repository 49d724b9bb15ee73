use std::collections::VecDeque;

use super::{DerivationId, KeyMaterial};

/// What a ring of keys needs derived.
pub(super) enum JobKind {
    /// A key from new material.
    Set(KeyMaterial),
    /// The next ratchet step, to replace the present key.
    Ratchet,
    /// The step after the last one that a search derived.
    Search,
}

pub(super) struct Job {
    pub(super) id: DerivationId,
    pub(super) index: u8,
    pub(super) kind: JobKind,
}

/// What must be known about a job when its result comes.
#[derive(Clone, Copy)]
pub(super) struct InFlight {
    pub(super) id: DerivationId,
    pub(super) index: u8,
    pub(super) purpose: Purpose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Set,
    Ratchet,
    Search,
}

/// The derivations of one ring. One runs at a time. The application's jobs come before those of searches, otherwise in
/// order.
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    in_flight: Option<InFlight>,
}

impl Jobs {
    pub(super) const fn new() -> Self {
        Self { waiting: VecDeque::new(), in_flight: None }
    }

    pub(super) fn push(&mut self, job: Job) {
        let end = self.waiting.len();
        let place = match job.kind {
            JobKind::Search => end,
            JobKind::Set(_) | JobKind::Ratchet => {
                self.waiting.iter().position(|job| matches!(job.kind, JobKind::Search)).unwrap_or(end)
            }
        };
        self.waiting.insert(place, job);
    }

    /// The next job. It is in flight from now on. `None` while another one is in flight.
    pub(super) fn start(&mut self) -> Option<Job> {
        if self.in_flight.is_some() {
            return None;
        }
        let job = self.waiting.pop_front()?;
        let purpose = match job.kind {
            JobKind::Set(_) => Purpose::Set,
            JobKind::Ratchet => Purpose::Ratchet,
            JobKind::Search => Purpose::Search,
        };
        self.in_flight = Some(InFlight { id: job.id, index: job.index, purpose });
        Some(job)
    }

    /// Ends the job in flight if it has that number.
    pub(super) fn finish(&mut self, id: DerivationId) -> Option<InFlight> {
        self.in_flight.take_if(|job| job.id == id)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the application asked for a key at this index that is not there yet.
    pub(super) fn concern(&self, index: u8) -> bool {
        self.in_flight.is_some_and(|job| job.index == index && job.purpose != Purpose::Search)
            || self.waiting.iter().any(|job| job.index == index && !matches!(job.kind, JobKind::Search))
    }

    /// Whether there will be a key at this index, unless a derivation fails.
    pub(super) fn will_set(&self, index: u8) -> bool {
        self.in_flight.is_some_and(|job| job.index == index && job.purpose == Purpose::Set)
            || self.waiting.iter().any(|job| job.index == index && matches!(job.kind, JobKind::Set(_)))
    }

    /// The application's unfinished jobs.
    pub(super) fn asked_for(&self) -> impl Iterator<Item = DerivationId> {
        let in_flight = self.in_flight.iter().filter(|job| job.purpose != Purpose::Search).map(|job| job.id);
        let waiting = self.waiting.iter().filter(|job| !matches!(job.kind, JobKind::Search));
        in_flight.chain(waiting.map(|job| job.id))
    }
}
