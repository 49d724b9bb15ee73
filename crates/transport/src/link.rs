use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use datatrack::e2ee::{
    Completion, Derivation, DerivationId, E2eeError, FrameSealError, FrameSealer, IV_LEN, IvSequence,
    KeyMaterial, KeyScope, OpenOutcome, SealedFrame, SystemIvRandom,
};
use datatrack::packet::{E2eeExtension, Handle};
use datatrack::publisher::{
    Publisher, PublisherConfig, PublisherEvent, PushFrameError, SealedMessage, SessionEncryption, TakenFrame,
    Transmit,
};
use datatrack::subscriber::{
    Epoch, StreamId, SubscribeError, SubscribeOptions, Subscriber, SubscriberConfig, SubscriberEvent, TrackId,
};
use datatrack::{Instant, Payload};
use datatrack_media::{OPUS_HEAD, seal_frame};
use tokio::sync::oneshot;

use crate::Clock;
use crate::hearing::FrameOpener;

/// The options of a [`Link`].
pub struct LinkOptions {
    /// The publisher's side.
    pub publisher: PublisherConfig,
    /// The subscriber's side.
    pub subscriber: SubscriberConfig,
    /// The clock of the link. Links that exchange packets through a hub share the hub's clock.
    pub clock: Clock,
}

/// The owner of a [`Link`], which the link notifies. Each call may come from any thread. The link holds none of its
/// locks during the call. Each call must return quickly.
pub trait LinkHost: Send + Sync + 'static {
    /// [`Link::poll_event`] has an event.
    fn events_ready(&self);
    /// A stream with a waiting reader has frames.
    fn frames_ready(&self);
    /// There are packets to send where there were none, or a deadline came nearer.
    fn work_ready(&self);
    /// Runs work that takes some 30 ms of processor time.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// What happened in the publisher or in the subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// An event of the publisher.
    Publisher(PublisherEvent),
    /// An event of the subscriber.
    Subscriber(SubscriberEvent),
    /// A key is ready, or its derivation failed. The caller may try again the messages for which [`Link::seal_message`]
    /// or [`Link::open_message`] answered "wait".
    KeysChanged,
    /// A panic or a bug; the link is closed.
    Failed(String),
}

/// One participant's publisher and subscriber, each behind its lock, with the clock they share.
///
/// One JavaScript thread and one task use it. A lock is held for one call, never across an `.await`; no call takes
/// both. A call leaves events, derivations, packets and frames behind in the machine. The link passes them on before
/// the call returns.
pub struct Link {
    publisher: Mutex<Publisher>,
    subscriber: Mutex<Subscriber>,
    events: Mutex<VecDeque<LinkEvent>>,
    awaited: Mutex<HashMap<(Side, DerivationId), oneshot::Sender<KeyResult>>>,
    clock: Clock,
    shared_key: bool,
    /// Whether a message of the reliable side waits for a key.
    messages_wait: AtomicBool,
    host: Arc<dyn LinkHost>,
    this: Weak<Self>,
}

/// What [`Link::take_quietly`] took.
pub(crate) enum Taken {
    Nothing,
    /// The caller's `copy` got the packet.
    Packet,
    Frame(TakenFrame),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Publisher,
    Subscriber,
}

/// Resolves when the requested keys are in use.
#[must_use]
pub struct KeysReady(Vec<oneshot::Receiver<KeyResult>>);

type KeyResult = Result<(), E2eeError>;

impl KeysReady {
    /// Waits for all keys. The first failure is the result.
    pub async fn wait(self) -> Result<(), E2eeError> {
        for ready in self.0 {
            // The sender is dropped together with the link. No frame will be sealed or opened with the key then.
            ready.await.unwrap_or(Err(E2eeError::Disabled))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Stream numbers are unique in the process, so that one table can hold the streams of all links.
static NEXT_STREAM: AtomicU32 = AtomicU32::new(1);

impl Link {
    /// Makes a link that notifies `host`.
    #[must_use]
    pub fn new(options: LinkOptions, host: Arc<dyn LinkHost>) -> Arc<Self> {
        let shared_key = matches!(
            &options.publisher.encryption,
            SessionEncryption::Native(keys) if keys.shared
        );
        if matches!(options.publisher.encryption, SessionEncryption::Native(_)) {
            // The first random draw of a process waits 20 to 75 ms until the generator is seeded. It happens here, so
            // that the thread that pushes does not wait. The result is ignored: if drawing fails, the draw for the
            // track reports it.
            host.spawn_blocking(Box::new(|| {
                let _ = IvSequence::new().next(&mut SystemIvRandom::new());
            }));
        }
        Arc::new_cyclic(|this| Self {
            publisher: Mutex::new(Publisher::new(options.publisher)),
            subscriber: Mutex::new(Subscriber::new(options.subscriber)),
            events: Mutex::default(),
            awaited: Mutex::default(),
            clock: options.clock,
            shared_key,
            messages_wait: AtomicBool::new(false),
            host,
            this: this.clone(),
        })
    }

    /// The clock that `now` is read from.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The next event. After [`LinkHost::events_ready`], poll until `None`.
    pub fn poll_event(&self) -> Option<LinkEvent> {
        lock(&self.events).pop_front()
    }

    // The publisher.

    /// Gives the publisher an input.
    pub fn publisher<R>(&self, input: impl FnOnce(&mut Publisher, Instant) -> R) -> R {
        let now = self.clock.now();
        let mut publisher = lock(&self.publisher);
        let had_packets = publisher.has_packets();
        let deadline = publisher.poll_timeout();
        let result = input(&mut publisher, now);
        self.pass_on_publishers(publisher, had_packets, deadline);
        result
    }

    /// Passes on what an input left behind in the publisher. It is one function for all inputs: compiled into each, it
    /// took 0.1 MB.
    #[inline(never)]
    fn pass_on_publishers(
        &self,
        mut publisher: MutexGuard<'_, Publisher>,
        had_packets: bool,
        deadline: Option<Instant>,
    ) {
        let woken =
            (!had_packets && publisher.has_packets()) || came_nearer(deadline, publisher.poll_timeout());
        let told = self.note(drain(|| publisher.poll_event()).into_iter().map(LinkEvent::Publisher));
        let derivations = drain(|| publisher.poll_derivation());
        drop(publisher);
        if told {
            self.host.events_ready();
        }
        self.derive(Side::Publisher, derivations);
        if woken {
            self.host.work_ready();
        }
    }

    /// Pushes a frame. The publisher's `push` runs on the caller's thread. The task is woken if it was idle.
    pub fn push(
        &self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
    ) -> Result<(), PushFrameError> {
        self.push_with(|publisher, now| publisher.push(handle, payload, user_timestamp, now))
    }

    /// Pushes a frame that the application has sealed.
    pub fn push_sealed(
        &self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        extension: E2eeExtension,
    ) -> Result<(), PushFrameError> {
        self.push_with(|publisher, now| {
            publisher.push_sealed(handle, payload, user_timestamp, extension, now)
        })
    }

    /// A push makes no event and asks for no key, so only new packets have to be announced.
    fn push_with<R>(&self, push: impl FnOnce(&mut Publisher, Instant) -> R) -> R {
        let now = self.clock.now();
        let mut publisher = lock(&self.publisher);
        let had_packets = publisher.has_packets();
        let result = push(&mut publisher, now);
        let woken = !had_packets && publisher.has_packets();
        drop(publisher);
        if woken {
            self.host.work_ready();
        }
        result
    }

    /// Offers the next packet to `send`. `send` returns whether it took the packet. Returns `None` if there is no
    /// packet.
    pub fn transmit(&self, send: impl FnOnce(Handle, &[u8]) -> bool) -> Option<bool> {
        self.transmit_after(Duration::ZERO, |transmit| send(transmit.handle, transmit.packet))
    }

    /// Like [`transmit`](Self::transmit), for a transport in which a packet waits for `wait` before it leaves. A frame
    /// that will be too old by then is dropped now.
    pub(crate) fn transmit_after(
        &self,
        wait: Duration,
        send: impl FnOnce(Transmit<'_>) -> bool,
    ) -> Option<bool> {
        let mut publisher = lock(&self.publisher);
        if !publisher.has_packets() {
            return None;
        }
        // Reading the clock costs as much as the rest of this function.
        let now = if publisher.transmit_needs_time() { self.clock.now() + wait } else { Instant::ZERO };
        let taken = publisher.peek_transmit(now).map(send);
        if taken == Some(true) {
            publisher.advance_transmit();
        }
        let told = self.note(drain(|| publisher.poll_event()).into_iter().map(LinkEvent::Publisher));
        drop(publisher);
        if told {
            self.host.events_ready();
        }
        taken
    }

    /// Takes the next frame whole if it has at least `min_len` bytes. Otherwise it gives the frame's next packet to
    /// `copy`. This is for a caller that holds a lock of its own. If the second value is true, the caller has to call
    /// [`events_ready`](Self::events_ready) after it has released that lock.
    pub(crate) fn take_quietly(&self, min_len: usize, copy: impl FnOnce(Handle, &[u8])) -> (Taken, bool) {
        let mut publisher = lock(&self.publisher);
        if !publisher.has_packets() {
            return (Taken::Nothing, false);
        }
        let now = if publisher.transmit_needs_time() { self.clock.now() } else { Instant::ZERO };
        let taken = if let Some(frame) = publisher.take_frame(min_len, now) {
            Taken::Frame(frame)
        } else if let Some(transmit) = publisher.peek_transmit(now) {
            copy(transmit.handle, transmit.packet);
            publisher.advance_transmit();
            Taken::Packet
        } else {
            Taken::Nothing
        };
        let told = self.note(drain(|| publisher.poll_event()).into_iter().map(LinkEvent::Publisher));
        (taken, told)
    }

    /// Announces the events that [`take_quietly`](Self::take_quietly) did not.
    pub(crate) fn events_ready(&self) {
        self.host.events_ready();
    }

    // The subscriber.

    /// Gives the subscriber an input.
    pub fn subscriber<R>(&self, input: impl FnOnce(&mut Subscriber, Instant) -> R) -> R {
        let now = self.clock.now();
        let mut subscriber = lock(&self.subscriber);
        let deadline = subscriber.poll_timeout();
        let result = input(&mut subscriber, now);
        self.pass_on_subscribers(subscriber, deadline);
        result
    }

    /// Does for the subscriber what [`pass_on_publishers`](Self::pass_on_publishers) does for the publisher.
    #[inline(never)]
    fn pass_on_subscribers(&self, mut subscriber: MutexGuard<'_, Subscriber>, deadline: Option<Instant>) {
        let woken = came_nearer(deadline, subscriber.poll_timeout());
        let readable = subscriber.has_readable();
        let told = self.note(drain(|| subscriber.poll_event()).into_iter().map(LinkEvent::Subscriber));
        let derivations = drain(|| subscriber.poll_derivation());
        drop(subscriber);
        if told {
            self.host.events_ready();
        }
        self.derive(Side::Subscriber, derivations);
        if readable {
            self.host.frames_ready();
        }
        if woken {
            self.host.work_ready();
        }
    }

    /// Takes packets from a data channel that was opened in `epoch`.
    pub fn handle_packets(&self, packets: impl IntoIterator<Item = Bytes>, epoch: Epoch) {
        self.subscriber(|subscriber, now| {
            for packet in packets {
                subscriber.handle_packet(packet, epoch, now);
            }
        });
    }

    /// Opens a stream under a number that no other stream of the process has.
    pub fn subscribe(&self, track: TrackId, options: SubscribeOptions) -> Result<StreamId, SubscribeError> {
        loop {
            let stream = StreamId(NEXT_STREAM.fetch_add(1, Ordering::Relaxed));
            match self.subscriber(|subscriber, now| subscriber.subscribe(track, stream, options, now)) {
                // After four thousand million streams the numbers wrap, and an old stream may still have this one.
                Err(SubscribeError::StreamExists) => {}
                result => return result.map(|()| stream),
            }
        }
    }

    // Both.

    /// The transport has lost its connection.
    pub fn handle_connection_lost(&self) {
        self.publisher(|publisher, _| publisher.handle_connection_lost());
        self.subscriber(|subscriber, _| subscriber.handle_connection_lost());
    }

    /// The connection is resumed: it is back within the same server session.
    pub fn handle_resumed(&self) {
        self.publisher(|publisher, now| publisher.handle_resumed(now));
        self.subscriber(|subscriber, now| subscriber.handle_resumed(now));
    }

    /// The connection is rebuilt: it is back in a new server session.
    pub fn handle_rebuilt(&self) {
        self.publisher(|publisher, now| publisher.handle_rebuilt(now));
        self.subscriber(|subscriber, now| subscriber.handle_rebuilt(now));
    }

    /// Stops accepting frames and publications. Frames that were accepted before are still sent. Receiving ends at
    /// once. [`close`](Self::close) follows.
    pub fn finish(&self) {
        self.publisher(|publisher, _| publisher.finish());
        self.subscriber(|subscriber, _| subscriber.close());
    }

    /// Ends everything. Idempotent.
    pub fn close(&self) {
        self.publisher(|publisher, _| publisher.close());
        self.subscriber(|subscriber, _| subscriber.close());
        lock(&self.awaited).clear();
    }

    /// Closes the link after a caught panic, and reports [`LinkEvent::Failed`].
    pub fn fail(&self, message: impl Into<String>) {
        self.close();
        self.note([LinkEvent::Failed(message.into())]);
        self.host.events_ready();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. The time may be earlier than necessary.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publisher = lock(&self.publisher).poll_timeout();
        let subscriber = lock(&self.subscriber).poll_timeout();
        match (publisher, subscriber) {
            (Some(publisher), Some(subscriber)) => Some(publisher.min(subscriber)),
            (one, other) => one.or(other),
        }
    }

    /// Time went by.
    pub fn handle_timeout(&self) {
        self.publisher(|publisher, now| publisher.handle_timeout(now));
        self.subscriber(|subscriber, now| subscriber.handle_timeout(now));
    }

    // Keys.

    /// Sets a key. `identity` `None` means the shared key; without a shared key it means the local participant's key.
    pub fn set_key(
        &self,
        identity: Option<&str>,
        index: u8,
        material: &KeyMaterial,
    ) -> Result<KeysReady, E2eeError> {
        self.change_keys(
            identity,
            |publisher| publisher.set_key(index, material.clone()),
            |subscriber, scope| subscriber.set_key(scope, index, material.clone()),
        )
    }

    /// Replaces a key by its next ratchet step.
    pub fn ratchet_key(&self, identity: Option<&str>, index: u8) -> Result<KeysReady, E2eeError> {
        self.change_keys(
            identity,
            |publisher| publisher.ratchet_key(index),
            |subscriber, scope| subscriber.ratchet_key(scope, index),
        )
    }

    fn change_keys(
        &self,
        identity: Option<&str>,
        sealing: impl FnOnce(&mut Publisher) -> Result<DerivationId, E2eeError>,
        opening: impl FnOnce(&mut Subscriber, KeyScope) -> Result<DerivationId, E2eeError>,
    ) -> Result<KeysReady, E2eeError> {
        let mut ready = Vec::new();
        if identity.is_none() {
            // The receiver is registered before the derivation can finish: both happen under the machine's lock.
            ready.push(
                self.publisher(|publisher, _| sealing(publisher).map(|id| self.expect(Side::Publisher, id)))?,
            );
        }
        let scope = match identity {
            Some(identity) => Some(KeyScope::Participant(identity.into())),
            None if self.shared_key => Some(KeyScope::Shared),
            None => None,
        };
        if let Some(scope) = scope {
            ready.push(self.subscriber(|subscriber, _| {
                opening(subscriber, scope).map(|id| self.expect(Side::Subscriber, id))
            })?);
        }
        Ok(KeysReady(ready))
    }

    /// Seals a message of the reliable side. After [`SealedMessage::Wait`], [`LinkEvent::KeysChanged`] comes.
    pub fn seal_message(&self, message: &[u8]) -> SealedMessage {
        self.publisher(|publisher, _| {
            let sealed = publisher.seal_message(message);
            if sealed == SealedMessage::Wait {
                self.messages_wait.store(true, Ordering::Relaxed);
            }
            sealed
        })
    }

    /// Opens a message that `sender` sealed. After [`OpenOutcome::Wait`], [`LinkEvent::KeysChanged`] comes.
    pub fn open_message(
        &self,
        sender: &str,
        key_index: u8,
        iv: &[u8; IV_LEN],
        sealed: &Payload,
    ) -> OpenOutcome {
        self.subscriber(|subscriber, now| {
            let opened = subscriber.open_message(sender, key_index, iv, sealed, now);
            if opened == OpenOutcome::Wait {
                self.messages_wait.store(true, Ordering::Relaxed);
            }
            opened
        })
    }

    /// Seals a frame of an audio track of the local participant, in the format of
    /// [`datatrack_media`](datatrack_media::seal_frame). Each track has a `sealer` of its own. After an error the frame
    /// must not be sent. A track whose frames are sealed must not be sent with RED: no receiver opens both.
    ///
    /// # Errors
    /// [`FrameSealError::NoKey`] as long as there is no key, and without built-in encryption.
    pub fn seal_audio(&self, sealer: &mut FrameSealer, frame: &[u8]) -> Result<Vec<u8>, FrameSealError> {
        self.publisher(|publisher, _| {
            seal_frame(frame, OPUS_HEAD, |head, payload, room| {
                publisher.seal_media(sealer, head, payload, room)
            })
        })
    }

    fn expect(&self, side: Side, id: DerivationId) -> oneshot::Receiver<KeyResult> {
        let (done, ready) = oneshot::channel();
        lock(&self.awaited).insert((side, id), done);
        ready
    }

    #[inline]
    fn derive(&self, side: Side, derivations: Vec<Derivation>) {
        for derivation in derivations {
            let this = self.this.clone();
            self.host.spawn_blocking(Box::new(move || {
                let derived = derivation.run();
                let Some(link) = this.upgrade() else { return };
                let completion = match side {
                    Side::Publisher => link.publisher(|publisher, _| publisher.handle_derived(derived)),
                    Side::Subscriber => {
                        link.subscriber(|subscriber, now| subscriber.handle_derived(derived, now))
                    }
                };
                // `messages_wait` was set under the lock of the machine that has just taken the key.
                if link.messages_wait.swap(false, Ordering::Relaxed) && link.note([LinkEvent::KeysChanged]) {
                    link.host.events_ready();
                }
                if let Some(Completion { id, result }) = completion
                    && let Some(done) = lock(&link.awaited).remove(&(side, id))
                {
                    // An error means that the caller no longer waits. The key is in use all the same.
                    let _ = done.send(result);
                }
            }));
        }
    }

    /// Appends events and returns whether there were any. The caller holds the lock of the machine that the events come
    /// from. Otherwise two threads could swap the order of two events.
    #[inline]
    fn note(&self, events: impl IntoIterator<Item = LinkEvent>) -> bool {
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            return false;
        }
        lock(&self.events).extend(events);
        true
    }
}

impl FrameOpener for Link {
    fn open_media(&self, sender: &Arc<str>, frame: SealedFrame<'_>) -> OpenOutcome {
        self.subscriber(|subscriber, now| subscriber.open_media(sender, frame, now))
    }

    fn refuse_media(&self, sender: &Arc<str>) {
        self.subscriber(|subscriber, now| subscriber.refuse_media(sender, now));
    }
}

fn came_nearer(before: Option<Instant>, after: Option<Instant>) -> bool {
    after.is_some_and(|after| before.is_none_or(|before| after < before))
}

/// There is nearly always nothing to drain, and then this must cost nothing.
#[inline]
fn drain<T>(mut poll: impl FnMut() -> Option<T>) -> Vec<T> {
    match poll() {
        Some(first) => std::iter::once(first).chain(std::iter::from_fn(poll)).collect(),
        None => Vec::new(),
    }
}

/// Takes a lock even if a thread panicked while it held it. The panic closes the link, and closing needs the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
