//! What is alive, for `handles()`: each object that the program has to end, and where it was made.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::js::error::Failure;
use crate::js::{IntoJs, Js, Value};

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Session,
    Stream,
    Publication,
    Loopback,
    Connection,
    AudioStream,
    AudioSource,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Stream => "stream",
            Self::Publication => "publication",
            Self::Loopback => "loopback",
            Self::Connection => "connection",
            Self::AudioStream => "audioStream",
            Self::AudioSource => "audioSource",
        }
    }
}

/// Which object: sessions, streams of both kinds, loopbacks and connections have numbers of their environment; a
/// publication's handle is unique in its session only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    kind: Kind,
    session: u32,
    id: u32,
}

impl Key {
    pub(crate) const fn new(kind: Kind, id: u32) -> Self {
        Self { kind, session: 0, id }
    }

    pub(crate) const fn publication(session: u32, handle: u16) -> Self {
        Self { kind: Kind::Publication, session, id: handle as u32 }
    }
}

/// One environment's living objects.
#[derive(Debug)]
pub(crate) struct Handles {
    alive: RefCell<BTreeMap<Key, Option<String>>>,
    with_stack: bool,
}

impl Handles {
    /// Stacks are taken when `DATATRACK_DEBUG` has `handles` among its comma-separated words.
    pub(crate) fn from_process_environment() -> Self {
        let words = std::env::var("DATATRACK_DEBUG").unwrap_or_default();
        Self::new(words.split(',').any(|word| word.trim() == "handles"))
    }

    const fn new(with_stack: bool) -> Self {
        Self { alive: RefCell::new(BTreeMap::new()), with_stack }
    }

    pub(crate) fn add(&self, js: Js, key: Key) {
        let created_at = if self.with_stack { js.stack() } else { None };
        self.alive.borrow_mut().insert(key, created_at);
    }

    pub(crate) fn remove(&self, key: Key) {
        self.alive.borrow_mut().remove(&key);
    }

    /// The publications of a session that ended.
    pub(crate) fn remove_publications(&self, session: u32) {
        self.alive.borrow_mut().retain(|key, _| key.kind != Kind::Publication || key.session != session);
    }

    pub(crate) fn list(&self) -> Vec<LiveObject> {
        self.alive
            .borrow()
            .iter()
            .map(|(key, created_at)| LiveObject { key: *key, created_at: created_at.clone() })
            .collect()
    }
}

/// An entry of `handles()`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LiveObject {
    key: Key,
    created_at: Option<String>,
}

impl IntoJs for LiveObject {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"kind", self.key.kind.as_str())?;
        js.put(object, c"id", self.key.id)?;
        js.put(object, c"createdAt", self.created_at)?;
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_its_publications_along() {
        let handles = Handles::new(false);
        for key in [Key::publication(1, 1), Key::publication(1, 2), Key::publication(2, 1)] {
            handles.alive.borrow_mut().insert(key, None);
        }
        handles.alive.borrow_mut().insert(Key::new(Kind::Stream, 1), None);
        handles.remove_publications(1);
        let keys = handles.list().into_iter().map(|handle| handle.key).collect::<Vec<_>>();
        assert_eq!(keys, [Key::new(Kind::Stream, 1), Key::publication(2, 1)]);
    }
}
