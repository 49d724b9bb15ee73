//! Sources of audio tracks: `NativeAudioSource` in `src/native/native.ts`.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use datatrack_media::{Sealer, SourceOptions};
use datatrack_opus::{EncoderOptions, OpusEncoder};
use datatrack_transport::Link;
use datatrack_transport::peer::Sending;
use datatrack_transport::speaking::{LinkSealer, PacedSource, SenderStats, SourceHost, Speaking};

use crate::convert::event::Event;
use crate::environment::Environment;
use crate::environment::handles::{Key, Kind};
use crate::environment::log;
use crate::environment::owned::{ClassDefinition, Object, Owned};
use crate::environment::runtime::BACKEND;
use crate::environment::shared::EventBell;
use crate::js::error::Failure;
use crate::js::guard::Guarded;
use crate::js::{Argument, Call, IntoJs, Js, Methods, Value, exports};

static CLASS: ClassDefinition = ClassDefinition { name: c"NativeAudioSource", methods: &[METHODS] };

static METHODS: Methods = exports! {
    c"capture" => capture,
    c"queuedMs" => queued_ms,
    c"clear" => clear,
    c"watchEmpty" => watch_empty,
    c"close" => close,
};

/// The longest queue of a source, in ms.
const MAX_QUEUE: u32 = 600_000;

/// Samples a second that a source may have.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// A source of audio tracks. On the environment's thread.
pub(crate) struct AudioSource {
    id: u32,
    /// `None` once closed.
    source: RefCell<Option<Arc<PacedSource>>>,
    bell: Arc<EventBell>,
    environment: Weak<Environment>,
}

impl SourceHost for EventBell {
    fn progressed(&self) {
        self.ring();
    }
}

/// Makes a source, and starts what paces sources if it does not run: the arguments of `createAudioSource`.
pub(crate) fn create(call: &Call) -> Result<Value, Failure> {
    let js = call.js();
    let environment = Environment::of(call)?;
    let sample_rate = call.argument(0, "sampleRate").u32_within(SAMPLE_RATES)?;
    let channels = call.argument(1, "channels").u16()?;
    let queue = Duration::from_millis(call.argument(2, "queueMs").u32_within(0..=MAX_QUEUE)?.into());
    let id = environment.next_id();
    let bell = EventBell::new(id, &environment.shared);
    let options = SourceOptions { sample_rate, channels, queue };
    let source = environment
        .pacer
        .open(options, Arc::clone(&bell) as _)
        .ok_or_else(|| Failure::out_of_range("channels must be 1 or 2"))?;
    if environment.pacer.must_run() {
        let run = Arc::clone(&environment.pacer).run();
        let shared = Arc::downgrade(&environment.shared);
        let task = async move {
            let result = Guarded::new(async {
                run.await;
                Ok(())
            });
            if let Err(failure) = result.await {
                tracing::error!("the pacing of audio sources has failed: {failure}");
            }
        };
        BACKEND.spawn(log::task_within(shared, Box::pin(task)))?;
    }
    let source = Rc::new(AudioSource {
        id,
        source: RefCell::new(Some(source)),
        bell,
        environment: environment.weak(),
    });
    environment.handles.add(js, Key::new(Kind::AudioSource, id));
    let object = environment.adopt(js, &CLASS, id, source)?;
    js.put(object, c"id", id)?;
    Ok(object)
}

impl AudioSource {
    fn of(call: &Call) -> Result<&Self, Failure> {
        Object::receiver(call, "an audio source")
    }

    fn open(&self) -> Result<Arc<PacedSource>, Failure> {
        self.source.borrow().clone().ok_or_else(|| Failure::closed("the audio source is closed"))
    }
}

impl Owned for AudioSource {
    /// Drops what waits. Idempotent.
    fn close(&self) {
        if self.source.borrow_mut().take().is_none() {
            return;
        }
        if let Some(environment) = self.environment.upgrade() {
            environment.forget(self.id);
            environment.handles.remove(Key::new(Kind::AudioSource, self.id));
        }
    }

    fn poll_events(&self, tell: &mut dyn FnMut(Event)) {
        self.bell.answered();
        tell(Event::AudioProgress);
    }
}

/// Takes samples in the machine's byte order, as many as fit. Returns how many bytes it took.
fn capture(call: &Call) -> Result<usize, Failure> {
    let source = AudioSource::of(call)?.open()?;
    let bytes = call.argument(0, "samples").bytes()?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let samples: Vec<i16> = pairs.iter().map(|&pair| i16::from_ne_bytes(pair)).collect();
    Ok(2 * source.capture(&samples))
}

fn queued_ms(call: &Call) -> Result<f64, Failure> {
    let source = AudioSource::of(call)?;
    let queued = source.source.borrow().as_ref().map(|source| source.queued());
    Ok(queued.unwrap_or_default().as_secs_f64() * 1_000.0)
}

fn clear(call: &Call) -> Result<(), Failure> {
    if let Ok(source) = AudioSource::of(call)?.open() {
        source.clear();
    }
    Ok(())
}

fn watch_empty(call: &Call) -> Result<bool, Failure> {
    let source = AudioSource::of(call)?;
    let empty = source.source.borrow().as_ref().is_none_or(|source| source.watch_empty());
    Ok(empty)
}

fn close(call: &Call) -> Result<(), Failure> {
    AudioSource::of(call)?.close();
    Ok(())
}

/// Adds a track that sends what a source has: `NativeAudioPublication` in `src/native/native.ts`.
pub(crate) fn publish(
    environment: &Environment,
    speaking: &Speaking,
    link: &Arc<Link>,
    options: Argument<'_>,
) -> Result<(), Failure> {
    let options = options.object()?;
    let text = |name| options.field(name).and_then(Argument::string);
    let flag = |name| options.field(name).and_then(Argument::boolean);
    let id = options.field(c"source")?.u32()?;
    let owned = environment.owned(id).ok_or_else(|| Failure::closed("the audio source is closed"))?;
    let owned: &dyn std::any::Any = &*owned;
    let source = owned
        .downcast_ref::<AudioSource>()
        .ok_or_else(|| Failure::wrong_type("options.source must be an audio source's number"))?
        .open()?;
    let encoder = EncoderOptions {
        bitrate: options.field(c"bitrate")?.u32()?,
        dtx: flag(c"dtx")?,
        mono: flag(c"mono")?,
    };
    let (rate, channels) = source.form();
    let encoder = OpusEncoder::new(rate, channels, encoder)
        .ok_or_else(|| Failure::out_of_range("options.bitrate must be from 6000 to 510000"))?;
    let encrypted = flag(c"encrypted")?;
    let track = Sending {
        cid: text(c"cid")?.into(),
        stream: text(c"stream")?.into(),
        red: flag(c"red")? && !encrypted,
    };
    let sealer = encrypted.then(|| Box::new(LinkSealer::new(Arc::clone(link))) as Box<dyn Sealer>);
    speaking.add(track, &source, Box::new(encoder), sealer, flag(c"muted")?);
    Ok(())
}

/// `NativeSenderStats` in `src/native/native.ts`.
impl IntoJs for SenderStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"units", self.voice.units)?;
        js.put(object, c"packetsSent", self.sent)?;
        js.put(object, c"packetsDropped", self.dropped)?;
        js.put(object, c"packetsQueued", self.waiting)?;
        js.put(object, c"unitsWithheld", self.voice.withheld)?;
        js.put(object, c"unitsMuted", self.voice.muted)?;
        js.put(object, c"unitsFailed", self.voice.failed)?;
        js.put(object, c"bytesSent", self.sent_bytes)?;
        Ok(object)
    }
}
