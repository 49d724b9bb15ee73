use std::ptr::null_mut;

use napi::sys;

use super::{Argument, Js, Value};
use crate::js::error::Failure;

/// Why a value's bytes cannot be borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BytesError {
    /// It is no `Uint8Array`.
    NotBytes,
    /// Other threads may write to it while we read, which Rust does not allow.
    Shared,
    /// Its buffer was transferred.
    Detached,
}

struct View {
    data: *mut std::ffi::c_void,
    /// In elements.
    len: usize,
    kind: sys::napi_typedarray_type,
}

/// # Safety
///
/// `value` is of the running scope.
unsafe fn view(js: Js, value: Value) -> Result<View, BytesError> {
    let (mut kind, mut len, mut data, mut buffer) = (0, 0, null_mut(), null_mut());
    // SAFETY: promised by the caller; what is no typed array is refused.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            js.raw(),
            value.raw(),
            &raw mut kind,
            &raw mut len,
            &raw mut data,
            &raw mut buffer,
            null_mut(),
        )
    };
    if status != sys::Status::napi_ok {
        return Err(BytesError::NotBytes);
    }
    let mut plain = false;
    // SAFETY: the buffer came from the view. A SharedArrayBuffer is no ArrayBuffer in this sense.
    unsafe { sys::napi_is_arraybuffer(js.raw(), buffer, &raw mut plain) };
    if !plain {
        return Err(BytesError::Shared);
    }
    if len == 0 {
        let mut detached = false;
        // SAFETY: as above. A detached buffer shows as an empty view, so only those are asked.
        unsafe { sys::napi_is_detached_arraybuffer(js.raw(), buffer, &raw mut detached) };
        if detached {
            return Err(BytesError::Detached);
        }
    }
    Ok(View { data, len, kind })
}

const fn is_bytes(kind: sys::napi_typedarray_type) -> bool {
    kind == sys::TypedarrayType::uint8_array || kind == sys::TypedarrayType::uint8_clamped_array
}

/// Borrows the bytes of a `Uint8Array`.
///
/// # Safety
///
/// `value` is of the running scope, and no JavaScript runs for as long as the slice is used: it could transfer or
/// resize the buffer.
unsafe fn borrow_bytes<'a>(js: Js, value: Value) -> Result<&'a [u8], BytesError> {
    // SAFETY: promised by the caller.
    let view = unsafe { view(js, value) }?;
    if !is_bytes(view.kind) {
        return Err(BytesError::NotBytes);
    }
    if view.len == 0 {
        return Ok(&[]);
    }
    // SAFETY: V8 says that so many bytes are there. No other thread shares them, and no JavaScript runs meanwhile.
    Ok(unsafe { std::slice::from_raw_parts(view.data.cast(), view.len) })
}

/// A slab of bytes and a table of rows that JavaScript lends for one call.
pub(crate) struct Columns<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) rows: &'a mut [u32],
}

impl<'a> Columns<'a> {
    /// Borrows both at once, since only then can it be seen that they do not overlap.
    pub(crate) fn borrow(js: Js, bytes: Argument<'a>, rows: Argument<'a>) -> Result<Self, Failure> {
        let wrong = |argument: Argument<'_>, what: &str, error: BytesError| {
            Failure::wrong_type(match error {
                BytesError::NotBytes => format!("{argument} must be a {what}"),
                BytesError::Shared => format!("{argument} must not be backed by a SharedArrayBuffer"),
                BytesError::Detached => format!("{argument} is detached"),
            })
        };
        // SAFETY: both are arguments of the running call.
        let slab = unsafe { view(js, bytes.any()?) }.map_err(|error| wrong(bytes, "Uint8Array", error))?;
        // SAFETY: as above.
        let table = unsafe { view(js, rows.any()?) }.map_err(|error| wrong(rows, "Uint32Array", error))?;
        if !is_bytes(slab.kind) {
            return Err(wrong(bytes, "Uint8Array", BytesError::NotBytes));
        }
        if table.kind != sys::TypedarrayType::uint32_array {
            return Err(wrong(rows, "Uint32Array", BytesError::NotBytes));
        }
        let (slab_start, table_start) = (slab.data as usize, table.data as usize);
        let slab_end = slab_start.saturating_add(slab.len);
        let table_end = table_start.saturating_add(table.len.saturating_mul(size_of::<u32>()));
        if slab.len > 0 && table.len > 0 && slab_start < table_end && table_start < slab_end {
            return Err(Failure::wrong_type(format!("{bytes} and {rows} must not overlap")));
        }
        // SAFETY: V8 says that so many elements are there, aligned for their type; neither is shared with another
        // thread, they do not overlap, and no JavaScript runs while they are borrowed.
        unsafe {
            Ok(Self {
                bytes: if slab.len == 0 {
                    &mut []
                } else {
                    std::slice::from_raw_parts_mut(slab.data.cast(), slab.len)
                },
                rows: if table.len == 0 {
                    &mut []
                } else {
                    std::slice::from_raw_parts_mut(table.data.cast(), table.len)
                },
            })
        }
    }
}

impl<'a> Argument<'a> {
    /// The bytes of a `Uint8Array`. They are JavaScript's: good until JavaScript runs again.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Failure> {
        self.try_bytes()?.map_err(|error| match error {
            BytesError::NotBytes => self.wrong("a Uint8Array"),
            BytesError::Shared => self.wrong("a Uint8Array without a SharedArrayBuffer"),
            BytesError::Detached => self.wrong("a Uint8Array whose buffer is not detached"),
        })
    }

    /// As [`bytes`](Self::bytes), for exports that answer wrong ones in their own way.
    pub(crate) fn try_bytes(self) -> Result<Result<&'a [u8], BytesError>, Failure> {
        // SAFETY: nothing runs JavaScript while arguments are alive; see `borrow_bytes`.
        Ok(unsafe { borrow_bytes(self.js, self.value()?) })
    }

    /// The bytes of a `Uint8Array`, to be written. There must be no other borrow of the same memory.
    pub(crate) fn bytes_mut(self, js: Js) -> Result<&'a mut [u8], Failure> {
        // SAFETY: the value is an argument of the running call.
        let view = unsafe { view(js, self.any()?) };
        match view {
            Ok(view) if is_bytes(view.kind) && view.len == 0 => Ok(&mut []),
            // SAFETY: as in `Columns::borrow`; exports that write take one such argument only.
            Ok(view) if is_bytes(view.kind) => {
                Ok(unsafe { std::slice::from_raw_parts_mut(view.data.cast(), view.len) })
            }
            Ok(_) | Err(BytesError::NotBytes) => {
                Err(Failure::wrong_type(format!("{self} must be a Uint8Array")))
            }
            Err(BytesError::Shared) => {
                Err(Failure::wrong_type(format!("{self} must not be backed by a SharedArrayBuffer")))
            }
            Err(BytesError::Detached) => Err(Failure::wrong_type(format!("{self} is detached"))),
        }
    }
}
