//! The in-process SFU's packet side: a hub of the driver, with one task on the runtime.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, Weak as ArcWeak};

use datatrack_transport::Link;
use datatrack_transport::loopback::{self, AudioRoute, HubStats, MemberId};
use tokio::task::AbortHandle;

use crate::convert::options::{self, handle};
use crate::environment::handles::{Key, Kind};
use crate::environment::log;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::runtime::BACKEND;
use crate::environment::task::fail;
use crate::environment::{Environment, lock};
use crate::js::error::Failure;
use crate::js::guard::{Guarded, guard};
use crate::js::{Call, Methods, Value, exports};
use crate::session::{Driver, Members, Session};

static CLASS: ClassDefinition = ClassDefinition { name: c"NativeLoopbackHub", methods: &[METHODS] };

static METHODS: Methods = exports! {
    c"join" => join,
    c"addRoute" => add_route,
    c"removeRoute" => remove_route,
    c"setAudioRoute" => set_audio_route,
    c"removeAudioRoute" => remove_audio_route,
    c"isDrained" => is_drained,
    c"isAudioDrained" => is_audio_drained,
    c"leave" => leave,
    c"setNetwork" => set_network,
    c"stats" => stats,
    c"close" => close,
};

/// Elements of an array of names or numbers.
const MAX_ELEMENTS: u32 = 100_000;

type Links = Arc<Mutex<HashMap<u32, ArcWeak<Link>>>>;

/// A hub with its members. On the environment's thread.
pub(crate) struct Hub {
    id: u32,
    hub: Arc<loopback::Hub>,
    this: Weak<Self>,
    environment: Weak<Environment>,
    members: RefCell<HashMap<u32, Weak<Session>>>,
    /// The members' links, for the task to end when it fails.
    links: Links,
    /// The hub's task, started by the first member.
    task: RefCell<Option<AbortHandle>>,
    closed: Cell<bool>,
}

pub(crate) fn create_loopback(call: &Call) -> Result<Value, Failure> {
    let js = call.js();
    let environment = Environment::of(call)?;
    let network = options::network_options(call.argument(0, "options"))?;
    let id = environment.next_id();
    let hub = Rc::new_cyclic(|this| Hub {
        id,
        hub: loopback::Hub::new(network),
        this: this.clone(),
        environment: environment.weak(),
        members: RefCell::default(),
        links: Links::default(),
        task: RefCell::default(),
        closed: Cell::new(false),
    });
    environment.handles.add(js, Key::new(Kind::Loopback, id));
    environment.adopt(js, &CLASS, id, hub)
}

impl Hub {
    fn of(call: &Call) -> Result<&Self, Failure> {
        Object::receiver(call, "a loopback")
    }

    fn open(call: &Call) -> Result<&Self, Failure> {
        let hub = Self::of(call)?;
        if hub.closed.get() { Err(Failure::closed("the loopback is closed")) } else { Ok(hub) }
    }

    /// Starts the hub's task. A panic in it ends all members.
    fn start(&self, environment: &Environment) -> Result<(), Failure> {
        let mut task = self.task.borrow_mut();
        if task.is_some() {
            return Ok(());
        }
        let hub = Arc::clone(&self.hub);
        let links = Arc::clone(&self.links);
        let shared = Arc::downgrade(&environment.shared);
        *task = Some(BACKEND.spawn(log::task_within(
            shared,
            Box::pin(async move {
                let result = Guarded::new(async {
                    hub.run().await;
                    Ok(())
                });
                if let Err(failure) = result.await {
                    let links = std::mem::take(&mut *lock(&links));
                    for link in links.values() {
                        fail(link, &failure);
                    }
                }
            }),
        ))?);
        Ok(())
    }
}

impl Members for Hub {
    fn remove(&self, session: u32) {
        if self.members.borrow_mut().remove(&session).is_some() {
            lock(&self.links).remove(&session);
            self.hub.leave(MemberId(session));
        }
    }
}

impl Owned for Hub {
    /// Ends all members and the task. Idempotent.
    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let members = std::mem::take(&mut *self.members.borrow_mut());
        for session in members.into_values().filter_map(|session| session.upgrade()) {
            session.close();
        }
        let _ = guard(|| {
            self.hub.close();
            Ok(())
        });
        if let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
        if let Some(environment) = self.environment.upgrade() {
            environment.forget(self.id);
            environment.handles.remove(Key::new(Kind::Loopback, self.id));
        }
    }
}

fn join(call: &Call) -> Result<Value, Failure> {
    let hub = Hub::open(call)?;
    let environment = Environment::of(call)?;
    let options = options::session_options(call.argument(0, "options"), hub.hub.clock())?;
    hub.start(environment)?;
    let driver = Driver::Hub(hub.this.clone(), hub.hub.signal());
    let (session, object) =
        Session::create(call, environment, driver, options, |session, options, host, sound| {
            hub.hub.join(MemberId(session), options, host, sound.clone())
        })?;
    hub.members.borrow_mut().insert(session.id, Rc::downgrade(&session));
    lock(&hub.links).insert(session.id, Arc::downgrade(&session.link));
    Ok(object)
}

fn add_route(call: &Call) -> Result<(), Failure> {
    let hub = Hub::open(call)?;
    let from = call.argument(0, "publisher").u32()?;
    let track = handle(call.argument(1, "pubHandle"))?;
    let to = call.argument(2, "subscriber").u32()?;
    let under = handle(call.argument(3, "subHandle"))?;
    hub.hub.add_route(MemberId(from), track, MemberId(to), under);
    Ok(())
}

fn remove_route(call: &Call) -> Result<(), Failure> {
    let hub = Hub::of(call)?;
    let from = call.argument(0, "publisher").u32()?;
    let track = handle(call.argument(1, "pubHandle"))?;
    let to = call.argument(2, "subscriber").u32()?;
    hub.hub.remove_route(MemberId(from), track, MemberId(to));
    Ok(())
}

fn set_audio_route(call: &Call) -> Result<(), Failure> {
    let hub = Hub::open(call)?;
    let from = call.argument(0, "publisher").u32()?;
    let to = call.argument(4, "subscribers").elements(MAX_ELEMENTS)?;
    let route = AudioRoute {
        cid: call.argument(1, "cid").string()?,
        sid: call.argument(2, "trackSid").string()?,
        red: call.argument(3, "red").boolean()?,
        to: to.map(|to| Ok(MemberId(to?.u32()?))).collect::<Result<_, Failure>>()?,
    };
    hub.hub.set_audio_route(MemberId(from), route);
    Ok(())
}

fn remove_audio_route(call: &Call) -> Result<(), Failure> {
    let hub = Hub::of(call)?;
    let from = call.argument(0, "publisher").u32()?;
    hub.hub.remove_audio_route(MemberId(from), &call.argument(1, "cid").string()?);
    Ok(())
}

fn is_drained(call: &Call) -> Result<bool, Failure> {
    let hub = Hub::of(call)?;
    Ok(hub.hub.is_drained(MemberId(call.argument(0, "session").u32()?)))
}

fn is_audio_drained(call: &Call) -> Result<bool, Failure> {
    let hub = Hub::of(call)?;
    let session = call.argument(0, "session").u32()?;
    let keeping = call.argument(1, "keeping").elements(MAX_ELEMENTS)?;
    let keeping = keeping.map(|cid| cid?.string()).collect::<Result<Vec<_>, _>>()?;
    Ok(hub.hub.is_audio_drained(MemberId(session), &keeping))
}

/// A member that left is not connected: it does not keep the process alive.
fn leave(call: &Call) -> Result<(), Failure> {
    let hub = Hub::of(call)?;
    let id = call.argument(0, "session").u32()?;
    let member = hub.members.borrow().get(&id).and_then(Weak::upgrade);
    hub.remove(id);
    if let Some(session) = member {
        session.disconnected();
    }
    Ok(())
}

fn set_network(call: &Call) -> Result<(), Failure> {
    let hub = Hub::open(call)?;
    hub.hub.set_network(options::network_options(call.argument(0, "options"))?);
    Ok(())
}

fn stats(call: &Call) -> Result<HubStats, Failure> {
    Ok(Hub::of(call)?.hub.stats())
}

fn close(call: &Call) -> Result<(), Failure> {
    Hub::of(call)?.close();
    Ok(())
}
