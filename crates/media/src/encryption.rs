//! How a frame of an encrypted track travels, as LiveKit's SDKs do it:
//!
//! ```text
//! head │ AES-128-GCM ciphertext ‖ tag (16 bytes) │ IV (12 bytes) │ 12 │ index of the key
//!      └ the tag also covers the head, which stays as it is
//! ```
//!
//! The head is what the server and the RTP stack have to read of a frame. Of Opus it is one byte. An empty frame says
//! nothing, and travels as it is.
//!
//! The server also sends frames of its own, for example silence after a mute. It has no key, so they are not sealed, but
//! end with a text that the server chose for the room. A server could send any sound in this way. So only silence is
//! taken, which is what servers send.

use datatrack::Payload;
use datatrack::e2ee::{IV_LEN, SealedFrame, SealedWith, TAG_LEN};

/// Plain bytes at the head of a frame of Opus.
pub const OPUS_HEAD: usize = 1;

/// The length of the IV and the index of the key.
const FOOTER: usize = 2;

/// 20 ms of silence in Opus, as livekit-server sends it, padded with zeros.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Bytes that sealing adds to a frame.
pub const SEALED_OVERHEAD: usize = TAG_LEN + IV_LEN + FOOTER;

/// Seals a frame. `seal` gets the head, the rest of the frame, and room for the ciphertext with its tag: for example
/// [`Publisher::seal_media`](datatrack::Publisher::seal_media).
///
/// # Errors
/// That of `seal`. Then the frame must not be sent.
pub fn seal_frame<E>(
    frame: &[u8],
    head: usize,
    seal: impl FnOnce(&[u8], &[u8], &mut [u8]) -> Result<SealedWith, E>,
) -> Result<Vec<u8>, E> {
    if frame.is_empty() {
        return Ok(Vec::new());
    }
    let (head, payload) = frame.split_at_checked(head).unwrap_or((frame, &[]));
    let mut sealed = Vec::with_capacity(frame.len() + SEALED_OVERHEAD);
    sealed.extend_from_slice(head);
    sealed.resize(frame.len() + TAG_LEN, 0);
    let room = sealed.get_mut(head.len()..).unwrap_or_default();
    let SealedWith { key_index, iv } = seal(head, payload, room)?;
    sealed.extend_from_slice(&iv);
    #[expect(clippy::cast_possible_truncation, reason = "it is 12")]
    sealed.extend_from_slice(&[IV_LEN as u8, key_index]);
    Ok(sealed)
}

/// A frame of an encrypted track, as it arrived.
#[derive(Debug, Clone)]
pub enum Arrived {
    /// It is to be opened.
    Sealed(Sealed),
    /// It is as it should be: silence of the server, or an empty frame.
    Plain(Vec<u8>),
    /// It is not sealed, or not as it should be. It must not be played.
    Refused,
}

/// A sealed frame in its parts.
#[derive(Debug, Clone)]
pub struct Sealed {
    head: Vec<u8>,
    key_index: u8,
    iv: [u8; IV_LEN],
    ciphertext: Payload,
}

impl Sealed {
    /// What a key opens.
    #[must_use]
    pub fn parts(&self) -> SealedFrame<'_> {
        SealedFrame { key_index: self.key_index, iv: &self.iv, head: &self.head, sealed: &self.ciphertext }
    }

    /// The frame, of which that was sealed.
    #[must_use]
    pub fn with(&self, payload: &[u8]) -> Vec<u8> {
        [&self.head, payload].concat()
    }
}

/// Splits a frame of an encrypted track. `trailer` is the end of the server's own frames; an empty one is none.
#[must_use]
pub fn read_frame(frame: &[u8], head: usize, trailer: &[u8]) -> Arrived {
    if frame.is_empty() {
        return Arrived::Plain(Vec::new());
    }
    if !trailer.is_empty()
        && let Some(own) = frame.strip_suffix(trailer)
    {
        let silent = own.strip_prefix(&SILENCE).is_some_and(|rest| rest.iter().all(|&byte| byte == 0));
        return if silent { Arrived::Plain(SILENCE.to_vec()) } else { Arrived::Refused };
    }
    split(frame, head).map_or(Arrived::Refused, Arrived::Sealed)
}

fn split(frame: &[u8], head: usize) -> Option<Sealed> {
    let (rest, &[iv_len, key_index]) = frame.split_last_chunk::<FOOTER>()?;
    if usize::from(iv_len) != IV_LEN {
        return None;
    }
    let (rest, &iv) = rest.split_last_chunk::<IV_LEN>()?;
    let (head, ciphertext) = rest.split_at_checked(head)?;
    if ciphertext.len() < TAG_LEN {
        return None;
    }
    let ciphertext = Payload::from(bytes::Bytes::copy_from_slice(ciphertext));
    Some(Sealed { head: head.to_vec(), key_index, iv, ciphertext })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use datatrack::Instant;
    use datatrack::e2ee::{
        FrameSealError, FrameSealer, KeyDerivation, KeyOptions, KeyScope, OpenOutcome, OpeningKeys,
        SealingKeys, SystemIvRandom,
    };
    use proptest::prelude::*;

    use super::*;

    const TRAILER: &[u8] = b"the server's own";

    struct Sender {
        keys: SealingKeys,
        sealer: FrameSealer,
        random: SystemIvRandom,
    }

    impl Sender {
        fn new(material: &[u8], index: u8) -> Self {
            let mut keys = SealingKeys::new(KeyOptions::shared(KeyDerivation::Hkdf));
            keys.set_key(index, material).unwrap();
            keys.set_current_index(index).unwrap();
            let derivation = keys.poll_derivation().unwrap();
            keys.handle_derived(derivation.run());
            Self { keys, sealer: FrameSealer::new(), random: SystemIvRandom::new() }
        }

        fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
            let Self { keys, sealer, random } = self;
            let seal = |head: &[u8], payload: &[u8], room: &mut [u8]| {
                sealer.seal_with_head_into(keys, random, head, payload, room)
            };
            seal_frame(frame, OPUS_HEAD, seal).unwrap()
        }
    }

    fn receiver(material: &[u8], index: u8) -> OpeningKeys {
        let mut keys = OpeningKeys::new(KeyOptions::shared(KeyDerivation::Hkdf));
        keys.set_key(KeyScope::Shared, index, material).unwrap();
        let derivation = keys.poll_derivation().unwrap();
        keys.handle_derived(derivation.run(), Instant::ZERO);
        keys
    }

    fn open(keys: &mut OpeningKeys, frame: &[u8]) -> Option<Vec<u8>> {
        match read_frame(frame, OPUS_HEAD, TRAILER) {
            Arrived::Plain(frame) => Some(frame),
            Arrived::Refused => None,
            Arrived::Sealed(sealed) => match keys.open_frame("alice", sealed.parts(), Instant::ZERO) {
                OpenOutcome::Opened(payload) => Some(sealed.with(&payload)),
                _ => None,
            },
        }
    }

    #[test]
    fn a_frame_has_the_layout_of_other_sdks() {
        let mut sender = Sender::new(b"key", 3);
        let sealed = sender.seal(b"\x78payload");
        assert_eq!(sealed.len(), 8 + SEALED_OVERHEAD);
        assert_eq!((sealed[0], &sealed[sealed.len() - 2..]), (0x78, &[12, 3][..]));
        assert!(!sealed.windows(7).any(|part| part == b"payload"));
    }

    #[test]
    fn the_servers_silence_is_taken_and_nothing_else_of_it() {
        let mut keys = receiver(b"key", 0);
        let own = |frame: &[u8]| [frame, TRAILER].concat();
        let silence = [&SILENCE[..], &[0; 77]].concat();
        assert_eq!(open(&mut keys, &own(&silence)), Some(SILENCE.to_vec()));
        assert_eq!(open(&mut keys, &own(&SILENCE)), Some(SILENCE.to_vec()));
        let sound = [&SILENCE[..], &[0, 1, 0]].concat();
        for frame in [&b""[..], b"\xf8\xff", b"\x78 any sound", &sound] {
            assert_eq!(open(&mut keys, &own(frame)), None);
        }
        // Without the text it is a frame that is not sealed.
        assert_eq!(open(&mut keys, &silence), None);
        assert!(matches!(read_frame(&own(&silence), OPUS_HEAD, b""), Arrived::Refused));
    }

    #[test]
    fn an_empty_frame_goes_as_it_is_and_what_cannot_be_sealed_goes_nowhere() {
        let mut sender = Sender::new(b"key", 0);
        assert_eq!(sender.seal(b""), b"");
        assert_eq!(open(&mut receiver(b"key", 0), b""), Some(Vec::new()));
        let refused = seal_frame(b"frame", OPUS_HEAD, |_, _, _| Err(FrameSealError::NoKey));
        assert_eq!(refused, Err(FrameSealError::NoKey));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_with_its_key_alone(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..5),
            index in 0u8..16,
        ) {
            let mut sender = Sender::new(b"key", index);
            let mut keys = [receiver(b"key", index), receiver(b"another", index), receiver(b"key", (index + 1) % 16)];
            for frame in &frames {
                let sealed = sender.seal(frame);
                prop_assert_eq!(sealed.len(), frame.len() + SEALED_OVERHEAD);
                let opened = keys.each_mut().map(|keys| open(keys, &sealed));
                prop_assert_eq!(opened, [Some(frame.clone()), None, None]);
                prop_assert_ne!(sender.seal(frame), sealed, "no IV comes twice");
            }
        }

        #[test]
        fn a_changed_frame_opens_not_at_all(
            frame in prop::collection::vec(any::<u8>(), 1..100),
            bit in any::<prop::sample::Index>(),
            end in any::<prop::sample::Index>(),
        ) {
            let sealed = Sender::new(b"key", 0).seal(&frame);
            let mut keys = receiver(b"key", 0);
            let mut changed = sealed.clone();
            let bit = bit.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&mut keys, &changed), None);
            // An empty frame says nothing.
            prop_assert_eq!(open(&mut keys, &sealed[..1 + end.index(sealed.len() - 1)]), None);
            prop_assert_eq!(open(&mut keys, &[&sealed[..], &[0]].concat()), None);
        }

        #[test]
        fn any_bytes_are_refused_or_do_not_open(frame in prop::collection::vec(any::<u8>(), 1..200), trailed: bool) {
            let frame = if trailed { [&frame[..], TRAILER].concat() } else { frame };
            let opened = open(&mut receiver(b"key", 0), &frame);
            prop_assert!(opened.is_none_or(|opened| opened == SILENCE));
        }
    }
}
