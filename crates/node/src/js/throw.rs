//! Failures on their way to JavaScript.

use napi::sys;

use crate::js::error::{Class, Failure};
use crate::js::{Js, Value};

impl Failure {
    /// The JavaScript error object; `None` if one is pending already or none can be made any more.
    pub(crate) fn to_value(&self, js: Js) -> Option<Value> {
        let Self::Error { code, class, reason, message } = self else { return None };
        let text = js.string(message).ok()?;
        let code = js.string(code.as_str()).ok()?;
        let mut raw = std::ptr::null_mut();
        let create = match class {
            Class::Error => sys::napi_create_error,
            Class::TypeError => sys::napi_create_type_error,
            Class::RangeError => sys::napi_create_range_error,
        };
        // SAFETY: both values were just made in this scope. Node-API sets `code` as the property of that name.
        Self::check(unsafe { create(js.raw(), code.raw(), text.raw(), &raw mut raw) }).ok()?;
        let error = Value::from_raw(raw);
        let reason = reason.map_or_else(|| js.null(), |reason| js.string(reason)).ok()?;
        js.set(error, c"reason", reason).ok()?;
        Some(error)
    }

    /// Throws it, unless an exception is pending already.
    pub(crate) fn throw(&self, js: Js) {
        if let Some(error) = self.to_value(js) {
            // SAFETY: a live error value of this scope. A failure means that the environment ends.
            unsafe { sys::napi_throw(js.raw(), error.raw()) };
        }
    }
}
