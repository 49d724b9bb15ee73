//! Asynchronous exports: a future on the runtime, a promise in JavaScript.
//!
//! [`on_runtime`] is the only way from one to the other. The promise is settled by the environment's doorbell, keeps the
//! process alive until then, and never stays pending: a panic, a cancelled task or a runtime that ends rejects it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::ptr::null_mut;
use std::sync::Arc;
use std::task::Poll;

use napi::sys;
use tokio::sync::oneshot;

use crate::environment::runtime::BACKEND;
use crate::environment::{Environment, Shared};
use crate::js::error::Failure;
use crate::js::guard::Guarded;
use crate::js::{IntoJs, Js, Value};

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

type Finish = Box<dyn FnOnce(Js) -> Result<Value, Failure> + Send>;

/// How an asynchronous export ended.
pub(crate) struct Settlement {
    promise: u64,
    result: Result<Finish, Failure>,
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").field("promise", &self.promise).finish_non_exhaustive()
    }
}

/// Settles its promise once, at the latest when it is dropped.
struct Obligation {
    shared: Arc<Shared>,
    promise: Option<u64>,
}

impl Obligation {
    fn settle(&mut self, result: Result<Finish, Failure>) {
        if let Some(promise) = self.promise.take() {
            self.shared.settle(Settlement { promise, result });
        }
    }
}

impl Drop for Obligation {
    fn drop(&mut self) {
        self.settle(Err(Failure::closed("the runtime ended before the operation did")));
    }
}

/// Runs a future on the runtime and returns the promise of what it gives.
///
/// `cancel` is a number that JavaScript chose: `cancel(number)` drops the future and rejects with `CANCELLED`.
pub(crate) fn on_runtime<T: IntoJs + Send + 'static>(
    js: Js,
    environment: &Environment,
    cancel: Option<u32>,
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<Value, Failure> {
    let (mut deferred, mut promise) = (null_mut(), null_mut());
    // SAFETY: a scope is open.
    Failure::check(unsafe { sys::napi_create_promise(js.raw(), &raw mut deferred, &raw mut promise) })?;
    let number = environment.pending.next.get();
    environment.pending.next.set(number + 1);
    let (cancel, cancelled) = match cancel {
        Some(token) => {
            let (sender, receiver) = oneshot::channel();
            (Some((token, sender)), Some(receiver))
        }
        None => (None, None),
    };
    environment.pending.promises.borrow_mut().insert(number, Owed { deferred, cancel });
    environment.keep_alive();
    let mut obligation = Obligation { shared: Arc::clone(&environment.shared), promise: Some(number) };
    let future = Guarded::new(future);
    // If it cannot be spawned, the task is dropped, and with it the obligation: the promise is rejected all the same.
    let _ = BACKEND.spawn(async move {
        let result = until(cancelled, future).await;
        obligation.settle(result.map(|value| -> Finish { Box::new(|js| value.into_js(js)) }));
    });
    Ok(Value::from_raw(promise))
}

/// The future's result, unless the cancellation is first.
async fn until<T>(
    cancelled: Option<oneshot::Receiver<()>>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut cancelled = cancelled;
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Some(receiver) = &mut cancelled
            && let Poll::Ready(result) = Pin::new(receiver).poll(context)
        {
            // Without a sender nobody can cancel any more, and a receiver that answered must not be asked again.
            cancelled = None;
            if result.is_ok() {
                return Poll::Ready(Err(Failure::cancelled()));
            }
        }
        future.as_mut().poll(context)
    })
    .await
}

impl Pending {
    /// Cancels what was started with that number; nothing, if it ended already.
    pub(crate) fn cancel(&self, token: u32) {
        for owed in self.promises.borrow_mut().values_mut() {
            if let Some((_, sender)) = owed.cancel.take_if(|(number, _)| *number == token) {
                // The task is gone if it fails, and its settlement on the way.
                let _ = sender.send(());
            }
        }
    }

    /// Resolves or rejects a promise.
    pub(crate) fn settle(&self, js: Js, environment: &Environment, settlement: Settlement) {
        let Some(owed) = self.promises.borrow_mut().remove(&settlement.promise) else { return };
        environment.let_go();
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::js::error::Code;

    fn run<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::runtime::Builder::new_current_thread().build().ok().map(|runtime| runtime.block_on(future))
    }

    #[test]
    fn a_cancelled_future_gives_way() {
        let (sender, receiver) = oneshot::channel();
        assert!(sender.send(()).is_ok());
        let result = run(until(Some(receiver), std::future::pending::<Result<(), Failure>>()));
        assert!(matches!(result, Some(Err(Failure::Error { code: Code::Cancelled, .. }))));
    }

    #[test]
    fn a_future_whose_token_is_gone_runs_on() {
        let (sender, receiver) = oneshot::channel::<()>();
        drop(sender);
        let result = run(until(Some(receiver), async {
            tokio::task::yield_now().await;
            Ok(7)
        }));
        assert!(matches!(result, Some(Ok(7))));
    }
}
