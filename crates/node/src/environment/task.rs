//! Asynchronous exports: a future on the runtime, a promise in JavaScript.
//!
//! [`on_runtime`] is the only way from one to the other. The environment's doorbell settles the promise, and the
//! process stays alive until then. No promise stays pending: a panic, a cancelled task or a runtime that ends rejects
//! it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;

use datatrack_transport::Link;
use tokio::sync::oneshot;

use crate::environment::Environment;
use crate::environment::pending::{Finish, Settlement};
use crate::environment::runtime::BACKEND;
use crate::environment::shared::Shared;
use crate::js::error::Failure;
use crate::js::guard::{Guarded, guard};
use crate::js::{IntoJs, Js, Value};

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
    let (cancel, cancelled) = match cancel {
        Some(token) => {
            let (sender, receiver) = oneshot::channel();
            (Some((token, sender)), Some(receiver))
        }
        None => (None, None),
    };
    let (number, promise) = environment.pending.add(js, cancel)?;
    environment.keep_alive();
    let mut obligation = Obligation { shared: Arc::clone(&environment.shared), promise: Some(number) };
    let future = Guarded::new(future);
    // If it cannot be spawned, the task is dropped, and with it the obligation: the promise is rejected all the same.
    let _ = BACKEND.spawn(Box::pin(async move {
        let result = until(cancelled, future).await;
        obligation.settle(result.map(|value| -> Finish { Box::new(|js| value.into_js(js)) }));
    }));
    Ok(promise)
}

/// Ends a link that a panic went through.
pub(crate) fn fail(link: &Weak<Link>, failure: &Failure) {
    let _ = guard(|| {
        if let Some(link) = link.upgrade() {
            link.fail(failure.to_string());
        }
        Ok(())
    });
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
            // Without a sender the future cannot be cancelled any more. A receiver that answered must not be asked
            // again.
            cancelled = None;
            if result.is_ok() {
                return Poll::Ready(Err(Failure::cancelled()));
            }
        }
        future.as_mut().poll(context)
    })
    .await
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
