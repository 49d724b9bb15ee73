//! An addon of its own: `exports(object)` wraps 64 bytes of its own in an object, as any addon may.
mod napi;

use std::ptr::null_mut;

use napi::{Pointer, function};

unsafe extern "C" {
    fn napi_get_cb_info(
        env: Pointer,
        info: Pointer,
        count: *mut usize,
        arguments: *mut Pointer,
        this: *mut Pointer,
        data: *mut Pointer,
    ) -> i32;
    fn napi_wrap(
        env: Pointer,
        object: Pointer,
        content: Pointer,
        finalize: Pointer,
        hint: Pointer,
        reference: *mut Pointer,
    ) -> i32;
}

static CONTENT: [u64; 8] = [0; 8];

unsafe extern "C" fn wrap(env: Pointer, info: Pointer) -> Pointer {
    let (mut count, mut object) = (1, null_mut());
    unsafe {
        napi_get_cb_info(env, info, &mut count, &mut object, null_mut(), null_mut());
        napi_wrap(env, object, (&raw const CONTENT).cast_mut().cast(), null_mut(), null_mut(), null_mut());
    }
    object
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Pointer, _exports: Pointer) -> Pointer {
    unsafe { function(env, c"wrap", wrap) }
}
