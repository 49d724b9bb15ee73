use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

use napi::sys;
use nohash_hasher::IntMap;

use super::{Call, Entry, Js, Value};
use crate::js::error::Failure;
use crate::js::guard::guard;

/// A value that is kept beyond the call.
#[derive(Debug)]
pub(crate) struct Reference(sys::napi_ref);

impl Reference {
    pub(crate) fn new(js: Js, value: Value) -> Result<Self, Failure> {
        let mut raw = null_mut();
        // SAFETY: the value is of the running scope.
        Failure::check(unsafe { sys::napi_create_reference(js.raw(), value.raw(), 1, &raw mut raw) })?;
        Ok(Self(raw))
    }

    pub(crate) fn get(&self, js: Js) -> Result<Value, Failure> {
        let mut raw = null_mut();
        // SAFETY: the reference is of this environment and was not deleted: only `delete` does, and it consumes.
        Failure::check(unsafe { sys::napi_get_reference_value(js.raw(), self.0, &raw mut raw) })?;
        Ok(Value::from_raw(raw))
    }

    /// Lets the value go. A reference that is dropped without it lives as long as its environment.
    pub(crate) fn delete(self, js: Js) {
        // SAFETY: the reference is of this environment and is never used again.
        unsafe { sys::napi_delete_reference(js.raw(), self.0) };
    }
}

/// What a JavaScript object of ours holds.
pub(crate) trait Wrapped: Sized + 'static {
    /// The object was collected. Runs on the environment's thread; must not run JavaScript.
    fn collected(self);
}

/// A class whose instances are made by us only.
#[derive(Debug)]
pub(crate) struct Class(Reference);

impl Class {
    pub(crate) fn define(
        js: Js,
        name: &CStr,
        methods: impl Iterator<Item = &'static Entry>,
    ) -> Result<Self, Failure> {
        let properties = methods
            .map(|entry| sys::napi_property_descriptor {
                utf8name: entry.name.as_ptr(),
                name: null_mut(),
                method: Some(entry.callback),
                getter: None,
                setter: None,
                value: null_mut(),
                attributes: sys::PropertyAttributes::writable | sys::PropertyAttributes::configurable,
                data: null_mut(),
            })
            .collect::<Vec<_>>();
        let mut raw = null_mut();
        // SAFETY: names are static and end with a zero; the descriptors outlive the call.
        Failure::check(unsafe {
            sys::napi_define_class(
                js.raw(),
                name.as_ptr(),
                -1,
                Some(constructor),
                null_mut(),
                properties.len(),
                properties.as_ptr(),
                &raw mut raw,
            )
        })?;
        Ok(Self(Reference::new(js, Value::from_raw(raw))?))
    }

    /// A new object that holds `content`.
    pub(crate) fn instance<W: Wrapped>(&self, js: Js, content: W) -> Result<Value, Failure> {
        let constructor = self.0.get(js)?;
        let mut raw = null_mut();
        // SAFETY: the constructor is of this scope and takes no arguments.
        Failure::check(unsafe {
            sys::napi_new_instance(js.raw(), constructor.raw(), 0, std::ptr::null(), &raw mut raw)
        })?;
        let content = Box::into_raw(Box::new(content));
        // SAFETY: the object is new, so nothing is wrapped in it; `finalize` frees what it gets.
        let status = unsafe {
            sys::napi_wrap(js.raw(), raw, content.cast(), Some(finalize::<W>), null_mut(), null_mut())
        };
        if let Err(failure) = Failure::check(status) {
            // SAFETY: the wrap failed, so the box is still ours.
            drop(unsafe { Box::from_raw(content) });
            return Err(failure);
        }
        WRAPPED.with_borrow_mut(|wrapped| wrapped.insert(key(content), TypeId::of::<W>()));
        Ok(Value::from_raw(raw))
    }
}

thread_local! {
    /// Where the contents of this thread's objects are, and their types. Any addon may wrap something in an object, also
    /// in one of our classes, and so may another version of this addon. So [`Call::receiver`] looks here before it
    /// reads. Node-API's type tags do the same. They cost more than all else that a call of `push` or `readStream`
    /// does outside of the core.
    static WRAPPED: RefCell<IntMap<u64, TypeId>> = RefCell::default();
    /// What was found there last: most calls are on the object of the call before.
    static LAST: Cell<Option<(*const c_void, TypeId)>> = const { Cell::new(None) };
}

/// Whether the content of one of this thread's objects is there, and a `W`.
fn holds<W: 'static>(content: *const c_void) -> bool {
    let wanted = Some((content, TypeId::of::<W>()));
    if LAST.get() == wanted {
        return true;
    }
    let found = WRAPPED.with_borrow(|wrapped| wrapped.get(&key(content)) == Some(&TypeId::of::<W>()));
    if found {
        LAST.set(wanted);
    }
    found
}

/// The key of an address in [`WRAPPED`]. Each address has a key of its own, because the factor is odd. The key's bits
/// are spread, because the map hashes nothing.
fn key<T>(content: *const T) -> u64 {
    (content.addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Call {
    /// What `this` holds.
    pub(crate) fn receiver<W: Wrapped>(&self) -> Result<&W, Failure> {
        let mut content = null_mut();
        // SAFETY: `this` is of the running scope; what holds nothing is refused.
        let status = unsafe { sys::napi_unwrap(self.js().raw(), self.this().raw(), &raw mut content) };
        if status != sys::Status::napi_ok || !holds::<W>(content) {
            return Err(Failure::wrong_type("a method of the addon was called on another object"));
        }
        // SAFETY: `instance` made a `W` at that address, and `finalize` did not free it yet. It does so after the
        // object was collected, and the call's `this` is alive.
        Ok(unsafe { &*content.cast::<W>() })
    }
}

/// Instances come from [`Class::instance`]; one that JavaScript makes holds nothing and its methods throw.
unsafe extern "C" fn constructor(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    fn this(call: &Call) -> Result<Value, Failure> {
        Ok(call.this())
    }
    // SAFETY: Node.js calls it with the environment and the info of this very call.
    unsafe { crate::js::guard::enter(env, info, this) }
}

unsafe extern "C" fn finalize<W: Wrapped>(_env: sys::napi_env, content: *mut c_void, _hint: *mut c_void) {
    // The guard logged a panic in it. There is no caller to tell.
    let _ = guard(|| {
        // A thread that ends may have dropped the map already.
        let _ = WRAPPED.try_with(|wrapped| wrapped.borrow_mut().remove(&key(content)));
        LAST.set(None);
        // SAFETY: `instance` made it from a box of that type, and Node.js finalizes once.
        let content = unsafe { Box::from_raw(content.cast::<W>()) };
        content.collected();
        Ok(())
    });
}
