//! Lower bounds for any implementation: the copies and the cipher alone.

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use datatrack::e2ee::TAG_LEN;

use crate::measure::Contender;

const HEADER: [u8; 12] = [0x18; 12];

/// Copies the payload and a header from one buffer to another.
pub(crate) fn memcpy(size: usize) -> Contender<'static> {
    let payload = vec![7; size];
    let mut target = vec![0; HEADER.len() + size];
    Contender::simple("memcpy", move || copy(&payload, &mut target))
}

fn copy(payload: &[u8], target: &mut [u8]) {
    let (header, room) = target.split_at_mut(HEADER.len());
    header.copy_from_slice(black_box(&HEADER));
    room.copy_from_slice(black_box(payload));
    black_box(target);
}

fn key() -> LessSafeKey {
    #[expect(clippy::unwrap_used, reason = "the key has the length that the algorithm asks for")]
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).unwrap())
}

/// AES-128-GCM in place, without anything else.
pub(crate) fn seal(size: usize) -> Contender<'static> {
    let key = key();
    let mut buffer = vec![7; size];
    Contender::simple("aes-128-gcm", move || seal_in_place(&key, &mut buffer))
}

/// The copy into the buffer that is sealed, the sealing, and the copy to the outgoing buffer.
pub(crate) fn seal_and_copy_twice(size: usize) -> Contender<'static> {
    let key = key();
    let payload = vec![7; size];
    let mut buffer = vec![0; size];
    let mut target = vec![0; HEADER.len() + size];
    Contender::simple("aes-128-gcm + 2 memcpy", move || {
        buffer.copy_from_slice(black_box(&payload));
        seal_in_place(&key, &mut buffer);
        copy(&buffer, &mut target);
    })
}

#[expect(clippy::expect_used, reason = "a bench that cannot seal has nothing to measure")]
fn seal_in_place(key: &LessSafeKey, buffer: &mut [u8]) {
    let nonce = Nonce::assume_unique_for_key([9; 12]);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), black_box(buffer)).expect("it seals");
    black_box(tag.as_ref());
}

/// The copy into the buffer that is opened, opening, and the copy to the reader.
pub(crate) fn open_and_copy_twice(size: usize) -> Contender<'static> {
    let key = key();
    let mut sealed = vec![7; size];
    let nonce = || Nonce::assume_unique_for_key([9; 12]);
    #[expect(clippy::expect_used, reason = "a bench that cannot seal has nothing to measure")]
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).expect("it seals");
    let mut buffer = vec![0; size + TAG_LEN];
    let mut target = vec![0; HEADER.len() + size];
    Contender::simple("aes-128-gcm + 2 memcpy", move || {
        buffer.copy_from_slice(black_box(&sealed));
        #[expect(clippy::expect_used, reason = "it was sealed with the same key")]
        let opened = key.open_in_place(nonce(), Aad::empty(), &mut buffer).expect("it opens");
        copy(opened, &mut target);
    })
}
