//! Resamplers: `NativeResampler` in `src/native/native.ts`.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;

use datatrack_media::{Quality, Resampler};

use crate::environment::Environment;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::js::error::Failure;
use crate::js::{Call, Methods, Value, exports};

static CLASS: ClassDefinition = ClassDefinition { name: c"NativeResampler", methods: &[METHODS] };

static METHODS: Methods = exports! {
    c"push" => push,
    c"flush" => flush,
    c"close" => close,
};

/// Samples a second of a resampler's input and output.
const SAMPLE_RATES: RangeInclusive<u32> = 8_000..=192_000;

/// The qualities by their numbers, which are those of `AudioResamplerQuality`.
const QUALITIES: [Quality; 5] =
    [Quality::Quick, Quality::Low, Quality::Medium, Quality::High, Quality::VeryHigh];

/// A resampler. It belongs to its JavaScript object alone: it has no events, and nothing waits for it.
struct AudioResampler {
    /// `None` once closed.
    resampler: RefCell<Option<Resampler>>,
}

/// Makes a resampler: the arguments of `createResampler`.
pub(crate) fn create(call: &Call) -> Result<Value, Failure> {
    let from = call.argument(0, "inputRate").u32_within(SAMPLE_RATES)?;
    let to = call.argument(1, "outputRate").u32_within(SAMPLE_RATES)?;
    let channels = call.argument(2, "channels").u32_within(1..=2)?;
    let quality = call.argument(3, "quality").u32_within(0..=4)? as usize;
    let resampler = QUALITIES
        .get(quality)
        .zip(u16::try_from(channels).ok())
        .and_then(|(&quality, channels)| Resampler::new(from, to, channels, quality))
        .ok_or_else(|| Failure::out_of_range("there is no conversion between these rates"))?;
    let resampler = AudioResampler { resampler: RefCell::new(Some(resampler)) };
    Environment::of(call)?.hand_out(call.js(), &CLASS, Rc::new(resampler))
}

impl AudioResampler {
    /// The bytes of what `convert` returns.
    fn convert(call: &Call, convert: impl FnOnce(&mut Resampler) -> Vec<i16>) -> Result<Value, Failure> {
        let this: &Self = Object::receiver(call, "a resampler")?;
        let mut resampler = this.resampler.borrow_mut();
        let resampler = resampler.as_mut().ok_or_else(|| Failure::closed("the resampler is closed"))?;
        let bytes: Vec<u8> = convert(resampler).iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        call.js().bytes(&bytes)
    }
}

impl Owned for AudioResampler {
    /// Frees the filters. Idempotent.
    fn close(&self) {
        self.resampler.borrow_mut().take();
    }
}

/// Takes samples in the machine's byte order, and returns those that are ready.
fn push(call: &Call) -> Result<Value, Failure> {
    let bytes = call.argument(0, "samples").bytes()?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let samples: Vec<i16> = pairs.iter().map(|&pair| i16::from_ne_bytes(pair)).collect();
    AudioResampler::convert(call, |resampler| resampler.push(&samples))
}

/// Returns the rest of the sound.
fn flush(call: &Call) -> Result<Value, Failure> {
    AudioResampler::convert(call, Resampler::flush)
}

fn close(call: &Call) -> Result<(), Failure> {
    Object::receiver::<AudioResampler>(call, "a resampler")?.close();
    Ok(())
}
