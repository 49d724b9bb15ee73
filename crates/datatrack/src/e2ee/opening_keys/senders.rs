use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::SEARCH_PAUSE;
use crate::Instant;

/// Senders whose failures are remembered for each key; the one whose first failure is oldest is forgotten first.
///
/// A forgotten sender's frames are tried again: that costs an attempt, and opens nothing that should stay closed.
pub(super) const MAX_SENDERS: usize = 1024;

/// Failed frames and searches in vain of one key, by sender.
///
/// Senders are told apart by a keyed hash of their identity: a server may name identities of any length.
#[derive(Default)]
pub(super) struct Senders {
    hasher: RandomState,
    records: HashMap<u64, Record>,
    /// In the order in which they were remembered.
    order: VecDeque<u64>,
}

#[derive(Default, Clone, Copy)]
struct Record {
    /// Frames that failed in a row.
    failures: u32,
    /// When one of its frames was last tried with the whole window in vain.
    searched: Option<Instant>,
}

impl Senders {
    /// A frame was opened.
    pub(super) fn opened(&mut self, sender: &str) {
        // Hashing is for those who failed before: frames that open are the common case.
        if self.records.is_empty() {
            return;
        }
        if let Some(record) = self.records.get_mut(&self.hasher.hash_one(sender)) {
            record.failures = 0;
        }
    }

    /// A frame failed for good.
    pub(super) fn failed(&mut self, sender: &str) {
        let record = self.record(sender);
        record.failures = record.failures.saturating_add(1);
    }

    /// Frames that failed in a row.
    pub(super) fn failures(&self, sender: &str) -> u32 {
        self.get(sender).failures
    }

    /// All steps of the window were tried in vain.
    pub(super) fn searched_in_vain(&mut self, sender: &str, now: Instant) {
        self.record(sender).searched = Some(now);
    }

    /// Whether a search in vain was too short a time ago for another one.
    pub(super) fn is_paused(&self, sender: &str, now: Instant) -> bool {
        self.get(sender).searched.is_some_and(|then| now.saturating_duration_since(then) < SEARCH_PAUSE)
    }

    /// Another key: what failed with the last one says nothing of it.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.order.clear();
    }

    fn get(&self, sender: &str) -> Record {
        if self.records.is_empty() {
            return Record::default();
        }
        self.records.get(&self.hasher.hash_one(sender)).copied().unwrap_or_default()
    }

    fn record(&mut self, sender: &str) -> &mut Record {
        let id = self.hasher.hash_one(sender);
        if !self.records.contains_key(&id) {
            if self.records.len() >= MAX_SENDERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
            }
            self.order.push_back(id);
        }
        self.records.entry(id).or_default()
    }
}
