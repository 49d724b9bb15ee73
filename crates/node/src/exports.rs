//! The addon's functions, in the order of `NativeBinding` in `src/native/native.ts`.

use std::sync::atomic::Ordering;

use datatrack::publisher::PublisherEvent;
use datatrack_transport::LinkEvent;

use crate::convert::event::{Event, SessionEvent};
use crate::environment::Environment;
use crate::environment::handles::{Key, LiveObject};
use crate::environment::log::Records;
use crate::environment::task::on_runtime;
use crate::js::error::Failure;
use crate::js::{Argument, Call, Entry, Value, exports};
use crate::session::Session;
use crate::session::drain;
use crate::{connection, hub, session};

/// Events that one call returns, about: it looks after each session whether there are so many. For the rest the doorbell rings.
const MAX_EVENTS: usize = 1_024;

/// All of them.
pub(crate) static EXPORTS: &[Entry] = exports! {
    c"version" => version,
    c"setDoorbell" => set_doorbell,
    c"pollEvents" => poll_events,
    c"drain" => drain::drain,
    c"readStream" => drain::read_stream,
    c"fillLarge" => drain::fill_large,
    c"setSessionRef" => set_session_ref,
    c"cancel" => cancel,
    c"createSession" => session::create_session,
    c"createLoopback" => hub::create_loopback,
    c"createServerSession" => session::create_server_session,
    c"connectSession" => connection::connect_session,
    c"setLogLevel" => set_log_level,
    c"pollLogs" => poll_logs,
    c"handles" => handles,
    c"testPanic" => test_panic,
    c"testPanicAsync" => test_panic_async,
};

fn version(_call: &Call) -> Result<&'static str, Failure> {
    Ok(env!("CARGO_PKG_VERSION"))
}

fn set_doorbell(call: &Call) -> Result<(), Failure> {
    let callback = call.argument(0, "callback").function()?;
    Environment::of(call)?.set_callback(call.js(), callback)
}

fn poll_events(call: &Call) -> Result<Vec<SessionEvent>, Failure> {
    let environment = Environment::of(call)?;
    let mut events = Vec::new();
    while events.len() < MAX_EVENTS
        && let Some(id) = environment.shared.events.pop()
    {
        if let Some(connection) = environment.connections.borrow().get(&id) {
            connection.poll_events(|event| events.push(SessionEvent { session: id, event }));
        }
        let Some(session) = environment.sessions.borrow().get(&id).cloned() else { continue };
        // What comes from here on lists it again.
        session.host.events.store(false, Ordering::Release);
        while let Some(event) = session.link.poll_event() {
            note_end(environment, &session, &event);
            events.push(SessionEvent { session: id, event: Event::Link(event) });
        }
    }
    if !environment.shared.events.is_empty() {
        environment.shared.ring();
    }
    Ok(events)
}

/// Takes what has ended off the list of what is alive.
fn note_end(environment: &Environment, session: &Session, event: &LinkEvent) {
    match event {
        LinkEvent::Publisher(
            PublisherEvent::PublishFailed { handle, .. } | PublisherEvent::Unpublished { handle, .. },
        ) => environment.handles.remove(Key::publication(session.id, handle.get())),
        LinkEvent::Failed(_) => session.release(),
        _ => {}
    }
}

fn set_session_ref(call: &Call) -> Result<(), Failure> {
    let environment = Environment::of(call)?;
    let id = call.argument(0, "session").u32()?;
    let keeps = call.argument(1, "ref").boolean()?;
    let session = environment.sessions.borrow().get(&id).cloned();
    session.ok_or_else(|| Failure::closed("there is no such session"))?.set_ref(keeps);
    Ok(())
}

fn cancel(call: &Call) -> Result<(), Failure> {
    let token = call.argument(0, "token").u32()?;
    Environment::of(call)?.pending.cancel(token);
    Ok(())
}

fn set_log_level(call: &Call) -> Result<(), Failure> {
    let level = call.argument(0, "level").string()?;
    Environment::of(call)?
        .shared
        .logs
        .set_level(&level)
        .ok_or_else(|| Failure::out_of_range("level must be error, warn, info, debug, trace or silent"))
}

fn poll_logs(call: &Call) -> Result<Records, Failure> {
    Ok(Environment::of(call)?.shared.logs.take())
}

fn handles(call: &Call) -> Result<Vec<LiveObject>, Failure> {
    Ok(Environment::of(call)?.handles.list())
}

#[allow(clippy::panic)]
fn test_panic(call: &Call) -> Result<(), Failure> {
    let environment = Environment::of(call)?;
    let id = call.argument(0, "session").u32()?;
    let session = environment.sessions.borrow().get(&id).cloned();
    session.ok_or_else(|| Failure::closed("there is no such session"))?.guarded(|link| {
        // With the lock held, as a bug would.
        link.publisher(|_, _| panic!("a panic on request"))
    })
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
