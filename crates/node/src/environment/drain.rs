//! Frames out: into a slab that JavaScript lends, with a row of numbers for each.
//!
//! Under the subscriber's lock frames are only taken; they are copied after it. What is larger than [`LARGE_FRAME`] is
//! kept for `fillLarge`, so that holding one small frame never pins megabytes, nor one large frame a whole slab.

use std::cell::RefCell;
use std::collections::VecDeque;

use datatrack::Instant;
use datatrack::Payload;
use datatrack::e2ee::IV_LEN;
use datatrack::packet::E2eeExtension;
use datatrack::subscriber::{Frame, StreamId, Subscriber};

use crate::environment::Environment;
use crate::js::error::Failure;
use crate::js::{Call, Columns};

/// Frames above this, in bytes, get a buffer of their own; `LARGE_FRAME` in `src/native/native.ts`.
const LARGE_FRAME: usize = 16_384;

/// `Row.Columns` in `src/native/native.ts`.
const COLUMNS: usize = 8;

/// `RowFlag` in `src/native/native.ts`.
const HAS_USER_TIMESTAMP: u32 = 1;
const LARGE: u32 = 2;
const SEALED: u32 = 4;
const LATCHED: u32 = 8;

/// A large frame that JavaScript has a row of and will fetch.
struct LargeFrame {
    payload: Payload,
    iv: Option<[u8; IV_LEN]>,
}

/// A frame with its place.
struct Taken {
    stream: StreamId,
    frame: Frame,
    /// Where it goes in the slab; `None`: it is large.
    offset: Option<usize>,
    age: u32,
}

/// What one call has space for.
struct Space {
    slab: usize,
    offset: usize,
    rows: usize,
}

impl Space {
    fn new(columns: &Columns<'_>, offset: u32) -> Result<Self, Failure> {
        let slab = columns.bytes.len();
        // If some frame never fits in the slab, JavaScript would call the drain without end.
        if slab < LARGE_FRAME + IV_LEN {
            let min = LARGE_FRAME + IV_LEN;
            return Err(Failure::out_of_range(format!("slab must have at least {min} bytes, not {slab}")));
        }
        if offset as usize > slab {
            return Err(Failure::out_of_range(format!("offset must be from 0 to {slab}, not {offset}")));
        }
        Ok(Self { slab, offset: offset as usize, rows: columns.rows.len() / COLUMNS })
    }

    /// Whether a frame of so many bytes has space.
    fn admits(&self, len: usize) -> bool {
        self.rows > 0 && (len > LARGE_FRAME || self.offset.next_multiple_of(8) + len + IV_LEN <= self.slab)
    }

    /// Takes the space that a frame needs.
    fn place(&mut self, frame: &Frame) -> Option<usize> {
        self.rows -= 1;
        let len = frame.payload.len();
        if len > LARGE_FRAME {
            return None;
        }
        let offset = self.offset.next_multiple_of(8);
        self.offset = offset + len + if frame.sealed.is_some() { IV_LEN } else { 0 };
        Some(offset)
    }
}

/// Copies payload and IV; `false` if there is no space.
fn copy(payload: &Payload, iv: Option<[u8; IV_LEN]>, target: &mut [u8]) -> bool {
    let Some(len) = payload.copy_to(target) else { return false };
    let Some(iv) = iv else { return true };
    match target.get_mut(len..len + IV_LEN) {
        Some(place) => {
            place.copy_from_slice(&iv);
            true
        }
        None => false,
    }
}

/// What is kept from drain to drain.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Large frames that wait to be fetched.
    large: RefCell<VecDeque<LargeFrame>>,
    /// Memory for the list of frames between lock and copy.
    taken: RefCell<Vec<Taken>>,
}

/// One call that moves frames to JavaScript: the memory it was lent, and the frames taken so far.
pub(crate) struct Drain<'a> {
    columns: Columns<'a>,
    space: Space,
    taken: Vec<Taken>,
}

impl<'a> Drain<'a> {
    /// With the slab, the offset and the rows that stand in the arguments from `first` on.
    pub(crate) fn begin(call: &'a Call, first: usize, buffers: &Buffers) -> Result<Self, Failure> {
        let slab = call.argument(first, "slab");
        let offset = call.argument(first + 1, "offset").u32()?;
        let columns = Columns::borrow(call.js(), slab, call.argument(first + 2, "rows"))?;
        let space = Space::new(&columns, offset)?;
        Ok(Self { columns, space, taken: buffers.taken.take() })
    }

    /// Takes at most `limit` frames of a stream; answers how many.
    pub(crate) fn take(
        &mut self,
        subscriber: &mut Subscriber,
        stream: StreamId,
        limit: usize,
        now: Instant,
    ) -> usize {
        let before = self.taken.len();
        while self.taken.len() - before < limit
            && subscriber.next_frame_len(stream, now).is_some_and(|len| self.space.admits(len))
        {
            let Some(frame) = subscriber.read_frame(stream) else { break };
            let offset = self.space.place(&frame);
            let age = now.saturating_duration_since(frame.completed_at).as_micros();
            let age = u32::try_from(age).unwrap_or(u32::MAX);
            self.taken.push(Taken { stream, frame, offset, age });
        }
        self.taken.len() - before
    }

    /// Copies what was taken, and makes its rows; returns how many.
    pub(crate) fn finish(self, buffers: &Buffers) -> u32 {
        let Self { columns, mut taken, .. } = self;
        let mut large = buffers.large.borrow_mut();
        // What was not fetched before this call is not fetched at all.
        large.clear();
        let mut count = 0;
        let (rows, _) = columns.rows.as_chunks_mut::<COLUMNS>();
        for (Taken { stream, frame, offset, age }, row) in taken.drain(..).zip(rows) {
            count += 1;
            let timestamp = frame.user_timestamp.unwrap_or_default();
            let mut flags = u32::from(frame.number) << 16;
            if frame.user_timestamp.is_some() {
                flags |= HAS_USER_TIMESTAMP;
            }
            if let Some(E2eeExtension { key_index, .. }) = frame.sealed {
                flags |= SEALED | u32::from(key_index) << 8;
            }
            if offset.is_none() {
                flags |= LARGE;
            }
            if frame.latched {
                flags |= LATCHED;
            }
            // All below are halves of a word, or within the slab and so within 32 bits.
            #[allow(clippy::cast_possible_truncation)]
            {
                *row = [
                    stream.0,
                    offset.unwrap_or_default() as u32,
                    frame.payload.len() as u32,
                    flags,
                    timestamp as u32,
                    (timestamp >> 32) as u32,
                    frame.timestamp,
                    age,
                ];
            }
            let iv = frame.sealed.map(|extension| extension.iv);
            match offset {
                Some(offset) => {
                    if let Some(place) = columns.bytes.get_mut(offset..) {
                        copy(&frame.payload, iv, place);
                    }
                }
                None => large.push_back(LargeFrame { payload: frame.payload, iv }),
            }
        }
        // Its memory serves the next drain.
        buffers.taken.replace(taken);
        count
    }
}

/// A frame of each stream with demand.
///
/// It is one frame because the stream waits for one. The others stay where the stream's policy can drop them, and come
/// by `readStream`.
pub(crate) fn drain(call: &Call) -> Result<u32, Failure> {
    let environment = Environment::of(call)?;
    let mut drain = Drain::begin(call, 0, &environment.buffers)?;
    while drain.space.rows > 0
        && let Some(id) = environment.shared.frames.pop()
    {
        if environment.owned(id).is_some_and(|owned| owned.drain(&mut drain)) {
            break;
        }
    }
    Ok(drain.finish(&environment.buffers))
}

/// The next large frame.
pub(crate) fn fill_large(call: &Call) -> Result<(), Failure> {
    let environment = Environment::of(call)?;
    let argument = call.argument(0, "target");
    let target = argument.bytes_mut(call.js())?;
    let mut large = environment.buffers.large.borrow_mut();
    let Some(frame) = large.front() else {
        return Err(Failure::closed("there is no large frame to fetch"));
    };
    let expected = frame.payload.len() + frame.iv.map_or(0, |iv| iv.len());
    if target.len() != expected || !copy(&frame.payload, frame.iv, target) {
        let actual = target.len();
        return Err(Failure::out_of_range(format!("{argument} must have {expected} bytes, not {actual}")));
    }
    large.pop_front();
    Ok(())
}
