//! Connections to a server: `NativeConnection` in `src/native/native.ts`, one for each signalling session of a room.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use datatrack_media::MAX_AUDIO_SECTIONS;
use datatrack_transport::Link;
use datatrack_transport::connection::{
    self as driver, ConnectionHost, ConnectionOptions, ConnectionStats, Linger, SendError, Target, WorkSignal,
};

use crate::convert::event::{Event, Message};
use crate::convert::options::{channel, proxy, relays};
use crate::environment::Environment;
use crate::environment::handles::{Key, Kind};
use crate::environment::log;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::runtime::BACKEND;
use crate::environment::shared::EventBell;
use crate::environment::task::fail;
use crate::js::error::Failure;
use crate::js::guard::{Guarded, guard};
use crate::js::{Call, IntoJs, Js, Methods, Value, exports};

static CLASS: ClassDefinition = ClassDefinition { name: c"NativeConnection", methods: &[METHODS] };

static METHODS: Methods = exports! {
    c"createOffer" => create_offer,
    c"handleAnswer" => handle_answer,
    c"handleOffer" => handle_offer,
    c"addRemoteCandidate" => add_remote_candidate,
    c"requireSections" => require_sections,
    c"recoverSections" => recover_sections,
    c"setSending" => set_sending,
    c"setTracks" => set_tracks,
    c"setServerAddress" => set_server_address,
    c"setRelays" => set_relays,
    c"setProxy" => set_proxy,
    c"send" => send,
    c"flush" => flush,
    c"bufferedAmount" => buffered_amount,
    c"watchBuffered" => watch_buffered,
    c"reliableLimit" => reliable_limit,
    c"pollMessages" => poll_messages,
    c"linger" => linger,
    c"stats" => stats,
    c"close" => close,
};

/// Tracks that one description may name: as many as there can be sections.
#[expect(clippy::cast_possible_truncation, reason = "some hundreds")]
const MAX_TRACKS: u32 = MAX_AUDIO_SECTIONS as u32;

/// Messages that one call hands to JavaScript at most. JavaScript looks at its clock between two calls.
const MAX_MESSAGES: usize = 64;
/// Their bytes, about: the call ends with the message that reaches it.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// Peer connections with the task that drives them. On the environment's thread.
pub(crate) struct Connection {
    id: u32,
    driver: driver::Connection,
    bell: Arc<EventBell>,
    environment: Weak<Environment>,
    closed: Cell<bool>,
    /// Whether JavaScript knows that there are messages, and has not taken all of them yet.
    messages_told: Cell<bool>,
}

impl ConnectionHost for EventBell {
    fn events_ready(&self) {
        self.ring();
    }
}

/// Makes peer connections for a server session and starts their task. A panic in it ends the session.
pub(crate) fn connect(
    js: Js,
    environment: &Environment,
    link: Arc<Link>,
    signal: &WorkSignal,
    options: ConnectionOptions,
) -> Result<Value, Failure> {
    let id = environment.next_id();
    let bell = EventBell::new(id, &environment.shared);
    let weak = Arc::downgrade(&link);
    let (driver, task) = driver::Connection::new(link, signal, options, Arc::clone(&bell) as _);
    let shared = Arc::downgrade(&environment.shared);
    BACKEND.spawn(log::task_within(
        shared,
        Box::pin(async move {
            let result = Guarded::new(async {
                Box::pin(task).await;
                Ok(())
            });
            if let Err(failure) = result.await {
                fail(&weak, &failure);
            }
        }),
    ))?;
    let connection = Rc::new(Connection {
        id,
        driver,
        bell,
        environment: environment.weak(),
        closed: Cell::new(false),
        messages_told: Cell::new(false),
    });
    environment.handles.add(js, Key::new(Kind::Connection, id));
    let object = environment.adopt(js, &CLASS, id, connection)?;
    js.put(object, c"id", id)?;
    Ok(object)
}

impl Connection {
    fn of(call: &Call) -> Result<&Self, Failure> {
        Object::receiver(call, "a connection")
    }
}

impl Owned for Connection {
    /// Says goodbye and ends the task, which takes a turn of its own for it. Idempotent.
    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let _ = guard(|| {
            self.driver.close();
            Ok(())
        });
        if let Some(environment) = self.environment.upgrade() {
            environment.forget(self.id);
            environment.handles.remove(Key::new(Kind::Connection, self.id));
        }
    }

    fn poll_events(&self, tell: &mut dyn FnMut(Event)) {
        self.bell.answered();
        while let Some(event) = self.driver.poll_control() {
            tell(Event::Connection(event));
        }
        if !self.messages_told.get() && self.driver.has_messages() {
            self.messages_told.set(true);
            tell(Event::MessagesReady);
        }
    }
}

fn create_offer(call: &Call) -> Result<(), Failure> {
    Connection::of(call)?.driver.create_offer();
    Ok(())
}

fn handle_answer(call: &Call) -> Result<(), Failure> {
    let sdp = call.argument(0, "sdp").string()?;
    let id = call.argument(1, "id").u32()?;
    Connection::of(call)?.driver.handle_answer(sdp, id);
    Ok(())
}

fn handle_offer(call: &Call) -> Result<(), Failure> {
    let sdp = call.argument(0, "sdp").string()?;
    let id = call.argument(1, "id").u32()?;
    Connection::of(call)?.driver.handle_offer(sdp, id);
    Ok(())
}

fn target(call: &Call) -> Result<Target, Failure> {
    match call.argument(0, "target").string()?.as_str() {
        "publisher" => Ok(Target::Publisher),
        "subscriber" => Ok(Target::Subscriber),
        _ => Err(Failure::out_of_range("target must be publisher or subscriber")),
    }
}

fn add_remote_candidate(call: &Call) -> Result<(), Failure> {
    let target = target(call)?;
    let candidate = call.argument(1, "candidate").string()?;
    Connection::of(call)?.driver.add_remote_candidate(target, candidate);
    Ok(())
}

fn require_sections(call: &Call) -> Result<(), Failure> {
    let audios = call.argument(0, "audios").u32()?;
    let videos = call.argument(1, "videos").u32()?;
    Connection::of(call)?.driver.require_sections(audios, videos);
    Ok(())
}

fn recover_sections(call: &Call) -> Result<(), Failure> {
    let missing = call.argument(0, "missing").u32()? as usize;
    Connection::of(call)?.driver.recover_sections(missing);
    Ok(())
}

fn set_sending(call: &Call) -> Result<(), Failure> {
    let cids = call.argument(0, "cids").elements(MAX_TRACKS)?;
    let cids = cids.map(|cid| cid?.string()).collect::<Result<_, _>>()?;
    Connection::of(call)?.driver.set_sending(cids);
    Ok(())
}

fn set_tracks(call: &Call) -> Result<(), Failure> {
    let target = target(call)?;
    let mids = call.argument(1, "mids").elements(MAX_TRACKS)?;
    let sids = call.argument(2, "sids").elements(MAX_TRACKS)?;
    if mids.len() != sids.len() {
        return Err(Failure::out_of_range("mids and sids must have the same length"));
    }
    let mut tracks = Vec::with_capacity(mids.len());
    for (mid, sid) in mids.zip(sids) {
        tracks.push((mid?.string()?, sid?.string()?));
    }
    Connection::of(call)?.driver.set_tracks(target, tracks);
    Ok(())
}

fn set_server_address(call: &Call) -> Result<(), Failure> {
    let address = call.argument(0, "address").string()?;
    // With the zone of a local link's address: `fe80::1%eth0`. What is none, `''` above all, is not known.
    let address = address.split('%').next().and_then(|address| address.parse().ok());
    Connection::of(call)?.driver.set_server_address(address);
    Ok(())
}

fn set_relays(call: &Call) -> Result<(), Failure> {
    let relays = relays(call.argument(0, "relays"))?;
    Connection::of(call)?.driver.set_relays(relays);
    Ok(())
}

fn set_proxy(call: &Call) -> Result<(), Failure> {
    let proxy = proxy(call.argument(0, "proxy"))?;
    Connection::of(call)?.driver.set_proxy(proxy);
    Ok(())
}

/// `SendStatus` in `src/native/native.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum SendStatus {
    Queued = 0,
    BufferFull = 1,
    TooLarge = 2,
    Closed = 3,
}

impl From<SendError> for SendStatus {
    fn from(error: SendError) -> Self {
        match error {
            SendError::BufferFull => Self::BufferFull,
            SendError::TooLarge => Self::TooLarge,
            SendError::Closed | SendError::WrongChannel => Self::Closed,
        }
    }
}

impl IntoJs for SendStatus {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.u32(self as u32)
    }
}

fn send(call: &Call) -> Result<SendStatus, Failure> {
    let connection = Connection::of(call)?;
    let channel = channel(call.argument(0, "channel"))?;
    let message = Bytes::copy_from_slice(call.argument(1, "message").bytes()?);
    let more = call.argument(2, "more").boolean()?;
    if connection.closed.get() {
        // The task, which closes the queue, learns of it a little later.
        return Ok(SendStatus::Closed);
    }
    Ok(match connection.driver.send(channel, message, more) {
        Ok(()) => SendStatus::Queued,
        Err(error) => error.into(),
    })
}

fn flush(call: &Call) -> Result<(), Failure> {
    Connection::of(call)?.driver.flush();
    Ok(())
}

fn buffered_amount(call: &Call) -> Result<usize, Failure> {
    Ok(Connection::of(call)?.driver.buffered(channel(call.argument(0, "channel"))?))
}

fn watch_buffered(call: &Call) -> Result<(), Failure> {
    let connection = Connection::of(call)?;
    let channel = channel(call.argument(0, "channel"))?;
    let bytes = call.argument(1, "bytes").u32()? as usize;
    connection.driver.watch_buffered(channel, bytes);
    Ok(())
}

fn reliable_limit(call: &Call) -> Result<usize, Failure> {
    Ok(Connection::of(call)?.driver.reliable_limit())
}

fn linger(call: &Call) -> Result<(), Failure> {
    let connection = Connection::of(call)?;
    let id = call.argument(0, "id").u32()?;
    let everything = call.argument(1, "everything").boolean()?;
    connection.driver.linger(id, if everything { Linger::Everything } else { Linger::DataTracks });
    Ok(())
}

/// Some of the messages that came. When there are none left, the next one is told again.
fn poll_messages(call: &Call) -> Result<Vec<Message>, Failure> {
    let connection = Connection::of(call)?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while messages.len() < MAX_MESSAGES && bytes < MAX_MESSAGE_BYTES {
        let Some((channel, data)) = connection.driver.poll_message() else {
            connection.messages_told.set(false);
            break;
        };
        bytes += data.len();
        messages.push(Message { channel, data });
    }
    Ok(messages)
}

fn stats(call: &Call) -> Result<ConnectionStats, Failure> {
    Ok(Connection::of(call)?.driver.stats())
}

fn close(call: &Call) -> Result<(), Failure> {
    Connection::of(call)?.close();
    Ok(())
}
