//! The readers of a participant's audio tracks. They outlive the connections: a rebuilt connection goes on to fill them.

use std::collections::{BTreeSet, HashMap};
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
    track: Arc<str>,
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

    /// Returns the sink's deadline afterwards.
    fn with(&self, body: impl FnOnce(&mut Sink)) -> Instant {
        let (has_frames, due) = {
            let mut sink = lock(&self.sink);
            body(&mut sink);
            (sink.has_frames(), sink.poll_timeout())
        };
        if has_frames && self.waiting.swap(false, Ordering::AcqRel) {
            self.host.frames_ready();
        }
        due
    }
}

/// The readers. See the [module](self).
///
/// A packet costs as much with a hundred tracks as with one: it visits the readers of its track, and those whose time
/// has come.
#[derive(Debug, Default)]
pub struct Hearing {
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    all: HashMap<u64, Entry>,
    by_track: HashMap<Arc<str>, Vec<u64>>,
    /// When to look at each reader. If a reader's deadline moves away, its place in the list stays: a new place for each
    /// packet would cost more than a look that comes too early.
    due: BTreeSet<(Instant, u64)>,
    next: u64,
    #[cfg(test)]
    visits: u64,
}

#[derive(Debug)]
struct Entry {
    track: Arc<str>,
    reader: Weak<Reader>,
    /// Its place in the list of deadlines.
    due: Option<Instant>,
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
        let track: Arc<str> = track.into();
        let sink = Mutex::new(Sink::new(options, decoder, Instant::now()));
        let reader =
            Arc::new(Reader { track: Arc::clone(&track), sink, host, waiting: AtomicBool::new(false) });
        lock(&self.readers).add(track, &reader);
        reader
    }

    /// A packet of a track arrived.
    pub(crate) fn handle_packet(&self, track: &str, packet: &Packet, now: Instant) {
        lock(&self.readers).of_track(track, |sink| sink.handle_packet(packet.clone(), now));
    }

    /// The packets of a track that come next are another stream's.
    pub(crate) fn handle_restart(&self, track: &str) {
        lock(&self.readers).of_track(track, Sink::restart);
    }

    /// Does what is due, for all readers.
    pub(crate) fn handle_timeouts(&self, now: Instant) {
        lock(&self.readers).handle_timeouts(now);
    }

    /// When [`handle_timeouts`](Self::handle_timeouts) is due. There may be nothing to do then.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.readers).poll_timeout()
    }
}

impl Readers {
    fn add(&mut self, track: Arc<str>, reader: &Arc<Reader>) {
        // Without a connection, nothing else notices that readers have ended.
        self.of_track(&track, |_| {});
        let id = self.next;
        self.next += 1;
        let due = lock(&reader.sink).poll_timeout();
        let entry = Entry { track: Arc::clone(&track), reader: Arc::downgrade(reader), due: Some(due) };
        self.all.insert(id, entry);
        self.due.insert((due, id));
        self.by_track.entry(track).or_default().push(id);
    }

    fn of_track(&mut self, track: &str, mut body: impl FnMut(&mut Sink)) {
        let Some(listed) = self.by_track.get_mut(track) else { return };
        let ids = std::mem::take(listed);
        let ended: Vec<u64> = ids.iter().copied().filter(|&id| !self.visit(id, &mut body)).collect();
        if let Some(listed) = self.by_track.get_mut(track) {
            *listed = ids;
        }
        for id in ended {
            self.remove(id);
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if let Some(entry) = self.all.get_mut(&id) {
                entry.due = None;
                due.push(id);
            }
        }
        for id in due {
            let visited = self.visit(id, &mut |sink| {
                if sink.poll_timeout() <= now {
                    sink.handle_timeout(now);
                }
            });
            if !visited {
                self.remove(id);
            }
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        while let Some(&(due, id)) = self.due.first() {
            if self.all.get(&id).is_some_and(|entry| entry.reader.strong_count() > 0) {
                return Some(due);
            }
            self.remove(id);
        }
        None
    }

    /// Returns whether the reader is there. One that has ended is to be removed.
    fn visit(&mut self, id: u64, body: &mut dyn FnMut(&mut Sink)) -> bool {
        #[cfg(test)]
        {
            self.visits += 1;
        }
        let Some(entry) = self.all.get_mut(&id) else { return false };
        let Some(reader) = entry.reader.upgrade() else { return false };
        let due = reader.with(body);
        if entry.due.is_none_or(|listed| due < listed) {
            if let Some(listed) = entry.due.replace(due) {
                self.due.remove(&(listed, id));
            }
            self.due.insert((due, id));
        }
        true
    }

    fn remove(&mut self, id: u64) {
        let Some(Entry { track, due, .. }) = self.all.remove(&id) else { return };
        if let Some(due) = due {
            self.due.remove(&(due, id));
        }
        if let Some(ids) = self.by_track.get_mut(&track) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_track.remove(&track);
            }
        }
    }

    #[cfg(test)]
    fn kept(&self) -> [usize; 3] {
        [self.all.len(), self.due.len(), self.by_track.values().map(Vec::len).sum()]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

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
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
        // Also without a connection, whose task asks for the deadline, and at a packet.
        for _ in 0..100 {
            drop(hearing.open("TR_1", OPTIONS, Box::new(Mute), Arc::new(Rings::default())));
        }
        assert_eq!(lock(&hearing.readers).kept(), [1; 3]);
        hearing.handle_packet("TR_1", &packet(1), Instant::now());
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
        drop(hearing.open("TR_1", OPTIONS, Box::new(Mute), Arc::new(Rings::default())));
        hearing.handle_timeouts(Instant::now() + Duration::from_secs(1));
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
    }

    #[test]
    fn a_packet_costs_as_much_with_a_hundred_tracks_as_with_one() {
        let costs = [1, 100].map(|tracks| {
            let (hearing, rings) = (Hearing::default(), Arc::new(Rings::default()));
            let readers: Vec<_> = (0..tracks)
                .map(|track| {
                    hearing.open(&format!("TR_{track}"), OPTIONS, Box::new(Mute), Arc::clone(&rings) as _)
                })
                .collect();
            let mut now = Instant::now();
            for sequence in 0..500 {
                for track in 0..tracks {
                    hearing.handle_packet(&format!("TR_{track}"), &packet(sequence), now);
                    hearing.handle_timeouts(now);
                    assert!(hearing.poll_timeout().is_some_and(|due| due > now));
                }
                now += Duration::from_millis(20);
            }
            assert!(readers.iter().all(|reader| reader.stats().decoded == 500));
            assert_eq!(readers.iter().map(|reader| reader.stats().samples_silence).sum::<u64>(), 0);
            lock(&hearing.readers).visits / tracks
        });
        // Each packet visits its reader. A quarter as often, a deadline in the list has come.
        assert!(costs.iter().all(|cost| (500..1_000).contains(cost)), "{costs:?}");
    }

    #[test]
    fn a_gap_is_given_up_in_time_and_silence_comes_in_time() {
        let hearing = Hearing::default();
        let reader = hearing.open("TR_1", OPTIONS, Box::new(Mute), Arc::new(Rings::default()));
        let start = Instant::now();
        hearing.handle_packet("TR_1", &packet(1), start);
        // The packet before it is missing. Its reader waits for it for less time than until the silence.
        hearing.handle_packet("TR_1", &packet(3), start);
        let gap = hearing.poll_timeout().unwrap();
        assert!(gap <= start + Duration::from_millis(40));
        hearing.handle_timeouts(gap);
        assert_eq!((reader.stats().lost, reader.stats().decoded), (1, 2));
        let mut now = gap;
        while reader.stats().samples_silence == 0 {
            now = hearing.poll_timeout().unwrap();
            hearing.handle_timeouts(now);
        }
        assert!(now < start + Duration::from_millis(150), "{:?}", now - start);
    }
}
