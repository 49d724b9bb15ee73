//! One room connection: one or two peer connections with their sockets, driven by one task.
//!
//! Signalling is the caller's part. Descriptions and candidates come and go as text: commands never block, and events
//! are polled. The caller does not handle data-track packets. The task takes packets from the [`Link`] and gives the
//! packets that arrive to it. To rebuild a connection, the caller makes a new `Connection` on the same link.

mod events;
mod limit;
mod linger;
mod outgoing;
mod pump;
mod reach;
mod stats;
mod surroundings;
mod task;
mod tracks;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use datatrack::subscriber::Epoch;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::hearing::Hearing;
use crate::link::lock;
use crate::peer::{ChannelKind, MAX_CANDIDATE, MAX_DESCRIPTION, PeerError};
use crate::proxy::Proxy;
use crate::relay::{RelayError, Relays};
use crate::speaking::Speaking;
use crate::{Link, LinkHost, LinkOptions};

use events::{Delivery, Events};
use outgoing::Outgoing;
pub use stats::{ChannelStats, ConnectionStats};
use task::Task;

/// How many peer connections there are. The server chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionMode {
    /// One, which this side offers: `/rtc/v1`.
    Single,
    /// Two. This side offers the first one, the server the second one: `/rtc`.
    Dual,
}

/// A peer connection. In [`ConnectionMode::Single`] there is only the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one that this side offers.
    Publisher,
    /// The one that the server offers.
    Subscriber,
}

/// The options of a [`Connection`].
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// How many peer connections there are.
    pub mode: ConnectionMode,
    /// Whether the connection is rebuilt and belongs to the next server session, of which the link has not been told
    /// yet. No by default.
    pub next_session: bool,
    /// Whether UDP may be used. Yes by default.
    pub udp: bool,
    /// Whether TCP may be used. Yes by default. It is dialled if UDP did not connect within
    /// [`tcp_delay`](Self::tcp_delay).
    pub tcp: bool,
    /// Whether relays may be used. Yes by default; see [`Connection::set_relays`]. They are opened when TCP is dialled.
    pub relay: bool,
    /// Local addresses to use. The descriptions then name them. None by default: the addresses are used from which the
    /// system sends to the server's candidates, and the server learns them from the packets that reach it.
    pub local_addresses: Vec<IpAddr>,
    /// The readers of audio tracks. None by default.
    pub hearing: Arc<Hearing>,
    /// The audio tracks that are published. None by default.
    pub speaking: Arc<Speaking>,
    /// The server's address, as signalling reached it, if it is known already; see [`Connection::set_server_address`].
    pub server: Option<IpAddr>,
    /// How long UDP is tried alone. 300 ms by default.
    pub tcp_delay: Duration,
    /// How long a peer connection may take to connect, from its first description or from a restart. 15 s by default.
    /// After that it has timed out.
    pub connect_timeout: Duration,
}

impl ConnectionOptions {
    /// The default options for that mode.
    #[must_use]
    pub fn new(mode: ConnectionMode) -> Self {
        Self {
            mode,
            next_session: false,
            udp: true,
            tcp: true,
            relay: true,
            local_addresses: Vec::new(),
            hearing: Arc::default(),
            speaking: Arc::default(),
            server: None,
            tcp_delay: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(15),
        }
    }
}

/// The owner of a [`Connection`], which the connection notifies. Calls may come from any thread and must return
/// quickly.
pub trait ConnectionHost: Send + Sync + 'static {
    /// [`Connection::poll_event`] has an event.
    fn events_ready(&self);
}

/// The kind of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DescriptionKind {
    /// It has to be sent as `SignalRequest.offer`.
    Offer,
    /// It has to be sent as `SignalRequest.answer`.
    Answer,
}

/// The state of a peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// It has a description and looks for a path. Also after a restart.
    Connecting,
    /// There is a path, it is encrypted, and the channels that are needed are open. It comes again after each restart.
    Connected,
    /// The path was lost, or the machine now reaches the other side from another address. The path may come back by
    /// itself. A restart helps.
    Disconnected,
    /// The other side has not answered on the path for so long that the path counts as lost. Other paths have been
    /// prepared meanwhile. A restart helps. If the path comes back by itself, [`Connected`](Self::Connected) follows.
    Silent,
    /// Only UDP is allowed, and the system gives no UDP socket. The log has the system's error.
    NoUdpSocket,
    /// Connecting took too long. A restart may help.
    TimedOut,
    /// It ended: by an error, by the other side, or because the other side no longer acknowledges although there is a
    /// path to it. Only a new connection helps.
    Failed,
    /// The caller called [`Connection::close`].
    Closed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// A description has to be sent to the server.
    LocalDescription {
        /// The peer connection that it describes.
        target: Target,
        /// The kind of description.
        kind: DescriptionKind,
        /// The session description.
        sdp: String,
        /// For an offer, this side's number; for an answer, the server's.
        id: u32,
    },
    /// A candidate has to be sent to the server: the member `candidate` of a Trickle's JSON, whose `sdpMLineIndex` is
    /// 0. A server that offers waits for it: pion takes a second longer to nominate a candidate that it was not told
    /// of.
    LocalCandidate {
        /// The peer connection of the candidate.
        target: Target,
        /// The candidate's text.
        candidate: String,
    },
    /// A description from the server could not be used.
    DescriptionRejected {
        /// The peer connection that it describes.
        target: Target,
        /// The description's number.
        id: u32,
        /// The reason.
        error: PeerError,
    },
    /// The state of a peer connection changed.
    State {
        /// The peer connection.
        target: Target,
        /// The new state.
        state: PeerState,
    },
    /// A relay cannot be used, or no longer.
    RelayFailed {
        /// The peer connection that wanted it.
        target: Target,
        /// The reason.
        error: RelayError,
        /// Whether no other relay is left, and no path without a relay is allowed.
        last: bool,
    },
    /// A message arrived on `_reliable` or `_lossy`.
    Message {
        /// The channel that it came on.
        channel: ChannelKind,
        /// Its bytes.
        data: Bytes,
    },
    /// The bytes buffered for a channel fell to the level that [`Connection::watch_buffered`] set.
    BufferedAmountLow {
        /// The channel.
        channel: ChannelKind,
    },
    /// A [`Connection::linger`] has ended.
    Lingered {
        /// The number that the caller gave it.
        id: u32,
    },
}

/// What [`Connection::linger`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linger {
    /// The data-track packets that are in the channel.
    DataTracks,
    /// All accepted frames and messages. The caller first ensures that no more are accepted: [`Link::finish`].
    Everything,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is larger than [`MAX_MESSAGE_SIZE`](crate::peer::MAX_MESSAGE_SIZE).
    #[error("the message is larger than 65,535 bytes")]
    TooLarge,
    /// Too many bytes wait already; see [`Connection::watch_buffered`].
    #[error("too much is buffered")]
    BufferFull,
    /// Packets of data tracks are not sent this way.
    #[error("not a channel for messages")]
    WrongChannel,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

/// Wakes the task of a link's connection. There is one signal for each link. It outlives the connections.
#[derive(Debug, Clone, Default)]
pub struct WorkSignal(Arc<Notify>);

impl WorkSignal {
    /// A signal on which no task waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the task. [`LinkHost::work_ready`] has to call this.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Resolves when the task is woken, or was since the last time.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.0.notified()
    }

    /// A link whose packets wake this signal. The link notifies `owner` of everything else.
    #[must_use]
    pub fn link(&self, options: LinkOptions, owner: Arc<dyn LinkHost>) -> Arc<Link> {
        Link::new(options, Arc::new(SignallingHost { signal: self.clone(), owner }))
    }
}

struct SignallingHost {
    signal: WorkSignal,
    owner: Arc<dyn LinkHost>,
}

impl LinkHost for SignallingHost {
    fn events_ready(&self) {
        self.owner.events_ready();
    }

    fn frames_ready(&self) {
        self.owner.frames_ready();
    }

    fn work_ready(&self) {
        self.signal.notify();
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.owner.spawn_blocking(work);
    }
}

/// A room connection. Dropping it closes it. See the [module](self).
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    signal: WorkSignal,
    host: Arc<dyn ConnectionHost>,
    commands: Mutex<VecDeque<Command>>,
    events: Mutex<Events>,
    outgoing: Mutex<Outgoing>,
    stats: Mutex<ConnectionStats>,
}

/// Descriptions and candidates that wait for the task. A server sends one description at a time, and a handful of
/// candidates. With the largest descriptions these are 32 MiB.
const MAX_COMMANDS: usize = 128;

#[derive(Debug)]
enum Command {
    CreateOffer,
    Answer { sdp: String, id: u32 },
    Offer { sdp: String, id: u32 },
    Candidate { target: Target, candidate: String },
    RequireSections { audios: u32, videos: u32 },
    RecoverSections { missing: usize },
    SetSending { cids: Vec<String> },
    Tracks { target: Target, tracks: Vec<(String, String)> },
    ServerAddress(Option<IpAddr>),
    Relays(Relays),
    Proxy(Option<Proxy>),
    Linger { id: u32, what: Linger },
    Close,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Makes a connection and the task that drives it. The caller has to run the task. Nothing is sent until the caller
    /// asks for an offer, or until the server's offer comes.
    ///
    /// `signal` is the signal that `link` wakes. Packets belong to the server session that the link's subscriber is in,
    /// or to the one after it: see [`ConnectionOptions::next_session`].
    pub fn new(
        link: Arc<Link>,
        signal: &WorkSignal,
        options: ConnectionOptions,
        host: Arc<dyn ConnectionHost>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            signal: signal.clone(),
            host,
            commands: Mutex::default(),
            events: Mutex::default(),
            outgoing: Mutex::default(),
            stats: Mutex::default(),
        });
        let Epoch(current) = link.subscriber(|subscriber, _| subscriber.epoch());
        let epoch = Epoch(current.wrapping_add(u32::from(options.next_session)));
        let unstarted = Unstarted(Some(shared.clone()));
        // The first peer of a process seeds the random generator and makes the certificate. That happens in the task,
        // not on the caller's thread.
        let task = async move {
            let Some(shared) = unstarted.start() else { return };
            Box::pin(Task::new(shared, link, epoch, options).run()).await;
        };
        (Self { shared }, task)
    }

    /// Makes a connection as [`new`](Self::new) does, and runs its task on a runtime.
    #[must_use]
    pub fn spawn(
        link: Arc<Link>,
        signal: &WorkSignal,
        options: ConnectionOptions,
        host: Arc<dyn ConnectionHost>,
        runtime: &Handle,
    ) -> Self {
        let (connection, task) = Self::new(link, signal, options, host);
        drop(runtime.spawn(task));
        connection
    }

    /// Asks for an offer of the publisher connection. [`ConnectionEvent::LocalDescription`] follows. The first offer
    /// opens the channels, and each later one restarts ICE. A pending offer becomes void.
    pub fn create_offer(&self) {
        self.shared.command(Command::CreateOffer);
    }

    /// Takes the server's answer to the offer of that number. 0 means the last offer. An answer to another offer is
    /// ignored.
    pub fn handle_answer(&self, sdp: impl Into<String>, id: u32) {
        let command = |sdp| Command::Answer { sdp, id };
        self.shared.describe(Target::Publisher, id, sdp.into(), command);
    }

    /// Takes the server's offer of the subscriber connection. An answer with the same number follows.
    pub fn handle_offer(&self, sdp: impl Into<String>, id: u32) {
        let command = |sdp| Command::Offer { sdp, id };
        self.shared.describe(Target::Subscriber, id, sdp.into(), command);
    }

    /// Takes a candidate of the server: the member `candidate` of a Trickle's JSON. A candidate that cannot be used is
    /// ignored.
    pub fn add_remote_candidate(&self, target: Target, candidate: impl Into<String>) {
        let candidate = candidate.into();
        if candidate.len() <= MAX_CANDIDATE {
            self.shared.command_of_server(Command::Candidate { target, candidate });
        }
    }

    /// The server needs an offer with so many new sections. [`ConnectionEvent::LocalDescription`] follows, as soon as no
    /// other offer waits for its answer. ICE and the channels stay as they are. Sections for video are not offered.
    pub fn require_sections(&self, audios: u32, videos: u32) {
        self.shared.command_of_server(Command::RequireSections { audios, videos });
    }

    /// What the server asked for may have been lost with the connection for signalling. An offer with free sections for
    /// `missing` more tracks follows, as after [`require_sections`](Self::require_sections).
    pub fn recover_sections(&self, missing: usize) {
        self.shared.command(Command::RecoverSections { missing });
    }

    /// Sets which audio tracks of [`ConnectionOptions::speaking`] are sent, by their `cid`s. An offer that has them
    /// follows, as after [`require_sections`](Self::require_sections); before the first offer, that one has them.
    pub fn set_sending(&self, cids: Vec<String>) {
        self.shared.command(Command::SetSending { cids });
    }

    /// Sets which track each section of a peer connection carries: its `mid`, and the track's SID. The description that
    /// says so comes next.
    pub fn set_tracks(&self, target: Target, tracks: Vec<(String, String)>) {
        self.shared.command_of_server(Command::Tracks { target, tracks });
    }

    /// Sets the server's address, as signalling reached it; `None` if it is not known. Loopback and link-local
    /// candidates that come after this are only tried if the server is there, too.
    pub fn set_server_address(&self, address: Option<IpAddr>) {
        self.shared.command(Command::ServerAddress(address));
    }

    /// Sets the relays. Those that are open already stay open. With [`Relays::only`], all other paths end.
    pub fn set_relays(&self, relays: Relays) {
        self.shared.command(Command::Relays(relays));
    }

    /// Sets the HTTP proxy for later TCP connections to the server. Relays have proxies of their own.
    pub fn set_proxy(&self, proxy: Option<Proxy>) {
        self.shared.command(Command::Proxy(proxy));
    }

    /// Queues a message. Messages leave once the connection is up. Messages of `_reliable` leave before data tracks.
    ///
    /// `more`: another message follows at once, so the task is not woken yet. Both may share a datagram.
    pub fn send(&self, channel: ChannelKind, message: Bytes, more: bool) -> Result<(), SendError> {
        lock(&self.shared.outgoing).push(channel, message)?;
        if !more {
            self.shared.signal.notify();
        }
        Ok(())
    }

    /// Wakes the task for messages that were sent with `more`, when no other message follows after all.
    pub fn flush(&self) {
        self.shared.signal.notify();
    }

    /// Bytes that wait for a channel or are in flight in it. For data tracks, only the bytes that the channel holds.
    #[must_use]
    pub fn buffered(&self, channel: ChannelKind) -> usize {
        lock(&self.shared.outgoing).buffered(channel)
    }

    /// Bytes that `_reliable` may hold, those in flight included. The limit follows what the path carries. Further
    /// messages wait outside of the channel.
    #[must_use]
    pub fn reliable_limit(&self) -> usize {
        lock(&self.shared.outgoing).reliable_limit()
    }

    /// Asks for one [`ConnectionEvent::BufferedAmountLow`] when at most `bytes` are buffered. It comes at once if that
    /// is so already.
    pub fn watch_buffered(&self, channel: ChannelKind, bytes: usize) {
        lock(&self.shared.outgoing).watch(channel, bytes);
        self.shared.signal.notify();
    }

    /// Asks for one [`ConnectionEvent::Lingered`]. It comes when the server has everything that was accepted so far: the
    /// server's SCTP has acknowledged it, and a short time has passed in which the server has forwarded it. It comes
    /// after 1 s at the latest, and at once without a path. If the connection ends, only its state tells so.
    pub fn linger(&self, id: u32, what: Linger) {
        self.shared.command(Command::Linger { id, what });
    }

    /// The next event; messages come last. After [`ConnectionHost::events_ready`], poll until `None`.
    #[must_use]
    pub fn poll_event(&self) -> Option<ConnectionEvent> {
        self.poll_control().or_else(|| {
            let (channel, data) = self.poll_message()?;
            Some(ConnectionEvent::Message { channel, data })
        })
    }

    /// The next event that is not a message. It is for a caller that reads messages in portions, by
    /// [`poll_message`](Self::poll_message).
    #[must_use]
    pub fn poll_control(&self) -> Option<ConnectionEvent> {
        lock(&self.shared.events).pop()
    }

    /// The next message.
    #[must_use]
    pub fn poll_message(&self) -> Option<(ChannelKind, Bytes)> {
        lock(&self.shared.events).pop_message()
    }

    /// Whether there are unread messages.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        lock(&self.shared.events).has_messages()
    }

    /// Measurements, as of the task's last turn.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        *lock(&self.shared.stats)
    }

    /// Sends the closing messages and ends the task. Idempotent.
    pub fn close(&self) {
        self.shared.command(Command::Close);
    }
}

/// A task that has not run yet. If its runtime ends before it runs, the connection has failed, and the owner has to be
/// told.
struct Unstarted(Option<Arc<Shared>>);

impl Unstarted {
    fn start(mut self) -> Option<Arc<Shared>> {
        self.0.take()
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let (target, state) = (Target::Publisher, PeerState::Failed);
            shared.tell(ConnectionEvent::State { target, state });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn command(&self, command: Command) {
        lock(&self.commands).push_back(command);
        self.signal.notify();
    }

    /// Queues what the server sent. Returns whether there was room: it may send faster than the task can work.
    fn command_of_server(&self, command: Command) -> bool {
        {
            let mut commands = lock(&self.commands);
            if commands.len() >= MAX_COMMANDS {
                return false;
            }
            commands.push_back(command);
        }
        self.signal.notify();
        true
    }

    /// Queues a description of the server. One that cannot be used, because it is too large or too many wait, is told.
    fn describe(&self, target: Target, id: u32, sdp: String, command: impl FnOnce(String) -> Command) {
        if sdp.len() > MAX_DESCRIPTION || !self.command_of_server(command(sdp)) {
            let error = PeerError::BadDescription;
            self.tell(ConnectionEvent::DescriptionRejected { target, id, error });
        }
    }

    fn tell(&self, event: ConnectionEvent) {
        lock(&self.events).push(event);
        self.host.events_ready();
    }

    /// Queues a message for the owner. Returns whether it was queued, was dropped (`_lossy`), or cannot be queued.
    fn tell_message(&self, channel: ChannelKind, data: Vec<u8>) -> Delivery {
        let delivery = lock(&self.events).push_message(channel, data);
        if delivery == Delivery::Queued {
            self.host.events_ready();
        }
        delivery
    }
}
