//! The readers of a participant's audio tracks. They outlive the connections: a rebuilt connection goes on to fill them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use datatrack::e2ee::{OpenOutcome, SealedFrame};
use datatrack_media::{Arrived, Decoder, OPUS_HEAD, Packet, Sink, SinkOptions, SinkStats, read_frame};

use crate::link::lock;

/// The owner of a reader. The call may come from any thread and must return quickly.
pub trait ReaderHost: Send + Sync + 'static {
    /// [`Reader::read`] has found nothing, and there is a frame now. It is called once for each such read.
    fn frames_ready(&self);
}

/// Opens frames of encrypted tracks: a [`Link`](crate::Link), whose subscriber has the keys.
pub trait FrameOpener: Send + Sync + 'static {
    /// Opens a frame of a participant, and tells if it cannot be opened.
    fn open_media(&self, sender: &Arc<str>, frame: SealedFrame<'_>) -> OpenOutcome;
    /// A frame that had to be sealed is not.
    fn refuse_media(&self, sender: &Arc<str>);
}

/// How the frames of an encrypted track are opened.
#[derive(Clone)]
pub struct Sealing {
    /// The identity of the participant who publishes the track.
    pub sender: Arc<str>,
    /// Who has the keys.
    pub opener: Arc<dyn FrameOpener>,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("sender", &self.sender).finish_non_exhaustive()
    }
}

impl Sealing {
    /// The frame as it was before it was sealed.
    fn open(&self, frame: &[u8], trailer: &[u8]) -> Opening {
        let sealed = match read_frame(frame, OPUS_HEAD, trailer) {
            Arrived::Plain(frame) => return Opening::Opened(frame.into()),
            Arrived::Refused => {
                self.opener.refuse_media(&self.sender);
                return Opening::Failed;
            }
            Arrived::Sealed(sealed) => sealed,
        };
        match self.opener.open_media(&self.sender, sealed.parts()) {
            OpenOutcome::Opened(payload) => Opening::Opened(sealed.with(&payload).into()),
            OpenOutcome::Wait => Opening::Wait,
            OpenOutcome::NoKey | OpenOutcome::Failed | OpenOutcome::InvalidKey => Opening::Failed,
        }
    }
}

enum Opening {
    Opened(Arc<[u8]>),
    /// The key is being derived.
    Wait,
    Failed,
}

/// Packets of a track that wait for their key: half a second. A key is derived within some 30 ms.
pub const MAX_SEALED_PACKETS: usize = 25;

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
    by_track: HashMap<Arc<str>, Track>,
    /// When to look at each reader. If a reader's deadline moves away, its place in the list stays: a new place for each
    /// packet would cost more than a look that comes too early.
    due: BTreeSet<(Instant, u64)>,
    next: u64,
    /// The end of the server's own frames in encrypted tracks.
    trailer: Box<[u8]>,
    #[cfg(test)]
    visits: u64,
}

#[derive(Debug, Default)]
struct Track {
    readers: Vec<u64>,
    /// `None`: the track is not encrypted.
    sealing: Option<Sealing>,
    /// Packets that wait for their key.
    waiting: VecDeque<Packet>,
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
    ///
    /// With `sealing`, only what opens is heard. Without, the packets are taken as they are.
    #[must_use]
    pub fn open(
        &self,
        track: &str,
        sealing: Option<Sealing>,
        options: SinkOptions,
        decoder: Box<dyn Decoder>,
        host: Arc<dyn ReaderHost>,
    ) -> Arc<Reader> {
        let track: Arc<str> = track.into();
        let sink = Mutex::new(Sink::new(options, decoder, Instant::now()));
        let reader =
            Arc::new(Reader { track: Arc::clone(&track), sink, host, waiting: AtomicBool::new(false) });
        lock(&self.readers).add(track, sealing, &reader);
        reader
    }

    /// Sets how the server's own frames end in encrypted tracks. An empty text: there are none.
    pub fn set_server_trailer(&self, trailer: &[u8]) {
        lock(&self.readers).trailer = trailer.into();
    }

    /// A packet of a track arrived.
    pub(crate) fn handle_packet(&self, track: &str, packet: &Packet, now: Instant) {
        lock(&self.readers).handle_packet(track, packet, now);
    }

    /// The packets of a track that come next are another stream's.
    pub(crate) fn handle_restart(&self, track: &str) {
        lock(&self.readers).handle_restart(track);
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
    fn add(&mut self, track: Arc<str>, sealing: Option<Sealing>, reader: &Arc<Reader>) {
        // Without a connection, nothing else notices that readers have ended.
        self.of_track(&track, |_| {});
        let id = self.next;
        self.next += 1;
        let due = lock(&reader.sink).poll_timeout();
        let entry = Entry { track: Arc::clone(&track), reader: Arc::downgrade(reader), due: Some(due) };
        self.all.insert(id, entry);
        self.due.insert((due, id));
        let track = self.by_track.entry(track).or_default();
        track.readers.push(id);
        track.sealing = sealing;
    }

    fn handle_packet(&mut self, track: &str, packet: &Packet, now: Instant) {
        let Some(Track { sealing, waiting, .. }) = self.by_track.get_mut(track) else { return };
        let Some(sealing) = sealing.clone() else {
            return self.of_track(track, |sink| sink.handle_packet(packet.clone(), now));
        };
        let mut waiting = std::mem::take(waiting);
        waiting.push_back(packet.clone());
        while let Some(first) = waiting.front() {
            match sealing.open(&first.payload, &self.trailer) {
                Opening::Opened(payload) => {
                    let opened = Packet { payload, ..first.clone() };
                    self.of_track(track, |sink| sink.handle_packet(opened.clone(), now));
                }
                Opening::Wait if waiting.len() <= MAX_SEALED_PACKETS => break,
                Opening::Wait | Opening::Failed => self.of_track(track, Sink::handle_undecryptable),
            }
            waiting.pop_front();
        }
        if let Some(track) = self.by_track.get_mut(track) {
            track.waiting = waiting;
        }
    }

    fn handle_restart(&mut self, track: &str) {
        let Some(Track { waiting, .. }) = self.by_track.get_mut(track) else { return };
        for _ in std::mem::take(waiting) {
            self.of_track(track, Sink::handle_undecryptable);
        }
        self.of_track(track, Sink::restart);
    }

    fn of_track(&mut self, track: &str, mut body: impl FnMut(&mut Sink)) {
        let Some(Track { readers, .. }) = self.by_track.get_mut(track) else { return };
        let ids = std::mem::take(readers);
        let ended: Vec<u64> = ids.iter().copied().filter(|&id| !self.visit(id, &mut body)).collect();
        if let Some(Track { readers, .. }) = self.by_track.get_mut(track) {
            *readers = ids;
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
        if let Some(Track { readers, .. }) = self.by_track.get_mut(&track) {
            readers.retain(|&other| other != id);
            if readers.is_empty() {
                self.by_track.remove(&track);
            }
        }
    }

    #[cfg(test)]
    fn kept(&self) -> [usize; 3] {
        [self.all.len(), self.due.len(), self.by_track.values().map(|track| track.readers.len()).sum()]
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
        Packet { sequence, time: sequence * 960, payload: Arc::from([1u8]), repaired: false }
    }

    #[test]
    fn a_packet_reaches_the_readers_of_its_track_and_rings_once_for_a_read() {
        let (hearing, rings) = (Hearing::default(), Arc::new(Rings::default()));
        let open = |track| hearing.open(track, None, OPTIONS, Box::new(Mute), Arc::clone(&rings) as _);
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
        let reader = hearing.open("TR_1", None, OPTIONS, Box::new(Mute), Arc::new(Rings::default()));
        assert!(hearing.poll_timeout().is_some());
        drop(reader);
        assert_eq!(hearing.poll_timeout(), None);
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
        // Also without a connection, whose task asks for the deadline, and at a packet.
        for _ in 0..100 {
            drop(hearing.open("TR_1", None, OPTIONS, Box::new(Mute), Arc::new(Rings::default())));
        }
        assert_eq!(lock(&hearing.readers).kept(), [1; 3]);
        hearing.handle_packet("TR_1", &packet(1), Instant::now());
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
        drop(hearing.open("TR_1", None, OPTIONS, Box::new(Mute), Arc::new(Rings::default())));
        hearing.handle_timeouts(Instant::now() + Duration::from_secs(1));
        assert_eq!(lock(&hearing.readers).kept(), [0; 3]);
    }

    #[test]
    fn a_packet_costs_as_much_with_a_hundred_tracks_as_with_one() {
        let costs = [1, 100].map(|tracks| {
            let (hearing, rings) = (Hearing::default(), Arc::new(Rings::default()));
            let readers: Vec<_> = (0..tracks)
                .map(|track| {
                    hearing.open(
                        &format!("TR_{track}"),
                        None,
                        OPTIONS,
                        Box::new(Mute),
                        Arc::clone(&rings) as _,
                    )
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
        let reader = hearing.open("TR_1", None, OPTIONS, Box::new(Mute), Arc::new(Rings::default()));
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

    /// Opens what was sealed with the key of an index that is there, and waits for the next index.
    #[derive(Default)]
    struct Keys {
        keys: AtomicUsize,
        refused: AtomicUsize,
    }

    impl FrameOpener for Keys {
        fn open_media(&self, sender: &Arc<str>, frame: SealedFrame<'_>) -> OpenOutcome {
            assert_eq!(&**sender, "alice");
            match usize::from(frame.key_index).checked_sub(self.keys.load(Ordering::Relaxed)) {
                None => OpenOutcome::Opened(bytes::Bytes::from_static(b"opened")),
                Some(0) => OpenOutcome::Wait,
                Some(_) => OpenOutcome::NoKey,
            }
        }

        fn refuse_media(&self, _sender: &Arc<str>) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A decoder that takes only what the [`Keys`] have opened.
    struct Picky;

    impl Decoder for Picky {
        fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
            if payload == b"\x78opened" { Mute.decode(payload, pcm) } else { Err(DecodeError) }
        }

        fn repair(&mut self, _next: &[u8], _ticks: u32, _pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            Err(DecodeError)
        }

        fn conceal(&mut self, _ticks: u32, _pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            Err(DecodeError)
        }

        fn reset(&mut self) {}
    }

    fn sealed(sequence: u64, key_index: u8) -> Packet {
        let payload = [&b"\x78"[..], &[0; 30], &[12, key_index]].concat();
        Packet { payload: payload.into(), ..packet(sequence) }
    }

    /// What became of the packets: received, decoded, undecryptable, invalid.
    fn counts(reader: &Reader) -> [u64; 4] {
        let stats = reader.stats();
        [stats.received, stats.decoded, stats.undecryptable, stats.invalid]
    }

    fn encrypted() -> (Hearing, Arc<Keys>, Arc<Reader>) {
        let (hearing, keys) = (Hearing::default(), Arc::new(Keys::default()));
        keys.keys.store(1, Ordering::Relaxed);
        let sealing = Sealing { sender: "alice".into(), opener: Arc::clone(&keys) as _ };
        let reader =
            hearing.open("TR_1", Some(sealing), OPTIONS, Box::new(Picky), Arc::new(Rings::default()));
        (hearing, keys, reader)
    }

    #[test]
    fn of_an_encrypted_track_only_what_opens_reaches_the_decoder() {
        let (hearing, keys, reader) = encrypted();
        let now = Instant::now();
        hearing.handle_packet("TR_1", &sealed(1, 0), now);
        assert_eq!(counts(&reader), [1, 1, 0, 0]);
        // A frame that is not sealed, one whose key is missing, and sound of the server.
        hearing.set_server_trailer(b"trailer");
        hearing.handle_packet("TR_1", &packet(2), now);
        hearing.handle_packet("TR_1", &sealed(3, 9), now);
        hearing.handle_packet("TR_1", &Packet { payload: Arc::from(*b"\x78opentrailer"), ..packet(4) }, now);
        assert_eq!(counts(&reader), [4, 1, 3, 0]);
        assert_eq!(keys.refused.load(Ordering::Relaxed), 2);
        // Silence of the server reaches the decoder; this one does not understand it.
        hearing.handle_packet(
            "TR_1",
            &Packet { payload: Arc::from(*b"\xf8\xff\xfetrailer"), ..packet(2) },
            now,
        );
        assert_eq!(counts(&reader), [5, 1, 3, 1]);
    }

    #[test]
    fn packets_wait_for_their_key_in_order_and_not_for_ever() {
        let (hearing, keys, reader) = encrypted();
        let now = Instant::now();
        for sequence in 1..=5 {
            hearing.handle_packet("TR_1", &sealed(sequence, 1), now);
        }
        assert_eq!(counts(&reader), [0; 4]);
        keys.keys.store(2, Ordering::Relaxed);
        hearing.handle_packet("TR_1", &sealed(6, 1), now);
        assert_eq!((counts(&reader), reader.stats().lost), ([6, 6, 0, 0], 0));
        let many = MAX_SEALED_PACKETS as u64 + 10;
        for sequence in 7..7 + many {
            hearing.handle_packet("TR_1", &sealed(sequence, 2), now);
        }
        assert_eq!(counts(&reader), [16, 6, 10, 0]);
        hearing.handle_restart("TR_1");
        assert_eq!(counts(&reader), [6 + many, 6, many, 0]);
    }
}
