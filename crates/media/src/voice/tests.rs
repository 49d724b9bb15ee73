#![allow(clippy::unwrap_used)]

use super::*;

/// A codec whose payload has as many bytes as the first sample says.
#[derive(Default)]
struct Sized {
    resets: Arc<std::sync::atomic::AtomicU32>,
}

impl Encoder for Sized {
    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) -> Result<(), EncodeError> {
        let size = usize::try_from(pcm[0]).map_err(|_| EncodeError)?;
        payload.resize(size, 0);
        Ok(())
    }

    fn reset(&mut self) {
        self.resets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn voice() -> Voice {
    Voice::new(Box::new(Sized::default()), None)
}

fn unit(size: i16, time: u64) -> Unit {
    Unit { pcm: vec![size; 10], time, start: false }
}

/// Whether each unit makes a packet, and whether it is the first one after a pause.
fn starts(voice: &mut Voice, sizes: &[i16]) -> Vec<Option<bool>> {
    let units = sizes.iter().zip(0..).map(|(&size, time)| unit(size, time));
    units.map(|unit| voice.encode(&unit).map(|speech| speech.start)).collect()
}

#[test]
fn of_silence_the_first_packet_is_sent_and_what_follows_begins_anew() {
    let mut voice = voice();
    let sent = starts(&mut voice, &[50, 50, 1, 1, 2, 50, 50]);
    let expected = [Some(true), Some(false), Some(false), None, None, Some(true), Some(false)];
    assert_eq!(sent, expected);
    let stats = voice.stats();
    assert_eq!((stats.units, stats.encoded, stats.withheld, stats.bytes), (7, 5, 2, 201));
}

#[test]
fn a_muted_track_sends_nothing_and_begins_anew() {
    let codec = Sized::default();
    let resets = Arc::clone(&codec.resets);
    let mut voice = Voice::new(Box::new(codec), None);
    assert_eq!(starts(&mut voice, &[50, 50]), [Some(true), Some(false)]);
    voice.set_muted(true);
    voice.set_muted(true);
    assert_eq!(starts(&mut voice, &[50, 50]), [None, None]);
    voice.set_muted(false);
    assert_eq!(starts(&mut voice, &[50, 50]), [Some(true), Some(false)]);
    assert_eq!((voice.stats().muted, resets.load(std::sync::atomic::Ordering::Relaxed)), (2, 2));
}

#[test]
fn what_the_codec_refuses_is_counted() {
    let mut voice = voice();
    assert_eq!(starts(&mut voice, &[-1, 0, 50]), [None, None, Some(true)]);
    let VoiceStats { units, encoded, failed, .. } = voice.stats();
    assert_eq!((units, encoded, failed), (3, 1, 2));
}

/// Turns the bytes around, while there is a key.
struct Key(Arc<std::sync::atomic::AtomicBool>);

impl Sealer for Key {
    fn seal(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let has_key = self.0.load(std::sync::atomic::Ordering::Relaxed);
        has_key.then(|| payload.iter().map(|byte| !byte).chain([9; 30]).collect())
    }
}

#[test]
fn what_cannot_be_encrypted_is_not_sent_and_silence_is_known_by_the_codec_not_by_the_ciphertext() {
    let key = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut voice = Voice::new(Box::new(Sized::default()), Some(Box::new(Key(Arc::clone(&key)))));
    assert_eq!(starts(&mut voice, &[50, 1, 1]), [None, None, None]);
    assert_eq!((voice.stats().failed, voice.stats().encoded), (3, 0));
    key.store(true, std::sync::atomic::Ordering::Relaxed);
    let first = voice.encode(&unit(3, 0)).unwrap();
    assert_eq!((first.start, first.payload.len()), (true, 33));
    assert_eq!(first.payload.get(..4), Some(&[255, 255, 255, 9][..]));
    assert_eq!(starts(&mut voice, &[1, 1, 50]), [Some(false), None, Some(true)]);
    let VoiceStats { units, encoded, withheld, failed, bytes, .. } = voice.stats();
    assert_eq!((units, encoded, withheld, failed), (7, 3, 1, 3));
    assert_eq!(bytes, 33 + 31 + 80);
}

#[test]
fn a_pause_of_the_source_begins_anew() {
    let mut voice = voice();
    assert!(voice.encode(&unit(50, 0)).unwrap().start);
    assert!(voice.encode(&Unit { start: true, ..unit(50, 9) }).unwrap().start);
}

#[test]
fn the_level_is_that_of_the_samples() {
    let square = |amplitude: i16| vec![amplitude; 960];
    for (pcm, expected) in [
        (Vec::new(), 127),
        (square(0), 127),
        (square(i16::MAX), 0),
        (square(i16::MIN), 0),
        (square(3_277), 20),
        (square(-328), 40),
        (square(1), 90),
    ] {
        assert_eq!(level(&pcm), expected, "{:?}", pcm.first());
    }
}
