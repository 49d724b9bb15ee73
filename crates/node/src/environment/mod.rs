//! What one JavaScript environment (the main thread, a worker, an Electron window) owns: its sessions, streams, pending
//! promises, log records and the doorbell.
//!
//! [`Environment`] lives on the environment's thread, as Node-API's instance data. [`Shared`] is the part that other
//! threads hold: they can leave something there and ring.
//!
//! - Made by the first export that needs it, not at load.
//! - Ended by its cleanup hook, at whatever moment the environment is torn down: the doorbell falls silent first, so no
//!   thread can call into what is being taken apart; then its sessions end; then the runtime, if it was the last.
//! - Freed by Node-API after that.

pub(crate) mod handles;
pub(crate) mod log;
mod log_limit;
mod redact;
pub(crate) mod runtime;
pub(crate) mod task;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datatrack_transport::Clock;
use napi::sys;
use nohash_hasher::IntMap;

use crate::connection::ServerConnection;
use crate::environment::handles::Handles;
use crate::environment::log::LogBuffer;
use crate::environment::runtime::BACKEND;
use crate::environment::task::{Pending, Settlement};
use crate::hub::Loopback;
use crate::js::error::Failure;
use crate::js::guard::guard;
use crate::js::{Call, Class, IntoJs, Js, Reference, Value};
use crate::session::Session;
use crate::session::drain::{LargeFrames, TakenBuffer};

/// The part of an environment that any thread may hold.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) logs: LogBuffer,
    /// Sessions with events.
    pub(crate) events: ReadyList,
    /// Sessions with frames that somebody waits for.
    pub(crate) frames: ReadyList,
    doorbell: Doorbell,
    settled: Mutex<Vec<Settlement>>,
}

/// Numbers of sessions that have something. Each stands in it once, as the flag in its host says.
#[derive(Debug, Default)]
pub(crate) struct ReadyList(Mutex<VecDeque<u32>>);

impl ReadyList {
    pub(crate) fn push(&self, session: u32) {
        lock(&self.0).push_back(session);
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        lock(&self.0).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

/// A weak threadsafe function. `None` before it is made and after the environment began to end.
#[derive(Debug, Default)]
struct Doorbell {
    function: Mutex<Option<Function>>,
    /// Whether a call is on its way; there is never more than one.
    rung: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Function(sys::napi_threadsafe_function);

// SAFETY: Node-API lets any thread call a threadsafe function as long as it was not released, and it is released only
// after it was taken out of the doorbell's lock.
unsafe impl Send for Function {}

/// A lock that a panic left behind is taken all the same: closing needs it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    fn news(&self) -> u32 {
        u32::from(!self.events.is_empty())
            | u32::from(!self.frames.is_empty()) << 1
            | u32::from(!self.logs.is_empty()) << 2
    }

    /// Leaves the end of an asynchronous export for the environment's thread.
    pub(crate) fn settle(&self, settlement: Settlement) {
        lock(&self.settled).push(settlement);
        self.ring();
    }
}

/// One JavaScript environment. See the [module](self).
pub(crate) struct Environment {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handles: Handles,
    pub(crate) pending: Pending,
    /// All sessions whose objects were not collected yet, and the open streams and loopbacks.
    pub(crate) sessions: RefCell<IntMap<u32, Rc<Session>>>,
    pub(crate) streams: RefCell<IntMap<u32, Rc<Session>>>,
    pub(crate) loopbacks: RefCell<IntMap<u32, Rc<Loopback>>>,
    /// Connections to servers that are not closed.
    pub(crate) connections: RefCell<IntMap<u32, Rc<ServerConnection>>>,
    pub(crate) session_class: OnceCell<Class>,
    pub(crate) connection_class: OnceCell<Class>,
    pub(crate) loopback_class: OnceCell<Class>,
    pub(crate) large: RefCell<LargeFrames>,
    pub(crate) taken: RefCell<TakenBuffer>,
    /// What the links of sessions without a driver measure time on.
    pub(crate) clock: Clock,
    last_id: Cell<u32>,
    this: Weak<Self>,
    raw: sys::napi_env,
    function: Cell<Option<Function>>,
    callback: RefCell<Option<Reference>>,
    /// Connected sessions and pending promises: while there are any, the process stays.
    keep_alive: Cell<usize>,
    ended: Cell<bool>,
}

impl Environment {
    /// The running call's environment, made now if it is not there yet.
    pub(crate) fn of(call: &Call) -> Result<&Self, Failure> {
        let environment = match Self::existing(call.js()) {
            Some(environment) => environment,
            None => Self::create(call.js())?,
        };
        if environment.ended.get() {
            return Err(Failure::closed("the JavaScript environment is ending"));
        }
        Ok(environment)
    }

    fn existing<'a>(js: Js) -> Option<&'a Self> {
        let mut data = null_mut();
        // SAFETY: the instance data of this addon is what `create` put there; nobody else can.
        unsafe {
            sys::napi_get_instance_data(js.raw(), &raw mut data);
            // It is freed by `free`, when no export of the environment can run any more.
            data.cast::<Self>().as_ref()
        }
    }

    fn create<'a>(js: Js) -> Result<&'a Self, Failure> {
        let shared = Arc::new(Shared::default());
        let environment = Rc::new_cyclic(|this| Self {
            shared: Arc::clone(&shared),
            handles: Handles::from_process_environment(),
            pending: Pending::default(),
            sessions: RefCell::default(),
            streams: RefCell::default(),
            loopbacks: RefCell::default(),
            connections: RefCell::default(),
            session_class: OnceCell::new(),
            connection_class: OnceCell::new(),
            loopback_class: OnceCell::new(),
            large: RefCell::default(),
            taken: RefCell::default(),
            clock: Clock::start(),
            last_id: Cell::new(0),
            this: this.clone(),
            raw: js.raw(),
            function: Cell::new(None),
            callback: RefCell::new(None),
            keep_alive: Cell::new(0),
            ended: Cell::new(false),
        });
        let data = Rc::into_raw(environment);
        let context = data.cast_mut().cast::<c_void>();
        // SAFETY: `data` is good until `free`, which runs after the hook and after the last call of the doorbell.
        unsafe {
            let status = sys::napi_set_instance_data(js.raw(), context, Some(free), null_mut());
            if let Err(failure) = Failure::check(status) {
                drop(Rc::from_raw(data));
                return Err(failure);
            }
            let environment = &*data;
            let prepared = make_doorbell(js, context).and_then(|function| {
                // After the doorbell, so that it runs before the doorbell's own end: hooks run last in, first out.
                Failure::check(sys::napi_add_env_cleanup_hook(js.raw(), Some(end), context))?;
                Ok(function)
            });
            let function = match prepared {
                Ok(function) => function,
                Err(failure) => {
                    environment.ended.set(true);
                    return Err(failure);
                }
            };
            BACKEND.attach();
            environment.function.set(Some(function));
            *lock(&shared.doorbell.function) = Some(function);
            log::attach(&shared);
            log::adopt_thread(&shared);
            Ok(environment)
        }
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    /// A number for a session or a loopback.
    pub(crate) fn next_id(&self) -> u32 {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        id
    }

    /// What the doorbell calls from now on.
    pub(crate) fn set_callback(&self, js: Js, callback: Value) -> Result<(), Failure> {
        let new = Reference::new(js, callback)?;
        if let Some(old) = self.callback.replace(Some(new)) {
            old.delete(js);
        }
        // Whatever was rung for before there was somebody to hear it.
        self.shared.ring();
        Ok(())
    }

    /// One more reason for the process to stay.
    pub(crate) fn keep_alive(&self) {
        self.keep_alive.set(self.keep_alive.get() + 1);
        if self.keep_alive.get() == 1
            && let Some(Function(function)) = self.function.get()
        {
            // SAFETY: the function is released only by `end`, which takes it out first.
            unsafe { sys::napi_ref_threadsafe_function(self.raw, function) };
        }
    }

    /// One reason less.
    pub(crate) fn let_go(&self) {
        self.keep_alive.set(self.keep_alive.get().saturating_sub(1));
        if self.keep_alive.get() == 0
            && let Some(Function(function)) = self.function.get()
        {
            // SAFETY: as in `keep_alive`.
            unsafe { sys::napi_unref_threadsafe_function(self.raw, function) };
        }
    }

    fn answer(&self, js: Js) {
        // First: what comes from here on rings again.
        self.shared.doorbell.rung.store(false, Ordering::Release);
        let settled = std::mem::take(&mut *lock(&self.shared.settled));
        for settlement in settled {
            self.pending.settle(js, self, settlement);
        }
        let callback = self.callback.borrow().as_ref().and_then(|callback| callback.get(js).ok());
        if let Some(callback) = callback
            && let Ok(news) = self.shared.news().into_js(js)
        {
            js.call_and_report(callback, news);
        }
    }

    fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        let silenced = lock(&self.shared.doorbell.function).take();
        self.function.set(None);
        if let Some(Function(function)) = silenced {
            // SAFETY: nobody can get at the function any more; Node.js closes it after this hook.
            unsafe {
                sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::release)
            };
        }
        let connections = self.connections.take();
        for connection in connections.values() {
            connection.close();
        }
        let loopbacks = self.loopbacks.take();
        for hub in loopbacks.values() {
            hub.close();
        }
        let sessions = self.sessions.take();
        for session in sessions.values() {
            session.close();
        }
        self.streams.take();
        BACKEND.detach();
    }
}

/// # Safety
///
/// `context` points to the environment and is good as long as the function is.
unsafe fn make_doorbell(js: Js, context: *mut c_void) -> Result<Function, Failure> {
    let name = js.string("datatrack")?;
    let mut function = null_mut();
    // SAFETY: no JavaScript function is bound: `rung` finds the callback itself. One thread, ours, holds it.
    unsafe {
        Failure::check(sys::napi_create_threadsafe_function(
            js.raw(),
            null_mut(),
            null_mut(),
            name.raw(),
            0,
            1,
            null_mut(),
            None,
            context,
            Some(rung),
            &raw mut function,
        ))?;
        Failure::check(sys::napi_unref_threadsafe_function(js.raw(), function))?;
    }
    Ok(Function(function))
}

/// The doorbell on the environment's thread.
unsafe extern "C" fn rung(
    env: sys::napi_env,
    _function: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    // No environment: it is being torn down and JavaScript cannot run.
    if env.is_null() {
        return;
    }
    let _ = guard(|| {
        // SAFETY: Node.js opens a scope for the call; the context is the environment, see `create`. Held by a count
        // of its own, since the callback runs JavaScript, which may end everything.
        let environment = unsafe {
            Rc::increment_strong_count(context.cast::<Environment>());
            Rc::from_raw(context.cast::<Environment>())
        };
        // SAFETY: as above.
        let js = unsafe { Js::new(env) };
        environment.answer(js);
        Ok(())
    });
}

/// The environment's cleanup hook.
unsafe extern "C" fn end(context: *mut c_void) {
    let _ = guard(|| {
        // SAFETY: the context is the environment; `free` runs later.
        unsafe { &*context.cast::<Environment>() }.end();
        Ok(())
    });
}

/// Node-API's finalizer of the instance data.
unsafe extern "C" fn free(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    let _ = guard(|| {
        // SAFETY: the count that `create` gave away comes back, once.
        let environment = unsafe { Rc::from_raw(data.cast_const().cast::<Environment>()) };
        environment.end();
        drop(environment);
        Ok(())
    });
}
