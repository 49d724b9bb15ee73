//! The one place where a panic stops.
//!
//! Each function that Node.js calls, and each future that the runtime polls, runs inside [`guard`] or [`Guarded`]:
//! a panic becomes `NATIVE_PANIC` for the one caller and never unwinds into C++, kills the process or leaves a promise
//! pending. `tests/guards.rs` finds functions that do not go through here.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use napi::sys;

use crate::js::error::Failure;
use crate::js::{Call, IntoJs, Js};

thread_local! {
    /// How many guards this thread is in: inside one, the panic hook prints nothing.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic of this thread was, for the error's message.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic in it becomes [`Failure::panicked`].
///
/// The owner of what the body worked on ends it after such a failure; a session does so in `Session::guarded`. So
/// nothing is seen again in a half-changed state, and asserting unwind safety is right.
pub(crate) fn guard<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(body));
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    result.unwrap_or_else(|payload| Err(report(payload)))
}

/// What an export of the addon is: called by Node.js through [`enter`].
pub(crate) type Export<R> = fn(&Call) -> Result<R, Failure>;

/// Calls an export under the guard, hands back its value or throws its failure.
///
/// # Safety
///
/// `env` and `info` are those of the running callback.
pub(crate) unsafe fn enter<R: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    export: Export<R>,
) -> sys::napi_value {
    // SAFETY: promised by the caller.
    let js = unsafe { Js::new(env) };
    let result = guard(|| {
        // SAFETY: promised by the caller.
        let call = unsafe { Call::new(js, info) }?;
        export(&call)?.into_js(js)
    });
    match result {
        Ok(value) => value.raw(),
        Err(failure) => {
            failure.throw(js);
            std::ptr::null_mut()
        }
    }
}

/// A future whose polls are guarded.
pub(crate) struct Guarded<F>(Pin<Box<F>>);

impl<F: Future<Output = Result<T, Failure>>, T> Guarded<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future<Output = Result<T, Failure>>, T> Future for Guarded<F> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match guard(|| Ok(self.0.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}

fn report(payload: Box<dyn Any + Send>) -> Failure {
    let what = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    // A payload whose destructor panics must not get through either.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    let place = PLACE.with(RefCell::take).unwrap_or_else(|| "an unknown place".to_owned());
    let message = format!("the native code panicked at {place}: {what}");
    tracing::error!("{message}");
    Failure::panicked(message)
}

/// Notes where a panic happened. Outside of a guard the panic goes on to whatever hook there was.
pub(crate) fn install_panic_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if DEPTH.with(Cell::get) == 0 {
            previous(info);
            return;
        }
        let place = info.location().map(|location| {
            // Without the folder: it is a path of the machine that built the addon.
            let file = location.file().rsplit(['/', '\\']).next().unwrap_or_default();
            format!("{file}:{}", location.line())
        });
        PLACE.with(|slot| *slot.borrow_mut() = place);
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;
    use crate::js::error::Code;

    fn code<T>(result: Result<T, Failure>) -> Option<Code> {
        match result {
            Err(Failure::Error { code, .. }) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_panic_becomes_a_typed_failure() {
        assert_eq!(code(guard(|| -> Result<(), Failure> { panic!("boom") })), Some(Code::NativePanic));
        assert_eq!(guard(|| Ok(7)).ok(), Some(7));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("second");
            }
        }
        let result = guard(|| -> Result<(), Failure> { std::panic::panic_any(Bomb) });
        assert_eq!(code(result), Some(Code::NativePanic));
    }

    #[test]
    fn a_panicking_future_ends_with_a_failure() {
        let mut future = Guarded::new(async {
            if std::hint::black_box(true) {
                panic!("boom");
            }
            Ok(())
        });
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(result) => assert_eq!(code(result), Some(Code::NativePanic)),
            Poll::Pending => panic!("it must be ready"),
        }
    }
}
