//! The audio tracks that participants publish: sources, which programs fill, and voices, which send what is in them.
//!
//! One task, the [`Pacer`]'s, hands the sound of all sources to their voices when it is due, and encodes it. It is not
//! the task of a connection, so encoding does not delay data. A source is paced whether it is published or not, so a
//! program that captures does not have to know. Voices outlive the connections: a rebuilt one goes on to send them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use datatrack::e2ee::FrameSealer;
use datatrack_media::{Encoder, Sealer, Source, SourceOptions, Speech, Unit, Voice, VoiceStats};
use tokio::sync::Notify;

use crate::Link;
use crate::connection::WorkSignal;
use crate::link::lock;
use crate::peer::Sending;

/// Packets of a voice that wait for the connection's task, and for the server's answer to the track's section: 200 ms.
/// Then the oldest one is dropped.
pub const MAX_UNSENT: usize = 10;

/// The owner of a source. The call may come from any thread and must return quickly.
pub trait SourceHost: Send + Sync + 'static {
    /// There is room again, after [`PacedSource::capture`] could not take all samples; or nothing waits any more, after
    /// [`PacedSource::watch_empty`]. It is called once for each such call.
    fn progressed(&self);
}

/// A source in the care of a [`Pacer`].
pub struct PacedSource {
    inner: Mutex<Inner>,
    voices: Mutex<Vec<Weak<OutgoingVoice>>>,
    host: Arc<dyn SourceHost>,
    wake: Arc<Notify>,
}

struct Inner {
    source: Source,
    wants_room: bool,
    wants_empty: bool,
    /// Whether a unit was taken from the queue, and its packets do not wait to be sent yet.
    is_encoding: bool,
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.source.is_empty() && !self.is_encoding
    }
}

impl std::fmt::Debug for PacedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacedSource").finish_non_exhaustive()
    }
}

impl PacedSource {
    /// Takes interleaved samples, as many as fit. Returns how many it took. If those are not all, the host is told when
    /// there is room.
    pub fn capture(&self, samples: &[i16]) -> usize {
        let mut inner = lock(&self.inner);
        let before = inner.source.poll_timeout();
        let taken = inner.source.capture(samples, Instant::now());
        inner.wants_room = taken < samples.len();
        let after = inner.source.poll_timeout();
        drop(inner);
        if after < before || before.is_none() {
            self.wake.notify_one();
        }
        taken
    }

    /// How much waits.
    #[must_use]
    pub fn queued(&self) -> Duration {
        lock(&self.inner).source.queued()
    }

    /// Drops what waits.
    pub fn clear(&self) {
        lock(&self.inner).source.clear();
        self.tell();
    }

    /// Whether nothing waits: the voices have made packets of all. If something does, the host is told when nothing does
    /// any more. An application may disconnect then, and its last words must have left.
    #[must_use]
    pub fn watch_empty(&self) -> bool {
        let mut inner = lock(&self.inner);
        let empty = inner.is_empty();
        inner.wants_empty |= !empty;
        empty
    }

    /// The rate of the samples that voices get, and their channels.
    #[must_use]
    pub fn form(&self) -> (u32, u16) {
        let inner = lock(&self.inner);
        (inner.source.codec_rate(), inner.source.options().channels)
    }

    fn tell(&self) {
        let mut inner = lock(&self.inner);
        let empty = inner.is_empty();
        let told = std::mem::take(&mut inner.wants_room) | (empty && std::mem::take(&mut inner.wants_empty));
        drop(inner);
        if told {
            self.host.progressed();
        }
    }

    /// Hands over the next unit, if one is due. Returns whether one was, and when the next one is.
    fn turn(&self, now: Instant) -> (bool, Option<Instant>) {
        let (unit, next) = {
            let mut inner = lock(&self.inner);
            let unit = inner.source.poll(now);
            inner.is_encoding = unit.is_some();
            (unit, inner.source.poll_timeout())
        };
        let Some(unit) = unit else { return (false, next) };
        // Without the lock: encoding takes a while, and an application may wait for it.
        let mut voices = Vec::new();
        lock(&self.voices).retain(|voice| voice.upgrade().map(|voice| voices.push(voice)).is_some());
        for voice in voices {
            voice.speak(&unit);
        }
        lock(&self.inner).is_encoding = false;
        self.tell();
        (true, next)
    }
}

impl Drop for PacedSource {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// What hands the sound of sources over when it is due. See the [module](self).
#[derive(Debug, Default)]
pub struct Pacer {
    sources: Mutex<Paced>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Paced {
    sources: Vec<Weak<PacedSource>>,
    running: bool,
}

impl Pacer {
    /// A source that is paced from now on, until it is dropped. `None`: no conversion from that rate, or no such number
    /// of channels.
    #[must_use]
    pub fn open(&self, options: SourceOptions, host: Arc<dyn SourceHost>) -> Option<Arc<PacedSource>> {
        let source = Source::new(options, Instant::now())?;
        let source = Arc::new(PacedSource {
            inner: Mutex::new(Inner { source, wants_room: false, wants_empty: false, is_encoding: false }),
            voices: Mutex::default(),
            host,
            wake: Arc::clone(&self.wake),
        });
        lock(&self.sources).sources.push(Arc::downgrade(&source));
        Some(source)
    }

    /// Whether [`run`](Self::run) has to be called now, because there are sources again. Asked once for each time.
    #[must_use]
    pub fn must_run(&self) -> bool {
        let mut paced = lock(&self.sources);
        !paced.sources.is_empty() && !std::mem::replace(&mut paced.running, true)
    }

    /// Paces the sources until there are none.
    pub async fn run(self: Arc<Self>) {
        let mut running = Running(Some(self));
        while let Some(pacer) = running.0.clone() {
            let Some(sources) = pacer.alive() else {
                running.0 = None;
                return;
            };
            let mut next = None;
            for source in sources {
                next = earlier(next, hand_over(&source).await);
            }
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pacer.wake.notified() => {}
                () = due => {}
            }
        }
    }

    /// The sources; `None` if there are none, and then the task ends.
    fn alive(&self) -> Option<Vec<Arc<PacedSource>>> {
        let mut paced = lock(&self.sources);
        let mut alive = Vec::new();
        paced.sources.retain(|source| source.upgrade().map(|source| alive.push(source)).is_some());
        paced.running = !alive.is_empty();
        paced.running.then_some(alive)
    }
}

/// If the task ends in another way, by a panic or with its runtime, the next source starts it again.
struct Running(Option<Arc<Pacer>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pacer) = &self.0 {
            lock(&pacer.sources).running = false;
        }
    }
}

/// Hands over what is due of a source. Returns when the next unit is.
async fn hand_over(source: &PacedSource) -> Option<Instant> {
    loop {
        let (some, next) = source.turn(Instant::now());
        if !some {
            return next;
        }
        // Connections on this thread have their turn between two units: encoding one takes a tenth of a ms.
        tokio::task::yield_now().await;
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Encrypts the packets of one track with the keys of a link's publisher.
#[derive(Debug)]
pub struct LinkSealer {
    link: Arc<Link>,
    sealer: FrameSealer,
}

impl LinkSealer {
    /// For one track.
    #[must_use]
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, sealer: FrameSealer::new() }
    }
}

impl Sealer for LinkSealer {
    fn seal(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        self.link.seal_audio(&mut self.sealer, payload).ok()
    }
}

/// The sender of one published track.
#[derive(Debug)]
struct OutgoingVoice {
    track: Sending,
    voice: Mutex<Voice>,
    unsent: Mutex<Unsent>,
    shared: Arc<Outgoing>,
}

/// The packets of a track that wait for the connection's task.
#[derive(Debug, Default)]
struct Unsent {
    packets: VecDeque<Speech>,
    /// Packets that were dropped, and their bytes.
    dropped: u64,
    dropped_bytes: u64,
}

impl Unsent {
    fn push(&mut self, speech: Speech) {
        if self.packets.len() >= MAX_UNSENT {
            self.drop_first();
        }
        self.packets.push_back(speech);
    }

    fn drop_first(&mut self) {
        let Some(dropped) = self.packets.pop_front() else { return };
        self.dropped += 1;
        self.dropped_bytes += dropped.payload.len() as u64;
    }

    fn clear(&mut self) {
        while !self.packets.is_empty() {
            self.drop_first();
        }
    }
}

/// What a published track has counted. The units of the voice are the packets sent, dropped and waiting, and those of
/// which it made no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderStats {
    /// What its voice has made.
    pub voice: VoiceStats,
    /// Packets that were handed to the connection, and the bytes of their payloads.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
    /// Packets that were dropped: nothing took them in time, or the track was muted or ended before.
    pub dropped: u64,
    /// Packets that wait now.
    pub waiting: u64,
}

impl OutgoingVoice {
    fn stats(&self) -> SenderStats {
        // Both are locked, so that no packet is between them.
        let voice = lock(&self.voice);
        let unsent = lock(&self.unsent);
        let made = voice.stats();
        let waiting = unsent.packets.len() as u64;
        let waiting_bytes: u64 = unsent.packets.iter().map(|speech| speech.payload.len() as u64).sum();
        SenderStats {
            voice: made,
            sent: made.encoded - unsent.dropped - waiting,
            sent_bytes: made.bytes - unsent.dropped_bytes - waiting_bytes,
            dropped: unsent.dropped,
            waiting,
        }
    }

    fn speak(&self, unit: &Unit) {
        let mut voice = lock(&self.voice);
        let Some(speech) = voice.encode(unit) else { return };
        lock(&self.unsent).push(speech);
        drop(voice);
        self.shared.waiting.store(true, Ordering::Release);
        self.shared.signal.notify();
    }
}

/// What the voices of a session have in common.
#[derive(Debug, Default)]
struct Outgoing {
    signal: WorkSignal,
    /// Whether a voice may have packets.
    waiting: AtomicBool,
}

/// The voices of a participant. See the [module](self).
#[derive(Debug, Default)]
pub struct Speaking {
    voices: Mutex<Vec<Arc<OutgoingVoice>>>,
    shared: Arc<Outgoing>,
}

impl Speaking {
    /// No voices yet. `signal` wakes the task of the connection.
    #[must_use]
    pub fn new(signal: WorkSignal) -> Self {
        Self { voices: Mutex::default(), shared: Arc::new(Outgoing { signal, ..Outgoing::default() }) }
    }

    /// A track begins to send what its source has from now on. A track of the same `cid` ends.
    ///
    /// `sealer`: encrypts each packet. What it cannot encrypt is not sent.
    pub fn add(
        &self,
        track: Sending,
        source: &PacedSource,
        encoder: Box<dyn Encoder>,
        sealer: Option<Box<dyn Sealer>>,
        muted: bool,
    ) {
        let mut voice = Voice::new(encoder, sealer);
        voice.set_muted(muted);
        let voice = Arc::new(OutgoingVoice {
            track,
            voice: Mutex::new(voice),
            unsent: Mutex::default(),
            shared: Arc::clone(&self.shared),
        });
        self.remove(&voice.track.cid);
        lock(&source.voices).push(Arc::downgrade(&voice));
        lock(&self.voices).push(voice);
    }

    /// A track ends. Returns what it has counted; `None` if there is no such track.
    pub fn remove(&self, cid: &str) -> Option<SenderStats> {
        let mut voices = lock(&self.voices);
        let at = voices.iter().position(|voice| *voice.track.cid == *cid)?;
        let voice = voices.swap_remove(at);
        drop(voices);
        lock(&voice.unsent).clear();
        Some(voice.stats())
    }

    /// All tracks end.
    pub fn clear(&self) {
        lock(&self.voices).clear();
    }

    /// Mutes a track, or ends that.
    pub fn set_muted(&self, cid: &str, muted: bool) {
        if let Some(voice) = self.find(cid) {
            lock(&voice.voice).set_muted(muted);
            if muted {
                lock(&voice.unsent).clear();
            }
        }
    }

    /// What a track has counted.
    #[must_use]
    pub fn stats(&self, cid: &str) -> Option<SenderStats> {
        self.find(cid).map(|voice| voice.stats())
    }

    /// The tracks of these names, for a description.
    #[must_use]
    pub fn tracks(&self, cids: &[String]) -> Vec<Sending> {
        cids.iter().filter_map(|cid| self.find(cid)).map(|voice| voice.track.clone()).collect()
    }

    fn find(&self, cid: &str) -> Option<Arc<OutgoingVoice>> {
        lock(&self.voices).iter().find(|voice| *voice.track.cid == *cid).cloned()
    }

    /// Hands the packets that wait to `send`. `may_send` says of each track whether it has a section: if it has none
    /// yet, its packets go on to wait.
    pub(crate) fn take(&self, may_send: impl Fn(&str) -> bool, mut send: impl FnMut(&str, Speech)) {
        if !self.shared.waiting.swap(false, Ordering::AcqRel) {
            return;
        }
        let voices = lock(&self.voices).clone();
        for voice in voices {
            if !may_send(&voice.track.cid) {
                continue;
            }
            let unsent = std::mem::take(&mut lock(&voice.unsent).packets);
            for speech in unsent {
                send(&voice.track.cid, speech);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datatrack_media::EncodeError;

    use super::*;

    #[derive(Default)]
    struct Rings(Notify);

    impl SourceHost for Rings {
        fn progressed(&self) {
            self.0.notify_one();
        }
    }

    /// A codec whose payload is the first sample.
    struct First;

    impl Encoder for First {
        fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) -> Result<(), EncodeError> {
            payload.extend([pcm[0].to_le_bytes()[0]; 10]);
            Ok(())
        }

        fn reset(&mut self) {}
    }

    const OPTIONS: SourceOptions =
        SourceOptions { sample_rate: 48_000, channels: 1, queue: Duration::from_millis(100) };

    fn track(cid: &str) -> Sending {
        Sending { cid: cid.into(), stream: "stream".into(), red: false }
    }

    fn unit(value: i16) -> Unit {
        Unit { pcm: vec![value; 960], time: 0, start: false }
    }

    /// What waits of all tracks: the track and the first byte of each packet.
    fn taken(speaking: &Speaking) -> Vec<(String, u8)> {
        let mut taken = Vec::new();
        speaking.take(|_| true, |cid, speech| taken.push((cid.to_owned(), speech.payload[0])));
        taken
    }

    #[test]
    fn packets_that_nothing_takes_are_bounded_and_the_oldest_go_first() {
        let (pacer, speaking) = (Pacer::default(), Speaking::default());
        let source = pacer.open(OPTIONS, Arc::new(Rings::default())).unwrap();
        speaking.add(track("one"), &source, Box::new(First), None, false);
        let voice = speaking.find("one").unwrap();
        for value in 0..100 {
            voice.speak(&unit(value));
        }
        // Without a section they go on to wait.
        let mut sent = 0;
        speaking.take(|_| false, |_, _| sent += 1);
        assert_eq!(sent, 0);
        voice.speak(&unit(100));
        let taken = taken(&speaking);
        assert_eq!(taken.len(), MAX_UNSENT);
        assert_eq!((taken[0].1, taken[9].1), (91, 100));
        voice.speak(&unit(101));
        let stats = speaking.stats("one").unwrap();
        assert_eq!((stats.voice.units, stats.sent, stats.dropped, stats.waiting), (102, 10, 91, 1));
        assert_eq!(stats.sent_bytes * 102, stats.voice.bytes * 10);
        // What still waits when the track ends is not sent.
        let stats = speaking.remove("one").unwrap();
        assert_eq!((stats.sent, stats.dropped, stats.waiting), (10, 92, 0));
    }

    #[test]
    fn a_muted_track_forgets_what_waits_and_one_that_ends_sends_nothing() {
        let (pacer, speaking) = (Pacer::default(), Speaking::default());
        let source = pacer.open(OPTIONS, Arc::new(Rings::default())).unwrap();
        for cid in ["one", "two"] {
            speaking.add(track(cid), &source, Box::new(First), None, cid == "two");
            speaking.find(cid).unwrap().speak(&unit(7));
        }
        speaking.set_muted("one", true);
        speaking.set_muted("two", false);
        let stats = speaking.stats("one").unwrap();
        assert_eq!((stats.sent, stats.dropped, stats.waiting, stats.sent_bytes), (0, 1, 0, 0));
        assert!(taken(&speaking).is_empty());
        speaking.find("two").unwrap().speak(&unit(8));
        assert_eq!(taken(&speaking), [("two".to_owned(), 8)]);
        let names = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(speaking.tracks(&names), [track("one"), track("two")]);
        assert_eq!(speaking.remove("two").map(|stats| (stats.voice.muted, stats.sent)), Some((1, 1)));
        assert_eq!((speaking.stats("two"), speaking.remove("two")), (None, None));
        speaking.clear();
        assert_eq!(speaking.stats("one"), None);
    }

    /// A host that notes what waits to be sent whenever it is told.
    struct Looks {
        speaking: Arc<Speaking>,
        seen: Mutex<Vec<Vec<(String, u8)>>>,
    }

    impl SourceHost for Looks {
        fn progressed(&self) {
            lock(&self.seen).push(taken(&self.speaking));
        }
    }

    /// A codec whose payload says whether nothing waits in the source.
    struct Asks(Weak<PacedSource>);

    impl Encoder for Asks {
        fn encode(&mut self, _: &[i16], payload: &mut Vec<u8>) -> Result<(), EncodeError> {
            payload.extend([u8::from(self.0.upgrade().unwrap().watch_empty()); 10]);
            Ok(())
        }

        fn reset(&mut self) {}
    }

    #[test]
    fn nothing_waits_only_when_the_last_packet_can_be_sent() {
        let (pacer, speaking) = (Pacer::default(), Arc::new(Speaking::default()));
        let host = Arc::new(Looks { speaking: Arc::clone(&speaking), seen: Mutex::default() });
        let source = pacer.open(OPTIONS, Arc::clone(&host) as _).unwrap();
        speaking.add(track("one"), &source, Box::new(Asks(Arc::downgrade(&source))), None, false);
        source.capture(&[7; 960]);
        assert!(!source.watch_empty());
        assert!(source.turn(Instant::now()).0);
        assert_eq!(*lock(&host.seen), [[("one".to_owned(), 0)]]);
        assert!(source.watch_empty());
    }

    #[tokio::test]
    async fn sources_are_paced_until_there_are_none() {
        let (pacer, speaking) = (Arc::new(Pacer::default()), Speaking::default());
        assert!(!pacer.must_run());
        let rings = Arc::new(Rings::default());
        let source = pacer.open(OPTIONS, Arc::clone(&rings) as _).unwrap();
        assert!(pacer.must_run() && !pacer.must_run());
        let task = tokio::spawn(Arc::clone(&pacer).run());
        speaking.add(track("one"), &source, Box::new(First), None, false);
        assert!(source.watch_empty());
        assert_eq!(source.capture(&[7; 48_000]), 4_800);
        assert!(source.queued() > Duration::from_millis(60));
        // There is room again, and at last nothing waits.
        rings.0.notified().await;
        assert!(source.capture(&[7; 480]) == 480);
        if !source.watch_empty() {
            rings.0.notified().await;
        }
        assert_eq!(source.queued(), Duration::ZERO);
        assert!(speaking.stats("one").unwrap().voice.encoded >= 6);
        drop(source);
        task.await.unwrap();
        assert!(!pacer.must_run());
        let _source = pacer.open(OPTIONS, rings).unwrap();
        assert!(pacer.must_run());
    }
}
