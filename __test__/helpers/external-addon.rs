//! An addon of its own: `exports()` lends JavaScript 64 bytes of its own, as an `ArrayBuffer` and as a `Buffer`, and
//! returns what Node-API has answered: the status of the first one, and 100 times that of the second one.
mod napi;

use std::ptr::null_mut;

use napi::{Pointer, function};

unsafe extern "C" {
    fn napi_create_external_arraybuffer(
        env: Pointer,
        data: Pointer,
        length: usize,
        finalize: Pointer,
        hint: Pointer,
        result: *mut Pointer,
    ) -> i32;
    fn napi_create_external_buffer(
        env: Pointer,
        length: usize,
        data: Pointer,
        finalize: Pointer,
        hint: Pointer,
        result: *mut Pointer,
    ) -> i32;
    fn napi_create_int32(env: Pointer, value: i32, result: *mut Pointer) -> i32;
}

// V8 refuses the same memory in two array buffers.
static mut FIRST: [u64; 8] = [0; 8];
static mut SECOND: [u64; 8] = [0; 8];

unsafe extern "C" fn lend(env: Pointer, _info: Pointer) -> Pointer {
    let (mut array, mut buffer, mut answer) = (null_mut(), null_mut(), null_mut());
    unsafe {
        let none = null_mut();
        let first = (&raw mut FIRST).cast();
        let of_array = napi_create_external_arraybuffer(env, first, 64, none, none, &mut array);
        let second = (&raw mut SECOND).cast();
        let of_buffer = napi_create_external_buffer(env, 64, second, none, none, &mut buffer);
        napi_create_int32(env, of_array + 100 * of_buffer, &mut answer);
    }
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Pointer, _exports: Pointer) -> Pointer {
    unsafe { function(env, c"lend", lend) }
}
