use std::ffi::CStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::ptr::null_mut;

use napi::sys;

use super::{Js, Value};
use crate::js::error::Failure;

/// Arguments that an export has at most.
const MAX_ARGUMENTS: usize = 6;

/// A running call: the environment, `this` and the arguments.
pub(crate) struct Call {
    js: Js,
    this: Value,
    arguments: [Value; MAX_ARGUMENTS],
}

impl Call {
    /// # Safety
    ///
    /// `info` is that of the running callback of `js`.
    pub(crate) unsafe fn new(js: Js, info: sys::napi_callback_info) -> Result<Self, Failure> {
        let mut count = MAX_ARGUMENTS;
        let mut raw = [null_mut(); MAX_ARGUMENTS];
        let mut this = null_mut();
        // SAFETY: promised by the caller; the array has `count` places, and those without an argument get `undefined`.
        Failure::check(unsafe {
            sys::napi_get_cb_info(js.raw(), info, &raw mut count, raw.as_mut_ptr(), &raw mut this, null_mut())
        })?;
        Ok(Self { js, this: Value::from_raw(this), arguments: raw.map(Value::from_raw) })
    }

    pub(crate) const fn js(&self) -> Js {
        self.js
    }

    pub(crate) const fn this(&self) -> Value {
        self.this
    }

    /// The argument at that place, with the name that errors call it by.
    pub(crate) fn argument(&self, index: usize, name: &'static str) -> Argument<'_> {
        // All callers pass a literal; a wrong one reads as `undefined` and fails with the argument's name.
        let value = self.arguments.get(index).copied();
        Argument { js: self.js, value, parent: None, name, call: std::marker::PhantomData }
    }
}

/// A value that JavaScript passed, or a field of one, and what errors call it.
#[derive(Clone, Copy)]
pub(crate) struct Argument<'a> {
    pub(super) js: Js,
    value: Option<Value>,
    parent: Option<&'static str>,
    name: &'static str,
    call: std::marker::PhantomData<&'a Call>,
}

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            Some(parent) => write!(f, "{parent}.{}", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl<'a> Argument<'a> {
    pub(super) fn wrong(&self, expected: &str) -> Failure {
        Failure::wrong_type(format!("{self} must be {expected}"))
    }

    pub(super) fn value(&self) -> Result<Value, Failure> {
        self.value.ok_or_else(|| self.wrong("given"))
    }

    fn is(&self, kind: sys::napi_valuetype) -> bool {
        self.value.is_some_and(|value| self.js.type_of(value) == kind)
    }

    /// `null` or `undefined` is `None`, anything else goes to `read`.
    pub(crate) fn optional<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        if self.is(sys::ValueType::napi_null) || self.is(sys::ValueType::napi_undefined) {
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// A number within `range`; `NaN` never is.
    pub(crate) fn number(self, range: RangeInclusive<f64>) -> Result<f64, Failure> {
        let mut number = 0.0;
        // SAFETY: the value is of this scope.
        let status =
            unsafe { sys::napi_get_value_double(self.js.raw(), self.value()?.raw(), &raw mut number) };
        if status != sys::Status::napi_ok {
            return Err(self.wrong("a number"));
        }
        if !range.contains(&number) {
            let (from, to) = range.into_inner();
            return Err(Failure::out_of_range(format!("{self} must be from {from} to {to}, not {number}")));
        }
        Ok(number)
    }

    /// A whole number within `range`.
    pub(crate) fn integer(self, range: RangeInclusive<u64>) -> Result<u64, Failure> {
        #[allow(clippy::cast_precision_loss)]
        let number = self.number(*range.start() as f64..=*range.end() as f64)?;
        // Within the range, and so never negative. Without a fraction nothing is lost there and back; the standard
        // library's `fract` would be a call into libm.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        {
            let whole = number as u64;
            if whole as f64 != number {
                return Err(Failure::out_of_range(format!("{self} must be a whole number, not {number}")));
            }
            Ok(whole)
        }
    }

    pub(crate) fn u32(self) -> Result<u32, Failure> {
        self.u32_within(0..=u32::MAX)
    }

    pub(crate) fn u32_within(self, range: RangeInclusive<u32>) -> Result<u32, Failure> {
        let (from, to) = range.into_inner();
        // Within the range, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        self.integer(from.into()..=to.into()).map(|number| number as u32)
    }

    pub(crate) fn u16(self) -> Result<u16, Failure> {
        // Within the range, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        self.integer(0..=u16::MAX.into()).map(|number| number as u16)
    }

    pub(crate) fn u8_within(self, range: RangeInclusive<u8>) -> Result<u8, Failure> {
        let (from, to) = range.into_inner();
        // Within the range, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        self.integer(from.into()..=to.into()).map(|number| number as u8)
    }

    pub(crate) fn boolean(self) -> Result<bool, Failure> {
        let mut boolean = false;
        // SAFETY: the value is of this scope.
        let status =
            unsafe { sys::napi_get_value_bool(self.js.raw(), self.value()?.raw(), &raw mut boolean) };
        if status == sys::Status::napi_ok { Ok(boolean) } else { Err(self.wrong("a boolean")) }
    }

    pub(crate) fn string(self) -> Result<String, Failure> {
        self.js.text(self.value()?).ok_or_else(|| self.wrong("a string"))
    }

    /// A bigint from 0 to 2^64 − 1.
    pub(crate) fn u64(self) -> Result<u64, Failure> {
        if !self.is(sys::ValueType::napi_bigint) {
            return Err(self.wrong("a bigint"));
        }
        let (mut number, mut lossless) = (0, false);
        // SAFETY: the value is a bigint of this scope.
        Failure::check(unsafe {
            sys::napi_get_value_bigint_uint64(
                self.js.raw(),
                self.value()?.raw(),
                &raw mut number,
                &raw mut lossless,
            )
        })?;
        if !lossless {
            return Err(Failure::out_of_range(format!("{self} must be from 0 to {}", u64::MAX)));
        }
        Ok(number)
    }

    pub(crate) fn function(self) -> Result<Value, Failure> {
        if self.is(sys::ValueType::napi_function) { self.value() } else { Err(self.wrong("a function")) }
    }

    /// Checks that it is an object, for [`field`](Self::field).
    pub(crate) fn object(self) -> Result<Self, Failure> {
        if self.is(sys::ValueType::napi_object) { Ok(self) } else { Err(self.wrong("an object")) }
    }

    /// A field of an object; one that is missing fails where it is read, by its name.
    pub(crate) fn field(self, name: &'static CStr) -> Result<Self, Failure> {
        let value = self.js.get(self.value()?, name)?;
        let value = (self.js.type_of(value) != sys::ValueType::napi_undefined).then_some(value);
        let name = name.to_str().unwrap_or_default();
        Ok(Self { value, parent: Some(self.name), name, ..self })
    }

    /// The raw value, for the few that need it.
    pub(crate) fn any(self) -> Result<Value, Failure> {
        self.value()
    }

    /// The elements of an array, at most `max` of them.
    pub(crate) fn elements(
        self,
        max: u32,
    ) -> Result<impl ExactSizeIterator<Item = Result<Self, Failure>>, Failure> {
        let array = self.value()?;
        let (mut is_array, mut len) = (false, 0u32);
        // SAFETY: the value is of this scope; the length is asked for only if it is an array.
        unsafe {
            sys::napi_is_array(self.js.raw(), array.raw(), &raw mut is_array);
            if !is_array {
                return Err(self.wrong("an array"));
            }
            Failure::check(sys::napi_get_array_length(self.js.raw(), array.raw(), &raw mut len))?;
        }
        if len > max {
            return Err(Failure::out_of_range(format!("{self} must have at most {max} elements, not {len}")));
        }
        Ok((0..len as usize).map(move |index| {
            let mut raw = null_mut();
            // The length fitted 32 bits.
            #[allow(clippy::cast_possible_truncation)]
            let index = index as u32;
            // SAFETY: the array is of this scope.
            Failure::check(unsafe {
                sys::napi_get_element(self.js.raw(), array.raw(), index, &raw mut raw)
            })?;
            Ok(Self { value: Some(Value::from_raw(raw)), ..self })
        }))
    }
}
