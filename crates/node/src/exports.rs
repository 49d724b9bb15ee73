//! The addon's functions, in the order of `NativeBinding` in `src/native/native.ts`.

use crate::convert::event::SourceEvent;
use crate::environment::Environment;
use crate::environment::drain;
use crate::environment::handles::LiveObject;
use crate::environment::log;
use crate::environment::log_buffer::Records;
use crate::environment::task::on_runtime;
use crate::js::error::Failure;
use crate::js::{Argument, Call, Entry, Value, exports};
use crate::{audio_source, hub, resampler, session};

/// Events that one call returns, about: it counts them after each session. The doorbell rings for the rest.
const MAX_EVENTS: usize = 1_024;

/// All of them.
pub(crate) static EXPORTS: &[Entry] = exports! {
    c"version" => version,
    c"setDoorbell" => set_doorbell,
    c"pollEvents" => poll_events,
    c"drain" => drain::drain,
    c"fillLarge" => drain::fill_large,
    c"cancel" => cancel,
    c"createSession" => session::create_session,
    c"createLoopback" => hub::create_loopback,
    c"createServerSession" => session::create_server_session,
    c"createAudioSource" => audio_source::create,
    c"createResampler" => resampler::create,
    c"setLogLevel" => set_log_level,
    c"pollLogs" => poll_logs,
    c"handles" => handles,
    c"testPanicAsync" => test_panic_async,
};

fn version(_call: &Call) -> Result<&'static str, Failure> {
    Ok(env!("CARGO_PKG_VERSION"))
}

fn set_doorbell(call: &Call) -> Result<(), Failure> {
    let callback = call.argument(0, "callback").function()?;
    Environment::of(call)?.set_callback(call.js(), callback)
}

fn poll_events(call: &Call) -> Result<Vec<SourceEvent>, Failure> {
    let environment = Environment::of(call)?;
    let mut events = Vec::new();
    while events.len() < MAX_EVENTS
        && let Some(source) = environment.shared.events.pop()
    {
        if let Some(owned) = environment.owned(source) {
            owned.poll_events(&mut |event| events.push(SourceEvent { source, event }));
        }
    }
    if !environment.shared.events.is_empty() {
        environment.shared.ring();
    }
    Ok(events)
}

fn cancel(call: &Call) -> Result<(), Failure> {
    let token = call.argument(0, "token").u32()?;
    Environment::of(call)?.pending.cancel(token);
    Ok(())
}

fn set_log_level(call: &Call) -> Result<(), Failure> {
    let level = call.argument(0, "level").string()?;
    log::set_level(&Environment::of(call)?.shared, &level)
        .ok_or_else(|| Failure::out_of_range("level must be error, warn, info, debug, trace or silent"))
}

fn poll_logs(call: &Call) -> Result<Records, Failure> {
    Ok(Environment::of(call)?.shared.logs.take())
}

fn handles(call: &Call) -> Result<Vec<LiveObject>, Failure> {
    Ok(Environment::of(call)?.handles.list())
}

#[allow(clippy::panic)]
fn test_panic_async(call: &Call) -> Result<Value, Failure> {
    let cancel = call.argument(0, "cancel").optional(Argument::u32)?;
    on_runtime(call.js(), Environment::of(call)?, cancel, async move {
        tokio::task::yield_now().await;
        if cancel.is_some() {
            std::future::pending::<()>().await;
        }
        if std::hint::black_box(true) {
            panic!("a panic on request");
        }
        Ok(())
    })
}
