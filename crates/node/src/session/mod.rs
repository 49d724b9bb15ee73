//! Sessions: one participant's [`Link`], and what belongs to it on the JavaScript side.

mod lifecycle;
mod publisher;
mod subscriber;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak as ArcWeak};
use std::thread::ThreadId;

use datatrack::publisher::PublisherEvent;
use datatrack_transport::connection::WorkSignal;
use datatrack_transport::loopback::Sound;
use datatrack_transport::speaking::Speaking;
use datatrack_transport::{Link, LinkEvent, LinkHost, LinkOptions};

use crate::convert::event::Event;
use crate::convert::options::session_options;
use crate::environment::Environment;
use crate::environment::drain::Drain;
use crate::environment::handles::{Key, Kind};
use crate::environment::log;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::runtime::BACKEND;
use crate::environment::shared::Shared;
use crate::environment::task::fail;
use crate::js::error::{Code, Failure};
use crate::js::guard::guard;
use crate::js::{Call, Value};

static CLASS: ClassDefinition = ClassDefinition {
    name: c"NativeSession",
    methods: &[publisher::METHODS, subscriber::METHODS, lifecycle::METHODS],
};

/// One participant. On the environment's thread; the link is what other threads see.
pub(crate) struct Session {
    pub(crate) id: u32,
    pub(crate) link: Arc<Link>,
    host: Arc<Host>,
    /// The readers of audio tracks, and the audio tracks that the session publishes. They go on when the connection is
    /// rebuilt.
    sound: Sound,
    streams: RefCell<HashSet<u32>>,
    environment: Weak<Environment>,
    driver: RefCell<Driver>,
    /// Whether it may keep the process alive.
    keeps: Cell<bool>,
    /// Whether it does.
    counted: Cell<bool>,
    closed: Cell<bool>,
}

/// What moves a session's packets.
pub(crate) enum Driver {
    /// JavaScript does, or the session left its hub or was closed.
    None,
    /// The hub that it joined, and what wakes that hub.
    Hub(Weak<dyn Members>, WorkSignal),
    /// Connections to a server, one after the other, which this signal wakes.
    Server(WorkSignal),
}

/// The members of a hub.
pub(crate) trait Members {
    /// That session is no member any more, if it was one. The session itself stays as it is.
    fn remove(&self, session: u32);
}

/// What the link tells that there is news: it leaves the session's number where its environment looks, and rings.
pub(crate) struct Host {
    session: u32,
    shared: Arc<Shared>,
    link: OnceLock<ArcWeak<Link>>,
    thread: ThreadId,
    /// Whether the session stands in the list of those with events, and of those with frames.
    events: AtomicBool,
    frames: AtomicBool,
}

impl LinkHost for Host {
    fn events_ready(&self) {
        if !self.events.swap(true, Ordering::AcqRel) {
            self.shared.events.push(self.session);
        }
        self.shared.ring();
    }

    fn frames_ready(&self) {
        if !self.frames.swap(true, Ordering::AcqRel) {
            self.shared.frames.push(self.session);
        }
        self.shared.ring();
    }

    /// The link calls it only for a session without a driver. JavaScript looks for work after each call of its own. It
    /// has to be told of work that another thread caused: a key came for held frames.
    fn work_ready(&self) {
        if std::thread::current().id() != self.thread {
            self.shared.ring();
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let link = self.link.get().cloned().unwrap_or_default();
        let shared = Arc::downgrade(&self.shared);
        let work = move || {
            log::within(&shared, || {
                let result = guard(|| {
                    work();
                    Ok(())
                });
                if let Err(failure) = result {
                    fail(&link, &failure);
                }
            });
        };
        if let Err(failure) = BACKEND.spawn_blocking(work)
            && let Some(link) = self.link.get()
        {
            // Otherwise the promise of the key would stay pending.
            fail(link, &failure);
        }
    }
}

impl Session {
    /// Makes a session and its JavaScript object. `connect` makes the link, and gives a hub the sound.
    pub(crate) fn create(
        call: &Call,
        environment: &Environment,
        driver: Driver,
        options: LinkOptions,
        connect: impl FnOnce(u32, LinkOptions, Arc<Host>, &Sound) -> Arc<Link>,
    ) -> Result<(Rc<Self>, Value), Failure> {
        let js = call.js();
        let id = environment.next_id();
        let host = Arc::new(Host {
            session: id,
            shared: Arc::clone(&environment.shared),
            link: OnceLock::new(),
            thread: std::thread::current().id(),
            events: AtomicBool::new(false),
            frames: AtomicBool::new(false),
        });
        let speaking = match &driver {
            Driver::Server(signal) | Driver::Hub(_, signal) => Speaking::new(signal.clone()),
            Driver::None => Speaking::default(),
        };
        let sound = Sound { speaking: Arc::new(speaking), hearing: Arc::default() };
        let link = connect(id, options, Arc::clone(&host), &sound);
        // It is empty: no other code set it before the link was made.
        let _ = host.link.set(Arc::downgrade(&link));
        let session = Rc::new(Self {
            id,
            link,
            host,
            sound,
            streams: RefCell::default(),
            environment: environment.weak(),
            driver: RefCell::new(driver),
            keeps: Cell::new(true),
            counted: Cell::new(false),
            closed: Cell::new(false),
        });
        environment.handles.add(js, Key::new(Kind::Session, id));
        session.count();
        let object = environment.adopt(js, &CLASS, id, Rc::clone(&session) as _)?;
        js.put(object, c"id", id)?;
        Ok((session, object))
    }

    /// The session whose method is called.
    fn of(call: &Call) -> Result<&Self, Failure> {
        Object::receiver(call, "a session")
    }

    fn environment(&self) -> Result<Rc<Environment>, Failure> {
        self.environment.upgrade().ok_or_else(|| Failure::closed("the JavaScript environment is ending"))
    }

    /// Runs what works on the link. A panic in it closes the session: what it left behind is not to be trusted.
    fn guarded<T>(&self, body: impl FnOnce(&Link) -> Result<T, Failure>) -> Result<T, Failure> {
        let result = guard(|| body(&self.link));
        if let Err(failure @ Failure::Error { code: Code::NativePanic, .. }) = &result {
            fail(&Arc::downgrade(&self.link), failure);
            self.release();
        }
        result
    }

    /// Whether the session may keep the process alive while it is connected.
    fn set_ref(&self, keeps: bool) {
        self.keeps.set(keeps);
        self.count();
    }

    /// What wakes the connections of a server session.
    fn server_signal(&self) -> Result<WorkSignal, Failure> {
        match &*self.driver.borrow() {
            Driver::Server(signal) => Ok(signal.clone()),
            Driver::None | Driver::Hub(..) => {
                Err(Failure::closed("the session is no server session, or closed"))
            }
        }
    }

    /// What wakes that which moves the session's packets.
    fn work_signal(&self) -> Result<WorkSignal, Failure> {
        match &*self.driver.borrow() {
            Driver::Server(signal) | Driver::Hub(_, signal) => Ok(signal.clone()),
            Driver::None => Err(Failure::closed("the session has no connection, or is closed")),
        }
    }

    /// It left its hub: it is as it was, but does not keep the process alive any more.
    pub(crate) fn disconnected(&self) {
        self.driver.replace(Driver::None);
        self.count();
    }

    /// Makes the environment's count agree with what this session is.
    fn count(&self) {
        let connected = !matches!(*self.driver.borrow(), Driver::None);
        let count = self.keeps.get() && connected && !self.closed.get();
        if self.counted.replace(count) == count {
            return;
        }
        if let Some(environment) = self.environment.upgrade() {
            if count { environment.keep_alive() } else { environment.let_go() }
        }
    }

    /// The session is over: it does not keep the process alive, is not in a hub, and is not counted.
    fn release(&self) {
        if self.closed.replace(true) {
            return;
        }
        if let Driver::Hub(hub, _) = self.driver.replace(Driver::None)
            && let Some(hub) = hub.upgrade()
        {
            hub.remove(self.id);
        }
        self.sound.speaking.clear();
        self.count();
        if let Some(environment) = self.environment.upgrade() {
            environment.handles.remove(Key::new(Kind::Session, self.id));
            environment.handles.remove_publications(self.id);
            for stream in &*self.streams.borrow() {
                environment.handles.remove(Key::new(Kind::Stream, *stream));
            }
        }
    }

    /// Takes what has ended off the list of what is alive.
    fn note_end(&self, event: &LinkEvent) {
        match event {
            LinkEvent::Publisher(
                PublisherEvent::PublishFailed { handle, .. } | PublisherEvent::Unpublished { handle, .. },
            ) => {
                if let Some(environment) = self.environment.upgrade() {
                    environment.handles.remove(Key::publication(self.id, handle.get()));
                }
            }
            LinkEvent::Failed(_) => self.release(),
            _ => {}
        }
    }
}

impl Owned for Session {
    /// Ends everything in it. What it has to tell is still polled, what is buffered is still read.
    fn close(&self) {
        let _ = self.guarded(|link| {
            link.close();
            Ok(())
        });
        self.release();
    }

    fn collected(&self) {
        if !self.closed.get() {
            tracing::debug!(session = self.id, "a session was collected before it was closed");
        }
        self.close();
        if let Some(environment) = self.environment.upgrade() {
            environment.forget(self.id);
        }
    }

    fn poll_events(&self, tell: &mut dyn FnMut(Event)) {
        // What comes from here on lists it again.
        self.host.events.store(false, Ordering::Release);
        while let Some(event) = self.link.poll_event() {
            self.note_end(&event);
            tell(Event::Link(event));
        }
    }

    fn drain(&self, drain: &mut Drain<'_>) -> bool {
        // What comes from here on lists it again.
        self.host.frames.store(false, Ordering::Release);
        let full = self.guarded(|link| {
            Ok(link.subscriber(|subscriber, now| {
                while let Some(stream) = subscriber.poll_readable() {
                    let waits = subscriber.next_frame_len(stream, now).is_some();
                    if drain.take(subscriber, stream, 1, now) == 0 && waits {
                        // The link sees that it is readable still, and lists the session again.
                        subscriber.push_back_readable(stream);
                        return true;
                    }
                }
                false
            }))
        });
        // A panic ended this session, and is told by its events; the others go on.
        full.unwrap_or_default()
    }
}

/// A session whose packets JavaScript moves.
pub(crate) fn create_session(call: &Call) -> Result<Value, Failure> {
    let environment = Environment::of(call)?;
    let options = session_options(call.argument(0, "options"), environment.clock)?;
    let (_, object) = Session::create(call, environment, Driver::None, options, |_, options, host, _| {
        Link::new(options, host)
    })?;
    Ok(object)
}

/// A session for connections to a server.
pub(crate) fn create_server_session(call: &Call) -> Result<Value, Failure> {
    let environment = Environment::of(call)?;
    let options = session_options(call.argument(0, "options"), environment.clock)?;
    let signal = WorkSignal::new();
    let driver = Driver::Server(signal.clone());
    let (_, object) = Session::create(call, environment, driver, options, |_, options, host, _| {
        signal.link(options, host)
    })?;
    Ok(object)
}
