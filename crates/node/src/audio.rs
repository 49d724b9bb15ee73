//! Streams of audio tracks: `NativeAudioStream` in `src/native/native.ts`.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use datatrack_media::{Decoder, RTP_RATE, Resampled, SinkOptions, SinkStats};
use datatrack_opus::OpusDecoder;
use datatrack_transport::hearing::{FrameOpener, Hearing, Reader, ReaderHost, Sealing};

use crate::convert::event::Event;
use crate::environment::Environment;
use crate::environment::handles::{Key, Kind};
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::shared::EventBell;
use crate::js::error::Failure;
use crate::js::guard::guard;
use crate::js::{Argument, Call, IntoJs, Js, Methods, Value, exports};

static CLASS: ClassDefinition = ClassDefinition { name: c"NativeAudioStream", methods: &[METHODS] };

static METHODS: Methods = exports! {
    c"read" => read,
    c"stats" => stats,
    c"close" => close,
};

/// Frames that one call hands to JavaScript at most. A stream is seldom more than a few frames behind.
const MAX_FRAMES_READ: usize = 25;

/// Samples of a frame at most: a second at the highest rate.
const MAX_FRAME_SAMPLES: u32 = 48_000;

/// Samples a second that a stream may have.
const SAMPLE_RATES: RangeInclusive<u32> = 8_000..=48_000;

/// A stream of one track. On the environment's thread.
struct AudioStream {
    id: u32,
    /// `None` once closed.
    reader: RefCell<Option<Arc<Reader>>>,
    /// What was counted until it was closed.
    last: RefCell<SinkStats>,
    bell: Arc<EventBell>,
    environment: Weak<Environment>,
}

impl ReaderHost for EventBell {
    fn frames_ready(&self) {
        self.ring();
    }
}

/// Opens a stream of the track with that SID: the arguments of `openAudioStream`. `opener` has the keys.
pub(crate) fn open(
    call: &Call,
    environment: &Environment,
    hearing: &Hearing,
    opener: Arc<dyn FrameOpener>,
) -> Result<Value, Failure> {
    let js = call.js();
    let track = call.argument(0, "trackSid").string()?;
    let sample_rate = call.argument(1, "sampleRate").u32()?;
    let channels = call.argument(2, "channels").u16()?;
    let frame = call.argument(3, "frameSamples").u32_within(1..=MAX_FRAME_SAMPLES)? as usize;
    let sender = call.argument(4, "sender").optional(Argument::string)?;
    let sealing = sender.map(|sender| Sealing { sender: sender.into(), opener });
    let decoder = decoder(sample_rate, channels)
        .ok_or_else(|| Failure::out_of_range("sampleRate must be from 8000 to 48000, and channels 1 or 2"))?;
    let id = environment.next_id();
    let bell = EventBell::new(id, &environment.shared);
    let options = SinkOptions { sample_rate, channels, frame };
    let reader = hearing.open(&track, sealing, options, decoder, Arc::clone(&bell) as _);
    let stream = Rc::new(AudioStream {
        id,
        reader: RefCell::new(Some(reader)),
        last: RefCell::default(),
        bell,
        environment: environment.weak(),
    });
    environment.handles.add(js, Key::new(Kind::AudioStream, id));
    let object = environment.adopt(js, &CLASS, id, stream)?;
    js.put(object, c"id", id)?;
    Ok(object)
}

/// A decoder at that rate: libopus alone where it has the rate.
fn decoder(sample_rate: u32, channels: u16) -> Option<Box<dyn Decoder>> {
    if let Some(decoder) = OpusDecoder::new(sample_rate, channels) {
        return Some(Box::new(decoder));
    }
    if !SAMPLE_RATES.contains(&sample_rate) {
        return None;
    }
    let decoder = Box::new(OpusDecoder::new(RTP_RATE, channels)?);
    Some(Box::new(Resampled::new(decoder, sample_rate, channels)?))
}

impl AudioStream {
    fn of(call: &Call) -> Result<&Self, Failure> {
        Object::receiver(call, "an audio stream")
    }

    fn reader(&self) -> Option<Arc<Reader>> {
        self.reader.borrow().clone()
    }
}

impl Owned for AudioStream {
    /// Frees the decoder. Idempotent.
    fn close(&self) {
        let Some(reader) = self.reader.borrow_mut().take() else { return };
        if let Ok(stats) = guard(|| Ok(reader.stats())) {
            *self.last.borrow_mut() = stats;
        }
        if let Some(environment) = self.environment.upgrade() {
            environment.forget(self.id);
            environment.handles.remove(Key::new(Kind::AudioStream, self.id));
        }
    }

    fn poll_events(&self, tell: &mut dyn FnMut(Event)) {
        self.bell.answered();
        tell(Event::AudioReady);
    }
}

/// The samples of some frames, in the machine's byte order, or `null` if there are none.
fn read(call: &Call) -> Result<Option<Value>, Failure> {
    let Some(reader) = AudioStream::of(call)?.reader() else { return Ok(None) };
    let samples = reader.read(MAX_FRAMES_READ);
    if samples.is_empty() {
        return Ok(None);
    }
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    call.js().bytes(&bytes).map(Some)
}

fn stats(call: &Call) -> Result<SinkStats, Failure> {
    let stream = AudioStream::of(call)?;
    Ok(stream.reader().map_or_else(|| *stream.last.borrow(), |reader| reader.stats()))
}

fn close(call: &Call) -> Result<(), Failure> {
    AudioStream::of(call)?.close();
    Ok(())
}

/// `NativeAudioStats` in `src/native/native.ts`.
impl IntoJs for SinkStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"packetsReceived", self.received)?;
        js.put(object, c"packetsRepaired", self.repaired)?;
        js.put(object, c"packetsDecoded", self.decoded)?;
        js.put(object, c"packetsLate", self.late)?;
        js.put(object, c"packetsDuplicate", self.duplicate)?;
        js.put(object, c"packetsInvalid", self.invalid)?;
        js.put(object, c"packetsSurplus", self.surplus)?;
        js.put(object, c"packetsDiscarded", self.discarded)?;
        js.put(object, c"packetsUndecryptable", self.undecryptable)?;
        js.put(object, c"packetsHeld", self.held)?;
        js.put(object, c"packetsLost", self.lost)?;
        js.put(object, c"samplesDecoded", self.samples_decoded)?;
        js.put(object, c"samplesConcealed", self.samples_concealed)?;
        js.put(object, c"samplesSilent", self.samples_silence)?;
        js.put(object, c"framesProduced", self.produced)?;
        js.put(object, c"framesDelivered", self.delivered)?;
        js.put(object, c"framesDropped", self.dropped)?;
        js.put(object, c"framesQueued", self.queued)?;
        Ok(object)
    }
}
