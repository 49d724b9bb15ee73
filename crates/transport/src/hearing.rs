//! The readers of a participant's audio tracks. They outlive the connections: a rebuilt connection goes on to fill them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use datatrack_media::{Decoder, Packet, Sink, SinkOptions, SinkStats};

use crate::link::lock;

/// The owner of a reader. The call may come from any thread and must return quickly.
pub trait ReaderHost: Send + Sync + 'static {
    /// [`Reader::read`] has found nothing, and there is a frame now. It is called once for each such read.
    fn frames_ready(&self);
}

/// One reader of one track.
pub struct Reader {
    track: Box<str>,
    sink: Mutex<Sink>,
    host: Arc<dyn ReaderHost>,
    waiting: AtomicBool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("track", &self.track).finish_non_exhaustive()
    }
}

impl Reader {
    /// The oldest frames, at most `most` of them, one behind the other. If there are none, the host is told of the next
    /// one.
    #[must_use]
    pub fn read(&self, most: usize) -> Vec<i16> {
        let mut sink = lock(&self.sink);
        let mut samples = Vec::new();
        for _ in 0..most {
            let Some(frame) = sink.read() else { break };
            samples.extend_from_slice(&frame);
        }
        if samples.is_empty() {
            self.waiting.store(true, Ordering::Release);
        }
        samples
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> SinkStats {
        lock(&self.sink).stats()
    }

    fn with(&self, body: impl FnOnce(&mut Sink)) {
        let has_frames = {
            let mut sink = lock(&self.sink);
            body(&mut sink);
            sink.has_frames()
        };
        if has_frames && self.waiting.swap(false, Ordering::AcqRel) {
            self.host.frames_ready();
        }
    }
}

/// The readers. See the [module](self).
#[derive(Debug, Default)]
pub struct Hearing {
    readers: Mutex<Vec<Weak<Reader>>>,
}

impl Hearing {
    /// Opens a reader of the track with that SID. It ends when it is dropped. The caller has to wake the connection's
    /// task: silence begins now.
    #[must_use]
    pub fn open(
        &self,
        track: &str,
        options: SinkOptions,
        decoder: Box<dyn Decoder>,
        host: Arc<dyn ReaderHost>,
    ) -> Arc<Reader> {
        let sink = Mutex::new(Sink::new(options, decoder, Instant::now()));
        let reader = Arc::new(Reader { track: track.into(), sink, host, waiting: AtomicBool::new(false) });
        lock(&self.readers).push(Arc::downgrade(&reader));
        reader
    }

    /// A packet of a track arrived.
    pub(crate) fn handle_packet(&self, track: &str, packet: &Packet, now: Instant) {
        self.each(|reader| {
            if &*reader.track == track {
                reader.with(|sink| sink.handle_packet(packet.clone(), now));
            }
        });
    }

    /// The packets of a track that come next are another stream's.
    pub(crate) fn handle_restart(&self, track: &str) {
        self.each(|reader| {
            if &*reader.track == track {
                reader.with(Sink::restart);
            }
        });
    }

    /// Does what is due, for all readers.
    pub(crate) fn handle_timeouts(&self, now: Instant) {
        self.each(|reader| {
            reader.with(|sink| {
                if sink.poll_timeout() <= now {
                    sink.handle_timeout(now);
                }
            });
        });
    }

    /// When [`handle_timeouts`](Self::handle_timeouts) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut first: Option<Instant> = None;
        self.each(|reader| {
            let due = lock(&reader.sink).poll_timeout();
            first = Some(first.map_or(due, |first| first.min(due)));
        });
        first
    }

    fn each(&self, mut body: impl FnMut(&Reader)) {
        lock(&self.readers).retain(|reader| {
            let reader = reader.upgrade();
            if let Some(reader) = &reader {
                body(reader);
            }
            reader.is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use datatrack_media::DecodeError;

    use super::*;

    struct Mute;

    impl Decoder for Mute {
        fn decode(&mut self, _payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
            pcm.resize(pcm.len() + 960, 0);
            Ok(960)
        }

        fn repair(&mut self, _next: &[u8], _ticks: u32, _pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            Err(DecodeError)
        }

        fn conceal(&mut self, _ticks: u32, _pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            Err(DecodeError)
        }

        fn reset(&mut self) {}
    }

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl ReaderHost for Rings {
        fn frames_ready(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const OPTIONS: SinkOptions = SinkOptions { sample_rate: 48_000, channels: 1, frame: 480 };

    fn packet(sequence: u64) -> Packet {
        Packet { sequence, time: sequence * 960, payload: Arc::from([1u8]) }
    }

    #[test]
    fn a_packet_reaches_the_readers_of_its_track_and_rings_once_for_a_read() {
        let (hearing, rings) = (Hearing::default(), Arc::new(Rings::default()));
        let open = |track| hearing.open(track, OPTIONS, Box::new(Mute), Arc::clone(&rings) as _);
        let (one, other) = (open("TR_1"), open("TR_2"));
        let now = Instant::now();
        hearing.handle_packet("TR_1", &packet(1), now);
        // Without a read, there is nothing to ring for.
        assert_eq!(rings.0.load(Ordering::Relaxed), 0);
        assert_eq!((one.read(10).len(), other.read(10).len()), (960, 0));
        assert_eq!(one.read(10).len(), 0);
        for sequence in 2..5 {
            hearing.handle_packet("TR_1", &packet(sequence), now);
        }
        assert_eq!(rings.0.load(Ordering::Relaxed), 1);
        assert_eq!((one.read(1).len(), one.stats().queued), (480, 5));
    }

    #[test]
    fn a_reader_that_is_dropped_costs_nothing_more() {
        let hearing = Hearing::default();
        let reader = hearing.open("TR_1", OPTIONS, Box::new(Mute), Arc::new(Rings::default()));
        assert!(hearing.poll_timeout().is_some());
        drop(reader);
        assert_eq!(hearing.poll_timeout(), None);
        assert_eq!(lock(&hearing.readers).len(), 0);
    }
}
