//! One environment's log records, until JavaScript takes them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use tracing::callsite::Identifier;

use crate::environment::lock;
use crate::environment::log_limit::Limits;
use crate::js::error::Failure;
use crate::js::{IntoJs, Js, Value};

/// Records an environment keeps until JavaScript takes them; more are counted and dropped.
const MAX_RECORDS: usize = 1_000;

/// The names of the levels, from the most silent on; the index is what is stored.
pub(crate) const LEVELS: [&str; 6] = ["silent", "error", "warn", "info", "debug", "trace"];

/// Warnings, until `setLogLevel` says otherwise.
pub(crate) const DEFAULT_LEVEL: u8 = 2;

/// Records of one place in the code are limited up to this level. A program did not ask for all of them, and a peer can
/// cause them. A program that wants to see more asks for `debug`.
const LIMITED_LEVEL: u8 = 3;

/// One environment's records.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    level: AtomicU8,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Record>,
    lost: u64,
    limits: Limits,
}

/// A record of `pollLogs()`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) level: &'static str,
    pub(crate) target: &'static str,
    pub(crate) message: String,
}

/// What `pollLogs()` returns.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    pub(crate) lost: u64,
}

impl Default for LogBuffer {
    fn default() -> Self {
        Self { level: AtomicU8::new(DEFAULT_LEVEL), queue: Mutex::default() }
    }
}

impl LogBuffer {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// `None` if there is no such level.
    pub(crate) fn set_level(&self, name: &str) -> Option<()> {
        let level = LEVELS.iter().position(|level| *level == name)?;
        self.level.store(u8::try_from(level).ok()?, Ordering::Relaxed);
        Some(())
    }

    pub(crate) fn level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    pub(crate) fn wants(&self, level: u8) -> bool {
        level <= self.level()
    }

    /// How many records of that place were left out; `None` if this one is, too.
    pub(crate) fn admit(&self, level: u8, place: Identifier, now: Instant) -> Option<u64> {
        if level > LIMITED_LEVEL { Some(0) } else { self.queue().limits.admit(place, now) }
    }

    pub(crate) fn push(&self, record: Record) {
        let mut queue = self.queue();
        if queue.records.len() >= MAX_RECORDS {
            queue.records.pop_front();
            queue.lost += 1;
        }
        queue.records.push_back(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.queue();
        queue.records.is_empty() && queue.lost == 0
    }

    pub(crate) fn take(&self) -> Records {
        let mut queue = self.queue();
        Records { records: std::mem::take(&mut queue.records).into(), lost: std::mem::take(&mut queue.lost) }
    }
}

impl IntoJs for Record {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"level", self.level)?;
        js.put(object, c"target", self.target)?;
        js.put(object, c"message", self.message)?;
        Ok(object)
    }
}

impl IntoJs for Records {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"records", self.records)?;
        js.put(object, c"lost", self.lost)?;
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Record {
        Record { level: "warn", target: "test", message: message.to_owned() }
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_and_counts_them() {
        let buffer = LogBuffer::default();
        for index in 0..MAX_RECORDS + 3 {
            buffer.push(record(&index.to_string()));
        }
        let taken = buffer.take();
        assert_eq!((taken.records.len(), taken.lost), (MAX_RECORDS, 3));
        assert_eq!(taken.records.first(), Some(&record("3")));
        let taken = buffer.take();
        assert_eq!((taken.records.len(), taken.lost), (0, 0));
    }

    #[test]
    fn levels_are_known_by_name() {
        let buffer = LogBuffer::default();
        assert!(buffer.wants(2) && !buffer.wants(3));
        assert_eq!(buffer.set_level("silent"), Some(()));
        assert!(!buffer.wants(1));
        assert_eq!(buffer.set_level("verbose"), None);
        assert_eq!(buffer.set_level("trace"), Some(()));
        assert!(buffer.wants(5));
    }
}
