//! The one tokio runtime of this addon image.
//!
//! The first spawn starts it. It ends when the last environment that [attached](Backend::attach) is gone, and the next
//! spawn starts it again. All code that spawns asks [`BACKEND`] each time. A kept `Handle` would be dead after the
//! addon was loaded in a worker only, the worker ended, and another one loaded it.
//!
//! It is registered with napi as its `AsyncRuntime` (the feature `tokio_rt` would bring a runtime of napi's own, with
//! the very problem above). Registering pins the image: a thread that does not end in time keeps its code.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncRuntime, AsyncRuntimeRejection, AsyncRuntimeTask};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::environment::lock;
use crate::js::error::Failure;

/// Threads that run connections. Two, so that one room's burst does not stall all others.
const WORKERS: usize = 2;

/// Threads for key derivation; what is beyond waits in line.
const BLOCKING_THREADS: usize = 2;

/// How long the end of the last environment may wait for threads.
const JOIN_TIMEOUT: Duration = Duration::from_millis(500);

/// What runs on the runtime. It is one type for all futures, because tokio's code for tasks is compiled for each type
/// anew, some 10 kB.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// This image's runtime.
pub(crate) static BACKEND: Backend = Backend::new();

/// See the [module](self).
pub(crate) struct Backend {
    state: Mutex<State>,
}

struct State {
    environments: usize,
    runtime: Option<Runtime>,
}

impl Backend {
    const fn new() -> Self {
        Self { state: Mutex::new(State { environments: 0, runtime: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves the state half changed.
        lock(&self.state)
    }

    /// An environment may spawn from now on. Starts nothing.
    pub(crate) fn attach(&self) {
        self.state().environments += 1;
    }

    /// An environment is gone. The last one ends the runtime: tasks are dropped where they wait, and threads are joined
    /// for at most [`JOIN_TIMEOUT`].
    pub(crate) fn detach(&self) {
        let mut state = self.state();
        state.environments = state.environments.saturating_sub(1);
        let ended = if state.environments == 0 { state.runtime.take() } else { None };
        drop(state);
        if let Some(runtime) = ended {
            tracing::debug!("the last environment ended: the runtime stops");
            runtime.shutdown_timeout(JOIN_TIMEOUT);
        }
    }

    /// Runs a future; dropping it is the way to stop it ([`AbortHandle::abort`]).
    pub(crate) fn spawn(&self, task: Task) -> Result<AbortHandle, Failure> {
        self.with_runtime(|runtime| runtime.spawn(task).abort_handle())
    }

    /// Runs something that takes long, on a thread that no connection runs on.
    pub(crate) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        self.with_runtime(|runtime| drop(runtime.spawn_blocking(work)))
    }

    fn with_runtime<T>(&self, spawn: impl FnOnce(&Runtime) -> T) -> Result<T, Failure> {
        let mut state = self.state();
        if state.environments == 0 {
            return Err(Failure::closed("no environment is left to run in"));
        }
        let runtime = match state.runtime.take() {
            Some(runtime) => runtime,
            None => {
                start().map_err(|error| Failure::closed(format!("no thread could be started: {error}")))?
            }
        };
        Ok(spawn(state.runtime.insert(runtime)))
    }

    #[cfg(test)]
    fn is_running(&self) -> bool {
        self.state().runtime.is_some()
    }
}

fn start() -> std::io::Result<Runtime> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    tracing::debug!("the runtime starts");
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name_fn(|| format!("datatrack-io-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build()
}

/// What napi gets to know of [`BACKEND`].
pub(crate) struct Registered;

// SAFETY: the trait asks that nothing of ours runs after `shutdown` returned, because Node.js may then unload the
// image, or else that the image stays loaded. napi pins it as soon as a backend is registered, for the rest of the
// process, so whatever still runs has its code.
unsafe impl AsyncRuntime for Registered {
    fn spawn(&self, task: AsyncRuntimeTask) -> Result<(), AsyncRuntimeRejection<AsyncRuntimeTask>> {
        // The task goes in only when it can run; a declined one has to come back whole.
        let state = BACKEND.state();
        let running = state.environments > 0;
        drop(state);
        if !running {
            let error = napi::Error::from_reason("no environment is left to run in");
            return Err(AsyncRuntimeRejection::new(task, error));
        }
        // If the last environment ended in between, the task is dropped, which rejects its promise.
        let _ = BACKEND.spawn(Box::pin(task));
        Ok(())
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) -> napi::Result<()> {
        // Nothing of ours blocks. On a runtime of its own the future is not in the way of any connection.
        let runtime = Builder::new_current_thread()
            .build()
            .map_err(|error| napi::Error::from_reason(error.to_string()))?;
        runtime.block_on(future);
        Ok(())
    }

    fn shutdown(&self) -> napi::Result<()> {
        // napi counts environments without a lock: its call can come while a new environment is at work already. Ours
        // are counted under one, and the last of them has stopped the runtime in `detach`.
        let mut state = BACKEND.state();
        let ended = if state.environments == 0 { state.runtime.take() } else { None };
        drop(state);
        if let Some(runtime) = ended {
            // A panic here would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_timeout(JOIN_TIMEOUT)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_is_dormant_until_the_first_spawn_and_between_environments() {
        let backend = Backend::new();
        assert!(backend.spawn(Box::pin(async {})).is_err());
        for _ in 0..3 {
            backend.attach();
            assert!(!backend.is_running());
            let (sender, receiver) = mpsc::channel();
            backend
                .spawn(Box::pin(async move {
                    sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
                }))
                .unwrap();
            assert!(receiver.recv().unwrap().unwrap().starts_with("datatrack-io-"));
            backend.detach();
            assert!(!backend.is_running());
        }
    }

    #[test]
    fn it_runs_on_while_another_environment_is_there() {
        let backend = Backend::new();
        backend.attach();
        backend.attach();
        backend.spawn(Box::pin(async {})).unwrap();
        backend.detach();
        assert!(backend.is_running());
        backend.detach();
        assert!(!backend.is_running());
    }

    #[test]
    fn threads_are_so_many_however_much_there_is_to_do() {
        let backend = Backend::new();
        backend.attach();
        let (sender, ran_on) = mpsc::channel();
        for _ in 0..100 {
            let [task, work] = [sender.clone(), sender.clone()];
            let told = async move { task.send(("task", std::thread::current().id())).unwrap() };
            backend.spawn(Box::pin(told)).unwrap();
            backend
                .spawn_blocking(move || work.send(("work", std::thread::current().id())).unwrap())
                .unwrap();
        }
        let ran: HashSet<_> = ran_on.iter().take(200).collect();
        let threads = |of: &str| ran.iter().filter(|(what, _)| *what == of).count();
        assert!((1..=WORKERS).contains(&threads("task")), "{ran:?}");
        assert!((1..=BLOCKING_THREADS).contains(&threads("work")), "{ran:?}");
        backend.detach();
    }

    /// Goes beyond `JOIN_TIMEOUT`.
    #[test]
    fn a_thread_that_does_not_end_holds_up_no_end() {
        let backend = Backend::new();
        backend.attach();
        let (open, gate) = mpsc::channel::<()>();
        let (sender, done) = mpsc::channel();
        backend
            .spawn_blocking(move || {
                gate.recv().unwrap();
                sender.send(()).unwrap();
            })
            .unwrap();
        backend.detach();
        assert!(!backend.is_running());
        open.send(()).unwrap();
        done.recv().unwrap();
    }

    #[test]
    fn the_end_of_the_last_environment_drops_what_waits() {
        struct Told(mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let backend = Backend::new();
        backend.attach();
        let (sender, receiver) = mpsc::channel();
        let told = Told(sender);
        backend
            .spawn(Box::pin(async move {
                let _told = told;
                std::future::pending::<()>().await;
            }))
            .unwrap();
        backend.detach();
        assert!(receiver.recv().is_ok());
    }
}
