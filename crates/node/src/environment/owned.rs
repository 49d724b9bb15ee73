//! What an environment owns and JavaScript has objects of: sessions, connections and hubs.

use std::any::Any;
use std::ffi::CStr;
use std::rc::Rc;

use crate::convert::event::Event;
use crate::environment::drain::Drain;
use crate::js::error::Failure;
use crate::js::{Call, Methods, Wrapped};

/// A session, a connection or a hub. All of it runs on the environment's thread.
pub(crate) trait Owned: Any {
    /// Ends it. Idempotent.
    fn close(&self);

    /// Its JavaScript object was collected. Must not run JavaScript.
    fn collected(&self) {
        self.close();
    }

    /// Hands all waiting events to `tell`. The environment calls it for a number in
    /// [`Shared::events`](crate::environment::shared::Shared::events).
    fn poll_events(&self, _tell: &mut dyn FnMut(Event)) {}

    /// Moves a frame of each stream with demand into `drain`. Returns `true` if the space there is used up.
    /// The environment calls it for a number in [`Shared::frames`](crate::environment::shared::Shared::frames).
    fn drain(&self, _drain: &mut Drain<'_>) -> bool {
        false
    }
}

/// A class of JavaScript objects. The name tells one from another.
pub(crate) struct ClassDefinition {
    pub(crate) name: &'static CStr,
    pub(crate) methods: &'static [Methods],
}

/// What each JavaScript object of the addon holds. It is one type for all classes, so that a method can look what its
/// receiver is.
pub(crate) struct Object(Rc<dyn Owned>);

impl Object {
    pub(crate) fn new(owned: Rc<dyn Owned>) -> Self {
        Self(owned)
    }

    /// The object whose method is called. V8 calls a method on objects of its class only, Bun calls it on any object:
    /// here an object of another class throws. `name` is for that error, as in `a session`.
    pub(crate) fn receiver<'a, T: Owned>(call: &'a Call, name: &str) -> Result<&'a T, Failure> {
        let Self(owned) = call.receiver::<Self>()?;
        let owned: &dyn Any = &**owned;
        owned
            .downcast_ref()
            .ok_or_else(|| Failure::wrong_type(format!("a method of {name} was called on something else")))
    }
}

impl Wrapped for Object {
    fn collected(self) {
        self.0.collected();
    }
}
