//! Connections to a server: `NativeConnection` in `src/native/native.ts`, one for each signalling session of a room.

use std::cell::Cell;
use std::ffi::CStr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::convert::event::Event;
use crate::environment::handles::{Key, Kind};
use crate::environment::log;
use crate::environment::runtime::BACKEND;
use crate::environment::{Environment, Shared};
use crate::js::error::Failure;
use crate::js::guard::{Guarded, guard};
use crate::js::{Argument, Call, IntoJs, Js, Value, exports};
use crate::session::{Methods, Object, fail};
use datatrack_transport::connection::{
    ChannelStats, Connection, ConnectionEvent, ConnectionHost, ConnectionMode, ConnectionOptions,
    ConnectionStats, DescriptionKind, PeerState, SendError, Target,
};
use datatrack_transport::peer::{ChannelKind, PathKind, PeerStats, Protocol};

pub(crate) static METHODS: Methods = exports! {
    c"createOffer" => create_offer,
    c"handleAnswer" => handle_answer,
    c"handleOffer" => handle_offer,
    c"addRemoteCandidate" => add_remote_candidate,
    c"setServerAddress" => set_server_address,
    c"send" => send,
    c"flush" => flush,
    c"bufferedAmount" => buffered_amount,
    c"watchBuffered" => watch_buffered,
    c"reliableLimit" => reliable_limit,
    c"pollMessages" => poll_messages,
    c"stats" => stats,
    c"close" => close,
};

/// Messages that one call hands to JavaScript at most, and their bytes, about: it copies them, and looks at its clock between
/// two portions.
const MAX_MESSAGES: usize = 64;
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// Peer connections with the task that drives them. On the environment's thread.
pub(crate) struct ServerConnection {
    id: u32,
    connection: Connection,
    host: Arc<Host>,
    environment: Weak<Environment>,
    closed: Cell<bool>,
    /// Whether JavaScript knows that there are messages, and has not taken all of them yet.
    messages_told: Cell<bool>,
}

/// Whom the connection tells: leaves its number where its environment looks, and rings.
struct Host {
    id: u32,
    shared: Arc<Shared>,
    events: AtomicBool,
}

impl ConnectionHost for Host {
    fn events_ready(&self) {
        if !self.events.swap(true, Ordering::AcqRel) {
            self.shared.events.push(self.id);
        }
        self.shared.ring();
    }
}

/// Makes peer connections for a server session and starts their task. A panic in it ends the session.
pub(crate) fn connect_session(call: &Call) -> Result<Value, Failure> {
    let js = call.js();
    let environment = Environment::of(call)?;
    let session = call.argument(0, "session").u32()?;
    let options = connection_options(call.argument(1, "options"))?;
    let session = environment.sessions.borrow().get(&session).cloned();
    let session = session.ok_or_else(|| Failure::closed("there is no such session"))?;
    let signal = session.work_signal()?;
    let id = environment.next_id();
    let host = Arc::new(Host { id, shared: Arc::clone(&environment.shared), events: AtomicBool::new(false) });
    let link = Arc::clone(&session.link);
    let weak = Arc::downgrade(&link);
    let (connection, task) = Connection::new(link, &signal, options, Arc::clone(&host) as _);
    let shared = Arc::downgrade(&environment.shared);
    BACKEND.spawn(log::Within::new(shared, async move {
        let result = Guarded::new(async {
            Box::pin(task).await;
            Ok(())
        });
        if let Err(failure) = result.await {
            fail(&weak, &failure);
        }
    }))?;
    let connection = Rc::new(ServerConnection {
        id,
        connection,
        host,
        environment: environment.weak(),
        closed: Cell::new(false),
        messages_told: Cell::new(false),
    });
    environment.connections.borrow_mut().insert(id, Rc::clone(&connection));
    environment.handles.add(js, Key::new(Kind::Connection, id));
    let object = environment.connection_class(js)?.instance(js, Object::Connection(connection))?;
    js.put(object, c"id", id)?;
    Ok(object)
}

fn connection_options(argument: Argument<'_>) -> Result<ConnectionOptions, Failure> {
    let object = argument.object()?;
    let mode = match object.field(c"mode")?.string()?.as_str() {
        "single" => ConnectionMode::Single,
        "dual" => ConnectionMode::Dual,
        _ => return Err(Failure::out_of_range("options.mode must be single or dual")),
    };
    Ok(ConnectionOptions {
        next_session: object.field(c"nextSession")?.boolean()?,
        udp: object.field(c"udp")?.boolean()?,
        tcp: object.field(c"tcp")?.boolean()?,
        ..ConnectionOptions::new(mode)
    })
}

impl ServerConnection {
    fn of(call: &Call) -> Result<&Rc<Self>, Failure> {
        match call.receiver::<Object>()? {
            Object::Connection(connection) => Ok(connection),
            Object::Session(_) | Object::Loopback(_) => {
                Err(Failure::wrong_type("a method of a connection was called on something else"))
            }
        }
    }

    /// Takes what there is to tell.
    pub(crate) fn poll_events(&self, mut tell: impl FnMut(Event)) {
        self.host.events.store(false, Ordering::Release);
        while let Some(event) = self.connection.poll_control() {
            tell(Event::Connection(event));
        }
        if !self.messages_told.get() && self.connection.has_messages() {
            self.messages_told.set(true);
            tell(Event::MessagesReady);
        }
    }

    /// Says goodbye and ends the task, which takes a turn of its own for it. Idempotent.
    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let _ = guard(|| {
            self.connection.close();
            Ok(())
        });
        if let Some(environment) = self.environment.upgrade() {
            environment.connections.borrow_mut().remove(&self.id);
            environment.handles.remove(Key::new(Kind::Connection, self.id));
        }
    }
}

fn create_offer(call: &Call) -> Result<(), Failure> {
    ServerConnection::of(call)?.connection.create_offer();
    Ok(())
}

fn handle_answer(call: &Call) -> Result<(), Failure> {
    let sdp = call.argument(0, "sdp").string()?;
    let id = call.argument(1, "id").u32()?;
    ServerConnection::of(call)?.connection.handle_answer(sdp, id);
    Ok(())
}

fn handle_offer(call: &Call) -> Result<(), Failure> {
    let sdp = call.argument(0, "sdp").string()?;
    let id = call.argument(1, "id").u32()?;
    ServerConnection::of(call)?.connection.handle_offer(sdp, id);
    Ok(())
}

fn add_remote_candidate(call: &Call) -> Result<(), Failure> {
    let target = match call.argument(0, "target").string()?.as_str() {
        "publisher" => Target::Publisher,
        "subscriber" => Target::Subscriber,
        _ => return Err(Failure::out_of_range("target must be publisher or subscriber")),
    };
    let candidate = call.argument(1, "candidate").string()?;
    ServerConnection::of(call)?.connection.add_remote_candidate(target, candidate);
    Ok(())
}

fn set_server_address(call: &Call) -> Result<(), Failure> {
    let address = call.argument(0, "address").string()?;
    // With the zone of a local link's address: `fe80::1%eth0`. What is none, `''` above all, is not known.
    let address = address.split('%').next().and_then(|address| address.parse().ok());
    ServerConnection::of(call)?.connection.set_server_address(address);
    Ok(())
}

/// `SendStatus` in `src/native/native.ts`.
fn send(call: &Call) -> Result<u32, Failure> {
    let connection = ServerConnection::of(call)?;
    let channel = channel(call.argument(0, "channel"))?;
    let message = Bytes::copy_from_slice(call.argument(1, "message").bytes()?);
    let more = call.argument(2, "more").boolean()?;
    if connection.closed.get() {
        // The task, which closes the queue, learns of it a little later.
        return Ok(3);
    }
    Ok(match connection.connection.send(channel, message, more) {
        Ok(()) => 0,
        Err(SendError::BufferFull) => 1,
        Err(SendError::TooLarge) => 2,
        Err(SendError::Closed | SendError::WrongChannel) => 3,
    })
}

fn flush(call: &Call) -> Result<(), Failure> {
    ServerConnection::of(call)?.connection.flush();
    Ok(())
}

fn buffered_amount(call: &Call) -> Result<usize, Failure> {
    Ok(ServerConnection::of(call)?.connection.buffered(channel(call.argument(0, "channel"))?))
}

fn watch_buffered(call: &Call) -> Result<(), Failure> {
    let connection = ServerConnection::of(call)?;
    let channel = channel(call.argument(0, "channel"))?;
    let bytes = call.argument(1, "bytes").u32()? as usize;
    connection.connection.watch_buffered(channel, bytes);
    Ok(())
}

fn reliable_limit(call: &Call) -> Result<usize, Failure> {
    Ok(ServerConnection::of(call)?.connection.reliable_limit())
}

/// A channel for messages.
fn channel(argument: Argument<'_>) -> Result<ChannelKind, Failure> {
    match argument.string()?.as_str() {
        "reliable" => Ok(ChannelKind::Reliable),
        "lossy" => Ok(ChannelKind::Lossy),
        _ => Err(Failure::out_of_range(format!("{argument} must be reliable or lossy"))),
    }
}

const fn channel_text(channel: ChannelKind) -> &'static str {
    match channel {
        ChannelKind::Reliable => "reliable",
        ChannelKind::Lossy => "lossy",
        ChannelKind::DataTrack => "dataTrack",
    }
}

/// Some of the messages that came. When there are none left, the next one is told again.
fn poll_messages(call: &Call) -> Result<Vec<Message>, Failure> {
    let connection = ServerConnection::of(call)?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while messages.len() < MAX_MESSAGES && bytes < MAX_MESSAGE_BYTES {
        let Some((channel, data)) = connection.connection.poll_message() else {
            connection.messages_told.set(false);
            break;
        };
        bytes += data.len();
        messages.push(Message { channel, data });
    }
    Ok(messages)
}

/// `NativeMessage` in `src/native/native.ts`.
struct Message {
    channel: ChannelKind,
    data: Bytes,
}

impl IntoJs for Message {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"channel", channel_text(self.channel))?;
        js.put(object, c"data", &*self.data)?;
        Ok(object)
    }
}

fn stats(call: &Call) -> Result<ConnectionStats, Failure> {
    Ok(ServerConnection::of(call)?.connection.stats())
}

fn close(call: &Call) -> Result<(), Failure> {
    ServerConnection::of(call)?.close();
    Ok(())
}

const fn target_text(target: Target) -> &'static str {
    match target {
        Target::Publisher => "publisher",
        Target::Subscriber => "subscriber",
    }
}

const fn state_text(state: PeerState) -> &'static str {
    match state {
        PeerState::Connecting => "connecting",
        PeerState::Connected => "connected",
        PeerState::Disconnected => "disconnected",
        PeerState::TimedOut => "timedOut",
        PeerState::Failed => "failed",
        PeerState::Closed => "closed",
    }
}

pub(crate) fn put_event(js: Js, object: Value, event: ConnectionEvent) -> Result<(), Failure> {
    let put = |name: &CStr, value: &str| js.put(object, name, value);
    match event {
        ConnectionEvent::LocalDescription { target, kind, sdp, id } => {
            put(c"type", "localDescription")?;
            put(c"target", target_text(target))?;
            put(
                c"kind",
                match kind {
                    DescriptionKind::Offer => "offer",
                    DescriptionKind::Answer => "answer",
                },
            )?;
            put(c"sdp", &sdp)?;
            js.put(object, c"id", id)
        }
        ConnectionEvent::LocalCandidate { target, candidate } => {
            put(c"type", "localCandidate")?;
            put(c"target", target_text(target))?;
            put(c"candidate", &candidate)
        }
        ConnectionEvent::DescriptionRejected { target, id, error } => {
            put(c"type", "descriptionRejected")?;
            put(c"target", target_text(target))?;
            js.put(object, c"id", id)?;
            put(c"message", &error.to_string())
        }
        ConnectionEvent::State { target, state } => {
            put(c"type", "peerState")?;
            put(c"target", target_text(target))?;
            put(c"state", state_text(state))
        }
        // They are not polled with the others.
        ConnectionEvent::Message { .. } => Ok(()),
        ConnectionEvent::BufferedAmountLow { channel } => {
            put(c"type", "channelBufferedAmountLow")?;
            put(c"channel", channel_text(channel))
        }
    }
}

impl IntoJs for ConnectionStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let subscriber = self.subscriber.unwrap_or_default();
        let object = js.object()?;
        let rtt = self.publisher.rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0);
        js.put(object, c"rttMs", rtt)?;
        let over_tcp = [self.publisher.protocol, subscriber.protocol].contains(&Some(Protocol::Tcp));
        js.put(object, c"overTcp", over_tcp)?;
        js.put(object, c"bytesSent", self.publisher.bytes_sent + subscriber.bytes_sent)?;
        js.put(object, c"bytesReceived", self.publisher.bytes_received + subscriber.bytes_received)?;
        js.put(object, c"datagramsLost", self.publisher.datagrams_lost + subscriber.datagrams_lost)?;
        js.put(object, c"packetsSent", self.data_track.messages_sent)?;
        js.put(object, c"packetsReceived", self.data_track.messages_received)?;
        js.put(object, c"buffered", self.data_track.buffered)?;
        js.put(object, c"bufferLimit", self.data_track_limit)?;
        js.put(object, c"publisher", self.publisher)?;
        js.put(object, c"subscriber", self.subscriber)?;
        js.put(object, c"dataTrack", self.data_track)?;
        js.put(object, c"reliable", self.reliable)?;
        js.put(object, c"lossy", self.lossy)?;
        Ok(object)
    }
}

impl IntoJs for PeerStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"rttMs", self.rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0))?;
        let protocol = self.protocol.map(|protocol| match protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        });
        js.put(object, c"protocol", protocol.unwrap_or(""))?;
        let kind = self.kind.map(|kind| match kind {
            PathKind::Host => "host",
            PathKind::ServerReflexive => "srflx",
            PathKind::PeerReflexive => "prflx",
            PathKind::Relayed => "relay",
        });
        js.put(object, c"candidateType", kind.unwrap_or(""))?;
        js.put(object, c"datagramsSent", self.datagrams_sent)?;
        js.put(object, c"datagramsReceived", self.datagrams_received)?;
        js.put(object, c"datagramsRejected", self.datagrams_rejected)?;
        js.put(object, c"datagramsLost", self.datagrams_lost)?;
        js.put(object, c"bytesSent", self.bytes_sent)?;
        js.put(object, c"bytesReceived", self.bytes_received)?;
        Ok(object)
    }
}

impl IntoJs for ChannelStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"messagesSent", self.messages_sent)?;
        js.put(object, c"messagesReceived", self.messages_received)?;
        js.put(object, c"bytesSent", self.bytes_sent)?;
        js.put(object, c"bytesReceived", self.bytes_received)?;
        js.put(object, c"dropped", self.dropped)?;
        js.put(object, c"buffered", self.buffered)?;
        Ok(object)
    }
}
