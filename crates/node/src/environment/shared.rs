//! The part of an environment that any thread may hold: what it leaves there for JavaScript, and the doorbell.

use std::collections::VecDeque;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use napi::sys;

use crate::environment::lock;
use crate::environment::log_buffer::LogBuffer;
use crate::environment::pending::Settlement;

/// The part of an environment that any thread may hold.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) logs: LogBuffer,
    /// Sessions and connections with events.
    pub(crate) events: ReadyList,
    /// Sessions with frames that a stream waits for.
    pub(crate) frames: ReadyList,
    pub(crate) doorbell: Doorbell,
    settled: Mutex<Vec<Settlement>>,
}

/// Numbers of objects that have something for JavaScript. Each stands in it once, as the flag in its host says.
#[derive(Debug, Default)]
pub(crate) struct ReadyList(Mutex<VecDeque<u32>>);

impl ReadyList {
    pub(crate) fn push(&self, id: u32) {
        lock(&self.0).push_back(id);
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        lock(&self.0).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

/// What tells of the events of one object that is neither a session nor part of one: a connection, a stream, a source. Any
/// thread may ring: it leaves the object's number where its environment looks.
#[derive(Debug)]
pub(crate) struct EventBell {
    id: u32,
    shared: Arc<Shared>,
    /// Whether the number stands in the list.
    listed: AtomicBool,
}

impl EventBell {
    pub(crate) fn new(id: u32, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { id, shared: Arc::clone(shared), listed: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.shared.events.push(self.id);
        }
        self.shared.ring();
    }

    /// The object tells its events now. What comes from here on lists it again.
    pub(crate) fn answered(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

/// A weak threadsafe function. `None` before it is made and after the environment began to end.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    function: Mutex<Option<Function>>,
    /// Whether a call is on its way; there is never more than one.
    rung: AtomicBool,
}

impl Doorbell {
    /// It rings this function from now on.
    pub(crate) fn attach(&self, function: Function) {
        *lock(&self.function) = Some(function);
    }

    /// It falls silent. Returns the function that nothing can call through it any more.
    pub(crate) fn silence(&self) -> Option<Function> {
        lock(&self.function).take()
    }

    /// Everything from here on rings again.
    pub(crate) fn answered(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Function(pub(crate) sys::napi_threadsafe_function);

// SAFETY: Node-API lets any thread call a threadsafe function as long as it was not released, and it is released only
// after it was taken out of the doorbell's lock.
unsafe impl Send for Function {}

impl Shared {
    /// Has JavaScript look for what is new, on a later turn of its event loop. Cheap when it was rung already.
    pub(crate) fn ring(&self) {
        if self.doorbell.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // Held during the call: the environment cannot end in between.
        if let Some(Function(function)) = *lock(&self.doorbell.function) {
            // SAFETY: see `Function`. Nonblocking; the queue has no limit and holds one call at most. A failure means
            // that the environment ends.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function,
                    null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
        }
    }

    /// What JavaScript can fetch: `News` in `src/native/native.ts`.
    pub(crate) fn news(&self) -> u32 {
        u32::from(!self.events.is_empty())
            | u32::from(!self.frames.is_empty()) << 1
            | u32::from(!self.logs.is_empty()) << 2
    }

    /// Leaves the end of an asynchronous export for the environment's thread.
    pub(crate) fn settle(&self, settlement: Settlement) {
        lock(&self.settled).push(settlement);
        self.ring();
    }

    /// The ends of asynchronous exports that came since the last call.
    pub(crate) fn take_settled(&self) -> Vec<Settlement> {
        std::mem::take(&mut *lock(&self.settled))
    }
}
