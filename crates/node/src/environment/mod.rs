//! What one JavaScript environment (the main thread, a worker, an Electron window) owns: its sessions, connections and
//! hubs, pending promises, log records and the doorbell.
//!
//! [`Environment`] lives on the environment's thread, as Node-API's instance data. [`Shared`] is the part that other
//! threads hold: they can leave something there and ring.
//!
//! - Made by the first export that needs it, not at load.
//! - Ended by its cleanup hook, at whatever moment the environment is torn down: the doorbell falls silent first, so no
//!   thread can call into what is being taken apart; then its sessions end; then the runtime, if it was the last.
//! - Freed by Node-API after that.

pub(crate) mod drain;
pub(crate) mod handles;
pub(crate) mod log;
pub(crate) mod log_buffer;
mod log_limit;
pub(crate) mod owned;
mod pending;
mod redact;
pub(crate) mod runtime;
pub(crate) mod shared;
pub(crate) mod task;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datatrack_transport::Clock;
use datatrack_transport::speaking::Pacer;
use napi::sys;
use nohash_hasher::IntMap;

use crate::environment::drain::Buffers;
use crate::environment::handles::Handles;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::pending::Pending;
use crate::environment::runtime::BACKEND;
use crate::environment::shared::{Function, Shared};
use crate::js::error::Failure;
use crate::js::guard::guard;
use crate::js::{Call, Class, IntoJs, Js, Reference, Value};

/// Locks a mutex, also one that a panic left poisoned: closing needs it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One JavaScript environment. See the [module](self).
pub(crate) struct Environment {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handles: Handles,
    pub(crate) pending: Pending,
    pub(crate) buffers: Buffers,
    /// What paces the audio sources.
    pub(crate) pacer: Arc<Pacer>,
    /// What the links of sessions without a driver measure time on.
    pub(crate) clock: Clock,
    /// Sessions whose JavaScript objects were not collected yet, open hubs and open connections, by their numbers.
    owned: RefCell<IntMap<u32, Rc<dyn Owned>>>,
    /// The classes that were needed so far, by their definitions' names.
    classes: RefCell<Vec<(&'static CStr, Rc<Class>)>>,
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
        // SAFETY: the instance data of this addon is what `create` put there. Only this addon can.
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
            buffers: Buffers::default(),
            pacer: Arc::default(),
            clock: Clock::start(),
            owned: RefCell::default(),
            classes: RefCell::default(),
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
            shared.doorbell.attach(function);
            log::attach(&shared);
            log::adopt_thread(&shared);
            Ok(environment)
        }
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    /// A number for a session, a connection or a hub.
    pub(crate) fn next_id(&self) -> u32 {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        id
    }

    /// Keeps an object, until it is [forgotten](Self::forget), and makes its JavaScript object.
    pub(crate) fn adopt(
        &self,
        js: Js,
        class: &'static ClassDefinition,
        id: u32,
        owned: Rc<dyn Owned>,
    ) -> Result<Value, Failure> {
        self.owned.borrow_mut().insert(id, Rc::clone(&owned));
        self.hand_out(js, class, owned)
    }

    /// Makes the JavaScript object of what lives as long as that object.
    pub(crate) fn hand_out(
        &self,
        js: Js,
        class: &'static ClassDefinition,
        owned: Rc<dyn Owned>,
    ) -> Result<Value, Failure> {
        self.class(js, class)?.instance(js, Object::new(owned))
    }

    /// The object of that number.
    pub(crate) fn owned(&self, id: u32) -> Option<Rc<dyn Owned>> {
        self.owned.borrow().get(&id).cloned()
    }

    pub(crate) fn forget(&self, id: u32) {
        // Outside of the borrow: what is dropped may forget others.
        let forgotten = self.owned.borrow_mut().remove(&id);
        drop(forgotten);
    }

    fn class(&self, js: Js, definition: &'static ClassDefinition) -> Result<Rc<Class>, Failure> {
        let known = self.classes.borrow().iter().find(|(name, _)| *name == definition.name).cloned();
        if let Some((_, class)) = known {
            return Ok(class);
        }
        let methods = definition.methods.iter().copied().flatten();
        let class = Rc::new(Class::define(js, definition.name, methods)?);
        self.classes.borrow_mut().push((definition.name, Rc::clone(&class)));
        Ok(class)
    }

    /// What the doorbell calls from now on.
    pub(crate) fn set_callback(&self, js: Js, callback: Value) -> Result<(), Failure> {
        let new = Reference::new(js, callback)?;
        if let Some(old) = self.callback.replace(Some(new)) {
            old.delete(js);
        }
        // For what was rung before there was a callback.
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
        self.shared.doorbell.answered();
        for settlement in self.shared.take_settled() {
            if self.pending.settle(js, settlement) {
                self.let_go();
            }
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
        let silenced = self.shared.doorbell.silence();
        self.function.set(None);
        if let Some(Function(function)) = silenced {
            // SAFETY: no thread can get at the function any more. Node.js closes it after this hook.
            unsafe {
                sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::release)
            };
        }
        let mut owned = self.owned.take().into_iter().collect::<Vec<_>>();
        // The newest first: a connection says goodbye before its session is closed.
        owned.sort_unstable_by_key(|(id, _)| Reverse(*id));
        for (_, owned) in &owned {
            owned.close();
        }
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
