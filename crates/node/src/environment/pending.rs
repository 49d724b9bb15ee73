//! Promises that an environment owes JavaScript.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ptr::null_mut;

use napi::sys;
use tokio::sync::oneshot;

use crate::js::error::Failure;
use crate::js::{Js, Value};

/// Promises that an environment owes.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: Cell<u64>,
    promises: RefCell<HashMap<u64, Owed>>,
}

#[derive(Debug)]
struct Owed {
    deferred: sys::napi_deferred,
    /// The number that JavaScript cancels it by, and how.
    cancel: Option<(u32, oneshot::Sender<()>)>,
}

pub(crate) type Finish = Box<dyn FnOnce(Js) -> Result<Value, Failure> + Send>;

/// How an asynchronous export ended.
pub(crate) struct Settlement {
    pub(crate) promise: u64,
    pub(crate) result: Result<Finish, Failure>,
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").field("promise", &self.promise).finish_non_exhaustive()
    }
}

impl Pending {
    /// A new promise and its number.
    pub(crate) fn add(
        &self,
        js: Js,
        cancel: Option<(u32, oneshot::Sender<()>)>,
    ) -> Result<(u64, Value), Failure> {
        let (mut deferred, mut promise) = (null_mut(), null_mut());
        // SAFETY: a scope is open.
        Failure::check(unsafe { sys::napi_create_promise(js.raw(), &raw mut deferred, &raw mut promise) })?;
        let number = self.next.get();
        self.next.set(number + 1);
        self.promises.borrow_mut().insert(number, Owed { deferred, cancel });
        Ok((number, Value::from_raw(promise)))
    }

    /// Cancels what was started with that number; nothing, if it ended already.
    pub(crate) fn cancel(&self, token: u32) {
        for owed in self.promises.borrow_mut().values_mut() {
            if let Some((_, sender)) = owed.cancel.take_if(|(number, _)| *number == token) {
                // The task is gone if it fails, and its settlement on the way.
                let _ = sender.send(());
            }
        }
    }

    /// Resolves or rejects a promise. `false`: it is none of this environment's.
    pub(crate) fn settle(&self, js: Js, settlement: Settlement) -> bool {
        let Some(owed) = self.promises.borrow_mut().remove(&settlement.promise) else { return false };
        let result = settlement.result.and_then(|finish| finish(js));
        // SAFETY: the deferred is of this environment and is used up here. It fails only when the environment ends.
        unsafe {
            match result {
                Ok(value) => {
                    sys::napi_resolve_deferred(js.raw(), owed.deferred, value.raw());
                }
                Err(failure) => {
                    let error = failure.to_value(js).or_else(|| js.undefined().ok());
                    if let Some(error) = error {
                        sys::napi_reject_deferred(js.raw(), owed.deferred, error.raw());
                    }
                }
            }
        }
        true
    }
}
