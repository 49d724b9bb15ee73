//! The binding: what JavaScript can call, and nothing else.
//!
//! `src/native/native.ts` lists the same functions by the same names; the two move together. ARCHITECTURE.md says how
//! the runtime starts and ends, and what owns what.

mod audio;
mod audio_source;
mod connection;
mod convert;
mod environment;
mod exports;
mod hub;
mod js;
mod resampler;
mod session;

use napi::bindgen_prelude::{Env, JsValue, Object, register_async_runtime};
use napi_derive::{module_init, napi};

/// Runs when the image is loaded: registers the runtime and the log's subscriber. Starts nothing.
#[module_init]
fn load() {
    js::guard::install_panic_hook();
    environment::log::install();
    register_async_runtime(environment::runtime::Registered);
}

/// Runs for each environment that loads the addon: hands out the functions. Everything else waits for the first call.
#[napi(module_exports)]
pub fn init(exports: Object<'_>, env: Env) -> napi::Result<()> {
    // SAFETY: Node.js runs this on the environment's thread, in a scope.
    let js = unsafe { js::Js::new(env.raw()) };
    js::guard::guard(|| {
        let exports = js::Value::from_raw(exports.raw());
        for entry in exports::EXPORTS {
            let function = js.function(entry)?;
            js.set(exports, entry.name, function)?;
        }
        Ok(())
    })
    .map_err(|failure| napi::Error::from_reason(failure.to_string()))
}
