//! One room connection: one or two peer connections with their sockets, driven by one task.
//!
//! Signalling is somebody else's: descriptions and candidates come and go as text, by commands that never block and by
//! events that are polled. Data tracks are not seen here at all: the task takes packets from the [`Link`] and gives it
//! those that come. A full reconnect is a new `Connection` on the same link.

mod events;
mod limit;
mod outgoing;
mod pump;
mod reach;
mod stats;
mod surroundings;
mod task;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use datatrack::subscriber::Epoch;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::link::lock;
use crate::peer::{ChannelKind, PeerError};
use crate::{Link, LinkHost, LinkOptions};

use events::{Delivery, Events};
use outgoing::Outgoing;
pub use stats::{ChannelStats, ConnectionStats};
use task::Task;

/// How many peer connections there are; the server's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionMode {
    /// One, which we offer: `/rtc/v1`.
    Single,
    /// Two, the second of which the server offers: `/rtc`.
    Dual,
}

/// Which peer connection. In [`ConnectionMode::Single`] there is only the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one that we offer.
    Publisher,
    /// The one that the server offers.
    Subscriber,
}

/// What a [`Connection`] is made from.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// How many peer connections there are.
    pub mode: ConnectionMode,
    /// Whether it is made for the session that a full reconnect begins, before the link is told of it; no by default.
    pub next_session: bool,
    /// Whether UDP may be used; yes by default.
    pub udp: bool,
    /// Whether TCP may be used; yes by default, when UDP did not connect within [`tcp_delay`](Self::tcp_delay).
    pub tcp: bool,
    /// Local addresses to use, which the descriptions then name. None by default: those from which the system sends to
    /// the server's candidates are used, and the server sees them when it is reached.
    pub local_addresses: Vec<IpAddr>,
    /// Where signalling reached the server, if that is known already; see [`Connection::set_server_address`].
    pub server: Option<IpAddr>,
    /// How long UDP may try alone; 300 ms by default.
    pub tcp_delay: Duration,
    /// How long a peer connection may take from its first description, or from a restart, until it is connected; 15 s
    /// by default. After that it counts as failed.
    pub connect_timeout: Duration,
}

impl ConnectionOptions {
    /// The defaults for that mode.
    #[must_use]
    pub const fn new(mode: ConnectionMode) -> Self {
        Self {
            mode,
            next_session: false,
            udp: true,
            tcp: true,
            local_addresses: Vec::new(),
            server: None,
            tcp_delay: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(15),
        }
    }
}

/// Whom a [`Connection`] tells. May be called from any thread; must be cheap.
pub trait ConnectionHost: Send + Sync + 'static {
    /// [`Connection::poll_event`] has something.
    fn events_ready(&self);
}

/// What a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DescriptionKind {
    /// To be sent as `SignalRequest.offer`.
    Offer,
    /// To be sent as `SignalRequest.answer`.
    Answer,
}

/// How a peer connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// It was described and looks for a path; also after a restart.
    Connecting,
    /// There is a path, it is encrypted, and the channels that are needed are open. Again after each restart.
    Connected,
    /// The path was lost, or the machine reaches the other side by another address now. It may come back by itself; a
    /// restart helps.
    Disconnected,
    /// It took too long: a restart may help.
    TimedOut,
    /// It ended: by an error, by the other side, or because the other side does not acknowledge any more though there is a
    /// path to it. Only a new connection helps.
    Failed,
    /// [`Connection::close`].
    Closed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// A description has to be sent to the server.
    LocalDescription {
        /// Of which peer connection.
        target: Target,
        /// What it is.
        kind: DescriptionKind,
        /// Its text.
        sdp: String,
        /// Our number for an offer, the server's for an answer.
        id: u32,
    },
    /// A candidate has to be sent to the server: the member `candidate` of a Trickle's JSON, whose `sdpMLineIndex` is 0.
    /// A server that offers waits for it: pion nominates what it was not told of only after a second.
    LocalCandidate {
        /// Of which peer connection.
        target: Target,
        /// Its text.
        candidate: String,
    },
    /// A description of the server's could not be used.
    DescriptionRejected {
        /// Of which peer connection.
        target: Target,
        /// Its number.
        id: u32,
        /// Why.
        error: PeerError,
    },
    /// A peer connection is in another state now.
    State {
        /// Which.
        target: Target,
        /// How it is.
        state: PeerState,
    },
    /// A message came by `_reliable` or `_lossy`.
    Message {
        /// By which.
        channel: ChannelKind,
        /// Its bytes.
        data: Bytes,
    },
    /// What is buffered for a channel fell to the level that [`Connection::watch_buffered`] set.
    BufferedAmountLow {
        /// Which channel.
        channel: ChannelKind,
    },
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is larger than [`MAX_MESSAGE_SIZE`](crate::peer::MAX_MESSAGE_SIZE).
    #[error("the message is larger than 65,535 bytes")]
    TooLarge,
    /// Too much waits already; see [`Connection::watch_buffered`].
    #[error("too much is buffered")]
    BufferFull,
    /// Data tracks are not sent this way.
    #[error("not a channel for messages")]
    WrongChannel,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

/// Wakes the task of a link's connection. One for each link; connections come and go.
#[derive(Debug, Clone, Default)]
pub struct WorkSignal(Arc<Notify>);

impl WorkSignal {
    /// A signal that nobody waits for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// There is work: what [`LinkHost::work_ready`] has to do.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// A link whose packets wake this signal; everything else goes to `owner`.
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

#[derive(Debug)]
enum Command {
    CreateOffer,
    Answer { sdp: String, id: u32 },
    Offer { sdp: String, id: u32 },
    Candidate { target: Target, candidate: String },
    ServerAddress(Option<IpAddr>),
    Close,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Makes a connection, and the task that drives it: somebody has to run it. Nothing is sent until an offer is asked
    /// for, or comes.
    ///
    /// `signal` is the one that `link` wakes. Packets count for the session that the link's subscriber is in, or for the
    /// one that comes after it: see [`ConnectionOptions::next_session`].
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
        // The first peer of a process seeds the random generator and makes the certificate: not on the caller's thread.
        let task = async move {
            let Some(shared) = unstarted.start() else { return };
            Box::pin(Task::new(shared, link, epoch, options).run()).await;
        };
        (Self { shared }, task)
    }

    /// [`new`](Self::new), with the task on a runtime.
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

    /// Asks for an offer of the publisher connection: [`ConnectionEvent::LocalDescription`] follows. The first one opens
    /// the channels, each later one restarts ICE. A pending one is void.
    pub fn create_offer(&self) {
        self.shared.command(Command::CreateOffer);
    }

    /// The server's answer to the offer of that number; 0 stands for the last one. Others are ignored.
    pub fn handle_answer(&self, sdp: impl Into<String>, id: u32) {
        self.shared.command(Command::Answer { sdp: sdp.into(), id });
    }

    /// The server's offer of the subscriber connection: an answer with the same number follows.
    pub fn handle_offer(&self, sdp: impl Into<String>, id: u32) {
        self.shared.command(Command::Offer { sdp: sdp.into(), id });
    }

    /// A candidate of the server's: the member `candidate` of a Trickle's JSON. One that cannot be used is ignored.
    pub fn add_remote_candidate(&self, target: Target, candidate: impl Into<String>) {
        self.shared.command(Command::Candidate { target, candidate: candidate.into() });
    }

    /// Where signalling reached the server; `None` if that is not known. Candidates of the loopback and of the local link
    /// that come after this are only tried if the server is there, too.
    pub fn set_server_address(&self, address: Option<IpAddr>) {
        self.shared.command(Command::ServerAddress(address));
    }

    /// Queues a message. Messages leave when the connection is there, those of `_reliable` before data tracks.
    ///
    /// `more`: another one follows at once, and the task need not be woken before; they may share a datagram.
    pub fn send(&self, channel: ChannelKind, message: Bytes, more: bool) -> Result<(), SendError> {
        lock(&self.shared.outgoing).push(channel, message)?;
        if !more {
            self.shared.signal.notify();
        }
        Ok(())
    }

    /// Wakes the task for what was sent with `more` when nothing follows after all.
    pub fn flush(&self) {
        self.shared.signal.notify();
    }

    /// Bytes that wait for a channel or are under way in it. Of data tracks only what the channel holds.
    #[must_use]
    pub fn buffered(&self, channel: ChannelKind) -> usize {
        lock(&self.shared.outgoing).buffered(channel)
    }

    /// Bytes that `_reliable` may hold, those under way included: it follows what the path carries. What is queued beyond
    /// that waits outside the channel.
    #[must_use]
    pub fn reliable_limit(&self) -> usize {
        lock(&self.shared.outgoing).reliable_limit()
    }

    /// Asks for one [`ConnectionEvent::BufferedAmountLow`] when at most `bytes` are buffered; at once if so already.
    pub fn watch_buffered(&self, channel: ChannelKind, bytes: usize) {
        lock(&self.shared.outgoing).watch(channel, bytes);
        self.shared.signal.notify();
    }

    /// The next event, messages last; poll until `None` when [`ConnectionHost::events_ready`] was called.
    #[must_use]
    pub fn poll_event(&self) -> Option<ConnectionEvent> {
        self.poll_control().or_else(|| {
            let (channel, data) = self.poll_message()?;
            Some(ConnectionEvent::Message { channel, data })
        })
    }

    /// The next event that is not a message. For a reader who takes messages in portions, by
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

    /// Whether there are messages.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        lock(&self.shared.events).has_messages()
    }

    /// What was measured, as of the task's last turn.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        *lock(&self.shared.stats)
    }

    /// Says goodbye and ends the task. Idempotent.
    pub fn close(&self) {
        self.shared.command(Command::Close);
    }
}

/// A task that has not run yet. One that never will, since its runtime ends, has failed, and somebody has to know.
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

    fn tell(&self, event: ConnectionEvent) {
        lock(&self.events).push(event);
        self.host.events_ready();
    }

    /// Queues a message for the reader. What is returned: whether it was taken, dropped (`_lossy`) or cannot be.
    fn tell_message(&self, channel: ChannelKind, data: Vec<u8>) -> Delivery {
        let delivery = lock(&self.events).push_message(channel, data);
        if delivery == Delivery::Queued {
            self.host.events_ready();
        }
        delivery
    }
}
