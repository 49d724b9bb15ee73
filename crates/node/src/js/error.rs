//! What fails, as JavaScript sees it: an `Error` with a stable `code`, and a `reason` where its class has reasons.
//!
//! `NativeErrorCode` in `src/native/native.ts` lists the codes; the two move together.

use std::fmt;

use napi::sys;

/// `NativeErrorCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Publish,
    Subscribe,
    E2ee,
    InvalidArgument,
    Closed,
    Cancelled,
    NativePanic,
}

impl Code {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "PUBLISH",
            Self::Subscribe => "SUBSCRIBE",
            Self::E2ee => "E2EE",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Closed => "CLOSED",
            Self::Cancelled => "CANCELLED",
            Self::NativePanic => "NATIVE_PANIC",
        }
    }
}

/// The class of the JavaScript error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Error,
    TypeError,
    RangeError,
}

/// Why an export did not return.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A JavaScript exception is pending; it is the one that the caller gets.
    Pending,
    /// To be thrown, or to be what a promise is rejected with.
    Error { code: Code, class: Class, reason: Option<&'static str>, message: String },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("a JavaScript exception is pending"),
            Self::Error { message, .. } => f.write_str(message),
        }
    }
}

impl Failure {
    pub(crate) fn new(code: Code, reason: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::Error { code, class: Class::Error, reason, message: message.into() }
    }

    /// The argument has the wrong type.
    pub(crate) fn wrong_type(message: impl Into<String>) -> Self {
        Self::Error {
            code: Code::InvalidArgument,
            class: Class::TypeError,
            reason: None,
            message: message.into(),
        }
    }

    /// The argument has the right type and a value that is not allowed.
    pub(crate) fn out_of_range(message: impl Into<String>) -> Self {
        Self::Error {
            code: Code::InvalidArgument,
            class: Class::RangeError,
            reason: None,
            message: message.into(),
        }
    }

    /// What the call is about is closed, or the environment ends.
    pub(crate) fn closed(message: impl Into<String>) -> Self {
        Self::new(Code::Closed, None, message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, None, "cancelled")
    }

    /// A panic was caught.
    pub(crate) fn panicked(message: impl Into<String>) -> Self {
        Self::new(Code::NativePanic, None, message)
    }

    /// Turns a Node-API status into a result. `napi_pending_exception` means that JavaScript code, a getter for
    /// example, threw: that exception goes on to the caller untouched.
    pub(crate) fn check(status: sys::napi_status) -> Result<(), Self> {
        match status {
            sys::Status::napi_ok => Ok(()),
            sys::Status::napi_pending_exception => Err(Self::Pending),
            sys::Status::napi_closing | sys::Status::napi_cannot_run_js => {
                Err(Self::closed("the JavaScript environment is ending"))
            }
            status => Err(Self::wrong_type(format!("Node-API refused the value (status {status})"))),
        }
    }
}
