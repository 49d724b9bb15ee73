use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

use napi::sys;

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

/// What a JavaScript object of ours holds. All of them hold the same type. So a method that gets the wrong object of
/// ours finds out, instead of reading memory as what it is not.
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
        let tag = our_tag();
        // SAFETY: the object is of this scope and was not tagged before. It is useless without the tag, and safe.
        Failure::check(unsafe { sys::napi_type_tag_object(js.raw(), raw, &raw const tag) })?;
        Ok(Value::from_raw(raw))
    }
}

/// Marks the objects that hold a [`Wrapped`] of this image. Any addon may wrap something in an object, also in one of
/// our classes, and so may another version of this addon.
fn our_tag() -> sys::napi_type_tag {
    static IMAGE: u8 = 0;
    // Random bits tell other addons apart, an address in the loaded image other versions.
    sys::napi_type_tag { lower: (&raw const IMAGE).addr() as u64, upper: 0x4e67_f0d3_1b95_8ac2 }
}

impl Call {
    /// What `this` holds.
    pub(crate) fn receiver<W: Wrapped>(&self) -> Result<&W, Failure> {
        let mut content = null_mut();
        let mut ours = false;
        let tag = our_tag();
        // SAFETY: `this` is of the running scope, and the tag outlives the call.
        let status = unsafe {
            sys::napi_check_object_type_tag(self.js().raw(), self.this().raw(), &raw const tag, &raw mut ours)
        };
        if status != sys::Status::napi_ok || !ours {
            return Err(Failure::wrong_type("a method of the addon was called on another object"));
        }
        // SAFETY: `this` is of the running scope; what holds nothing is refused.
        let status = unsafe { sys::napi_unwrap(self.js().raw(), self.this().raw(), &raw mut content) };
        if status != sys::Status::napi_ok || content.is_null() {
            return Err(Failure::wrong_type("a method of the addon was called on another object"));
        }
        // SAFETY: only `instance` tags objects, after it wrapped a `W` in them; and the object is alive as long as the
        // call's `this` is.
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
        // SAFETY: `instance` made it from a box of that type, and Node.js finalizes once.
        let content = unsafe { Box::from_raw(content.cast::<W>()) };
        content.collected();
        Ok(())
    });
}
