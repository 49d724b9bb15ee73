//! What the addons of the tests have in common: Node-API as far as each of them needs it.
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

pub type Pointer = *mut c_void;
pub type Callback = unsafe extern "C" fn(Pointer, Pointer) -> Pointer;

unsafe extern "C" {
    fn napi_create_function(
        env: Pointer,
        name: *const u8,
        length: usize,
        callback: Callback,
        data: Pointer,
        result: *mut Pointer,
    ) -> i32;
}

/// A JavaScript function. An addon's `napi_register_module_v1` returns it as `exports`.
pub unsafe fn function(env: Pointer, name: &CStr, callback: Callback) -> Pointer {
    let (length, mut function) = (name.count_bytes(), null_mut());
    unsafe { napi_create_function(env, name.as_ptr().cast(), length, callback, null_mut(), &mut function) };
    function
}
