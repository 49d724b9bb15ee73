use std::ffi::CStr;
use std::ptr::null_mut;

use napi::sys;

use crate::js::error::Failure;

/// The environment that is running JavaScript now, on its own thread.
#[derive(Clone, Copy)]
pub(crate) struct Js(sys::napi_env);

/// A JavaScript value; good until the call that made it returns.
#[derive(Clone, Copy)]
pub(crate) struct Value(sys::napi_value);

impl Value {
    pub(crate) const fn from_raw(raw: sys::napi_value) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> sys::napi_value {
        self.0
    }
}

type Creator<A> = unsafe fn(sys::napi_env, A, *mut sys::napi_value) -> sys::napi_status;

impl Js {
    /// # Safety
    ///
    /// `env` is alive, its thread is this one, and a handle scope is open.
    pub(crate) const unsafe fn new(env: sys::napi_env) -> Self {
        Self(env)
    }

    pub(crate) const fn raw(self) -> sys::napi_env {
        self.0
    }

    fn make(self, create: impl FnOnce(*mut sys::napi_value) -> sys::napi_status) -> Result<Value, Failure> {
        let mut raw = null_mut();
        Failure::check(create(&raw mut raw))?;
        Ok(Value(raw))
    }

    fn make_from<A>(self, create: Creator<A>, from: A) -> Result<Value, Failure> {
        // SAFETY: the environment is alive and the result has a place to go.
        self.make(|raw| unsafe { create(self.0, from, raw) })
    }

    pub(crate) fn undefined(self) -> Result<Value, Failure> {
        // SAFETY: as in `make_from`.
        self.make(|raw| unsafe { sys::napi_get_undefined(self.0, raw) })
    }

    pub(crate) fn null(self) -> Result<Value, Failure> {
        // SAFETY: as in `make_from`.
        self.make(|raw| unsafe { sys::napi_get_null(self.0, raw) })
    }

    pub(crate) fn boolean(self, value: bool) -> Result<Value, Failure> {
        self.make_from(sys::napi_get_boolean, value)
    }

    pub(crate) fn number(self, value: f64) -> Result<Value, Failure> {
        self.make_from(sys::napi_create_double, value)
    }

    pub(crate) fn u32(self, value: u32) -> Result<Value, Failure> {
        self.make_from(sys::napi_create_uint32, value)
    }

    pub(crate) fn string(self, value: &str) -> Result<Value, Failure> {
        let len = isize::try_from(value.len()).map_err(|_| Failure::out_of_range("string too long"))?;
        // SAFETY: pointer and length are those of a string that outlives the call.
        self.make(|raw| unsafe { sys::napi_create_string_utf8(self.0, value.as_ptr().cast(), len, raw) })
    }

    /// A `Uint8Array` with a copy of the bytes.
    pub(crate) fn bytes(self, value: &[u8]) -> Result<Value, Failure> {
        let mut data = null_mut();
        // SAFETY: the environment is alive and both results have a place to go.
        let buffer = self
            .make(|raw| unsafe { sys::napi_create_arraybuffer(self.0, value.len(), &raw mut data, raw) })?;
        if !value.is_empty() {
            // SAFETY: the buffer was just made with room for as many bytes, and no other code has it.
            unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), data.cast(), value.len()) };
        }
        let kind = sys::TypedarrayType::uint8_array;
        // SAFETY: the view covers the buffer exactly.
        self.make(|raw| unsafe { sys::napi_create_typedarray(self.0, kind, value.len(), buffer.0, 0, raw) })
    }

    pub(crate) fn object(self) -> Result<Value, Failure> {
        // SAFETY: as in `make_from`.
        self.make(|raw| unsafe { sys::napi_create_object(self.0, raw) })
    }

    pub(crate) fn array(
        self,
        values: impl ExactSizeIterator<Item = Result<Value, Failure>>,
    ) -> Result<Value, Failure> {
        let array = self.make_from(sys::napi_create_array_with_length, values.len())?;
        for (index, value) in (0u32..).zip(values) {
            // SAFETY: both values are of this scope.
            Failure::check(unsafe { sys::napi_set_element(self.0, array.0, index, value?.0) })?;
        }
        Ok(array)
    }

    pub(crate) fn set(self, object: Value, name: &CStr, value: Value) -> Result<(), Failure> {
        // SAFETY: both values are of this scope, the name ends with a zero.
        Failure::check(unsafe { sys::napi_set_named_property(self.0, object.0, name.as_ptr(), value.0) })
    }

    /// Sets a property from anything that has a JavaScript form.
    pub(crate) fn put(self, object: Value, name: &CStr, value: impl IntoJs) -> Result<(), Failure> {
        self.set(object, name, value.into_js(self)?)
    }

    pub(crate) fn get(self, object: Value, name: &CStr) -> Result<Value, Failure> {
        // SAFETY: the object is of this scope, the name ends with a zero.
        self.make(|raw| unsafe { sys::napi_get_named_property(self.0, object.0, name.as_ptr(), raw) })
    }

    pub(crate) fn type_of(self, value: Value) -> sys::napi_valuetype {
        let mut kind = sys::ValueType::napi_undefined;
        // SAFETY: the value is of this scope. It cannot fail for one.
        unsafe { sys::napi_typeof(self.0, value.0, &raw mut kind) };
        kind
    }

    /// A function of the addon.
    pub(crate) fn function(self, entry: &super::Entry) -> Result<Value, Failure> {
        let name = entry.name.as_ptr();
        // SAFETY: the name ends with a zero, which −1 says.
        self.make(|raw| unsafe {
            sys::napi_create_function(self.0, name, -1, Some(entry.callback), null_mut(), raw)
        })
    }

    /// Calls a function with one argument. An exception that it throws goes to `uncaughtException`.
    pub(crate) fn call_and_report(self, function: Value, argument: Value) {
        let Ok(this) = self.undefined() else { return };
        let mut result = null_mut();
        // SAFETY: function, receiver and argument are of this scope.
        let status = unsafe {
            sys::napi_call_function(self.0, this.0, function.0, 1, &raw const argument.0, &raw mut result)
        };
        if status == sys::Status::napi_pending_exception {
            let mut exception = null_mut();
            // SAFETY: an exception is pending; what comes out of it is handed on as it is. When a worker is being
            // terminated, both calls fail, and that is right.
            unsafe {
                if sys::napi_get_and_clear_last_exception(self.0, &raw mut exception) == sys::Status::napi_ok
                {
                    sys::napi_fatal_exception(self.0, exception);
                }
            }
        }
    }

    /// The string's text; `None` if it is no string. Lone surrogates become U+FFFD.
    pub(super) fn text(self, value: Value) -> Option<String> {
        let mut len = 0;
        // SAFETY: the value is of this scope; without a buffer only the length is asked for.
        let status =
            unsafe { sys::napi_get_value_string_utf8(self.raw(), value.raw(), null_mut(), 0, &raw mut len) };
        if status != sys::Status::napi_ok {
            return None;
        }
        let mut buffer = vec![0u8; len + 1];
        // SAFETY: the buffer has room for the text and the zero that Node-API puts behind it.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.raw(),
                value.raw(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut len,
            )
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        buffer.truncate(len);
        Some(
            String::from_utf8(buffer)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }

    /// The JavaScript stack as text, without the line of the error itself.
    pub(crate) fn stack(self) -> Option<String> {
        let text = self.string("").ok()?;
        // SAFETY: the message is of this scope; no code.
        let error =
            self.make(|raw| unsafe { sys::napi_create_error(self.0, null_mut(), text.0, raw) }).ok()?;
        let stack = self.get(error, c"stack").ok()?;
        let stack = self.text(stack)?;
        let lines = stack.lines().skip(1).map(str::trim).collect::<Vec<_>>();
        Some(lines.join("\n"))
    }
}

/// What has a JavaScript form.
pub(crate) trait IntoJs {
    fn into_js(self, js: Js) -> Result<Value, Failure>;
}

impl IntoJs for Value {
    fn into_js(self, _js: Js) -> Result<Value, Failure> {
        Ok(self)
    }
}

impl IntoJs for () {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.undefined()
    }
}

impl IntoJs for bool {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.boolean(self)
    }
}

impl IntoJs for u32 {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.u32(self)
    }
}

/// Counters: exact up to 2^53, which a million frames a second reach in 285 years.
impl IntoJs for u64 {
    #[allow(clippy::cast_precision_loss)]
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.number(self as f64)
    }
}

impl IntoJs for usize {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        (self as u64).into_js(js)
    }
}

impl IntoJs for f64 {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.number(self)
    }
}

/// A `Uint8Array`.
impl IntoJs for &[u8] {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.bytes(self)
    }
}

impl IntoJs for &str {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.string(self)
    }
}

impl IntoJs for String {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.string(&self)
    }
}

/// `None` is `null`.
impl<T: IntoJs> IntoJs for Option<T> {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        self.map_or_else(|| js.null(), |value| value.into_js(js))
    }
}

impl<T: IntoJs> IntoJs for Vec<T> {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.array(self.into_iter().map(|value| value.into_js(js)))
    }
}
