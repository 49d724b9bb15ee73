//! Helpers that the tests of this module share.

use bytes::Bytes;

use super::{
    FrameKey, IV_LEN, IvRandom, IvRandomError, KeyDerivation, KeyMaterial, OpenError, SealingKeys, TAG_LEN,
};
use crate::Payload;

/// Returns the prefixes 1, 2, 3 …, each once. So a prefix identifies the draw that it came from.
#[derive(Default)]
pub(super) struct CountingRandom(u64);

impl CountingRandom {
    pub(super) fn drawn(&self) -> u64 {
        self.0
    }
}

impl IvRandom for CountingRandom {
    fn fill(&mut self, prefix: &mut [u8; 8]) -> Result<(), IvRandomError> {
        self.0 += 1;
        *prefix = self.0.to_be_bytes();
        Ok(())
    }
}

/// Opens a frame that arrives cut at these places. A place beyond the frame's end cuts nothing.
pub(super) fn piecewise(
    key: &FrameKey,
    iv: &[u8; IV_LEN],
    sealed: &[u8],
    cuts: &[usize],
) -> Result<Bytes, OpenError> {
    let mut cuts: Vec<usize> = cuts.iter().copied().filter(|&cut| cut <= sealed.len()).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in cuts.into_iter().chain([sealed.len()]) {
        pieces.push(Bytes::copy_from_slice(&sealed[start..end]));
        start = end;
    }
    key.open_payload(iv, &Payload::from_pieces(pieces))
}

/// The keys of a ratchet chain, derived without the machines under test. It uses HKDF, which is fast.
pub(super) fn chain(material: &[u8], steps: usize) -> Vec<FrameKey> {
    let mut material = KeyMaterial::from(material);
    (0..=steps)
        .map(|_| {
            let derived = KeyDerivation::Hkdf.derive(&material).unwrap();
            material = derived.next;
            derived.key
        })
        .collect()
}

/// A sealed frame and its IV, which `number` makes unique.
pub(super) fn frame(key: &FrameKey, number: u64, payload: &[u8]) -> ([u8; IV_LEN], Payload) {
    let mut iv = [0; IV_LEN];
    iv[..8].copy_from_slice(&number.to_be_bytes());
    let mut buffer = [payload, &[0; TAG_LEN]].concat();
    key.seal_in_place(&iv, &mut buffer).unwrap();
    (iv, Payload::from(Bytes::from(buffer)))
}

/// Runs all derivations that a sealing side asks for.
pub(super) fn settle(keys: &mut SealingKeys) {
    while let Some(derivation) = keys.poll_derivation() {
        let id = derivation.id();
        assert_eq!(keys.handle_derived(derivation.run()).unwrap().id, id);
    }
}
