use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{hkdf, pbkdf2};
use zeroize::Zeroizing;

use super::{E2eeError, FrameKey, KeyMaterial, KeyScope};

/// LiveKit's salt. It is the same for all applications, so a passphrase gives the same key everywhere.
const SALT: &[u8] = b"LKFrameEncryptionKey";
/// Iterations that all LiveKit SDKs use.
const PBKDF2_ITERATIONS: NonZeroU32 = match NonZeroU32::new(100_000) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
/// The info that livekit-client passes to HKDF: a new `ArrayBuffer(128)`.
const HKDF_INFO: [u8; 128] = [0; 128];
/// Bytes of the material after a ratchet step.
const RATCHETED_LEN: usize = 32;

/// How key material becomes a key. All participants must use the same derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyDerivation {
    /// PBKDF2-HMAC-SHA256 with 100,000 iterations. livekit-client uses it for passphrases. It is the native SDKs'
    /// default for every key. A key or a ratchet step takes some 15 to 30 ms.
    #[default]
    Pbkdf2,
    /// HKDF-SHA256. livekit-client uses it for raw keys; native SDKs use it only if told to. It is for random bytes,
    /// not for passphrases. It takes microseconds.
    Hkdf,
}

impl KeyDerivation {
    /// The next material. Its first bytes are the key.
    fn expand(self, material: &KeyMaterial) -> Result<[u8; RATCHETED_LEN], DerivationError> {
        let mut out = [0; RATCHETED_LEN];
        match self {
            Self::Pbkdf2 => pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                PBKDF2_ITERATIONS,
                SALT,
                material.bytes(),
                &mut out,
            ),
            Self::Hkdf => hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
                .extract(material.bytes())
                .expand(&[&HKDF_INFO], OutputLen)
                .and_then(|okm| okm.fill(&mut out))
                .map_err(|_| DerivationError)?,
        }
        Ok(out)
    }

    /// The key, with the material of the next step.
    ///
    /// Of the same input, the key is the KDF's first 128 bits, and the next material is its first 256 bits. Both KDFs
    /// make a longer output by extending the shorter one. So one run gives both at the cost of the key alone, and a
    /// search costs half as much as in the reference clients.
    pub(super) fn derive(self, material: &KeyMaterial) -> Result<DerivedKey, DerivationError> {
        let next = Zeroizing::new(self.expand(material)?);
        let key = next.first_chunk().ok_or(DerivationError)?;
        Ok(DerivedKey { key: FrameKey::new(key)?, next: next.as_slice().into() })
    }
}

struct OutputLen;

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        RATCHETED_LEN
    }
}

/// A key could not be derived: the crypto library failed, or the base of the derivation no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key derivation failed")]
pub struct DerivationError;

/// A derivation's number, unique within the machine that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DerivationId(pub(super) u64);

/// A key, with the material that its next ratchet step is derived from.
#[derive(Clone)]
pub(super) struct DerivedKey {
    pub(super) key: FrameKey,
    pub(super) next: KeyMaterial,
}

/// A derivation to run where blocking is allowed. Its content is never printed.
pub struct Derivation {
    pub(super) id: DerivationId,
    /// `None` for the sealing side.
    pub(super) scope: Option<KeyScope>,
    pub(super) derivation: KeyDerivation,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// Derive the key of this material: the application's, or the next one of a chain.
    Derive(KeyMaterial),
    /// The step was derived before.
    Known(DerivedKey),
    /// The base of the derivation no longer exists.
    Nothing,
}

impl Derivation {
    /// The number that the requesting call returned. Steps of a search have numbers, too, which no caller got.
    pub const fn id(&self) -> DerivationId {
        self.id
    }

    /// Runs the derivation. With PBKDF2 it keeps a processor busy for tens of milliseconds, so it must not run on a
    /// thread that serves other work.
    ///
    /// The result has to be handed back to the machine that asked. Until then, that machine derives nothing more for
    /// the same participant.
    pub fn run(self) -> Derived {
        let derivation = self.derivation;
        let result = match self.work {
            Work::Derive(material) => derivation.derive(&material),
            Work::Known(derived) => Ok(derived),
            Work::Nothing => Err(DerivationError),
        };
        Derived { id: self.id, scope: self.scope, result }
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The result of a [`Derivation`]. Its content is never printed.
pub struct Derived {
    pub(super) id: DerivationId,
    pub(super) scope: Option<KeyScope>,
    pub(super) result: Result<DerivedKey, DerivationError>,
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The end of what `set_key` or `ratchet` began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The number that the call returned.
    pub id: DerivationId,
    /// Whether the key is in use now.
    pub result: Result<(), E2eeError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key of the material, then of one and of two ratchet steps, with the material of each step.
    fn chain(derivation: KeyDerivation, material: &[u8]) -> [(String, String); 3] {
        let mut material = KeyMaterial::from(material);
        [(); 3].map(|()| {
            let next = derivation.expand(&material).unwrap();
            let key = &next[..FrameKey::LEN];
            material = next.as_slice().into();
            (hex(key), hex(&next))
        })
    }

    // Made with Python 3 and cryptography 48:
    //
    //     import hashlib
    //     from cryptography.hazmat.primitives import hashes
    //     from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    //     S = b'LKFrameEncryptionKey'
    //     pbkdf2 = lambda m, n: hashlib.pbkdf2_hmac('sha256', m, S, 100000, n)
    //     hkdf = lambda m, n: HKDF(hashes.SHA256(), n, S, bytes(128)).derive(m)
    //     for kdf, m in ((pbkdf2, b'passphrase'), (hkdf, bytes(range(32)))):
    //         for step in range(3):
    //             print(kdf(m, 16).hex(), kdf(m, 32).hex())
    //             m = kdf(m, 32)

    #[test]
    fn pbkdf2_gives_what_python_gives() {
        let expected = [
            (
                "979f3dc8cd45dade396cb97743e92b2d",
                "979f3dc8cd45dade396cb97743e92b2d131cfc5e98f5c0cd45010e676fc09cb6",
            ),
            (
                "c4bd3373652597b61055ed01dc670d98",
                "c4bd3373652597b61055ed01dc670d98782a7aadc22f089b3f73ed98f2de13e5",
            ),
        ];
        let chain = chain(KeyDerivation::Pbkdf2, b"passphrase");
        for (step, (key, next)) in expected.into_iter().enumerate() {
            assert_eq!(chain[step], (key.to_owned(), next.to_owned()), "step {step}");
        }
        assert_eq!(chain[2].0, "27480bee47c8bd7dc0804f0d8ac2fcfd");
    }

    #[test]
    fn hkdf_gives_what_python_gives() {
        let expected = [
            (
                "6d0dd7b3d6f4efde47ab9a9e15abde76",
                "6d0dd7b3d6f4efde47ab9a9e15abde7635c45a13bddf5da15eed01f40178d328",
            ),
            (
                "bd83f159cff92bfaf55d2d2409c21221",
                "bd83f159cff92bfaf55d2d2409c21221da4b6f1d036dc2826e24f14ace70e8cc",
            ),
        ];
        let raw: Vec<u8> = (0..32).collect();
        let chain = chain(KeyDerivation::Hkdf, &raw);
        for (step, (key, next)) in expected.into_iter().enumerate() {
            assert_eq!(chain[step], (key.to_owned(), next.to_owned()), "step {step}");
        }
        assert_eq!(chain[2].0, "9ff4c538fc78315617b77e6dfff19068");
    }

    /// Frames sealed by Node 20's webcrypto with the IV 01 02 … 0c, at step 0 and after one ratchet step.
    //
    //     import { webcrypto } from 'node:crypto'
    //     const { subtle } = webcrypto, utf8 = (s) => new TextEncoder().encode(s), salt = utf8('LKFrameEncryptionKey')
    //     const kdf = {
    //       PBKDF2: { name: 'PBKDF2', salt, hash: 'SHA-256', iterations: 100000 },
    //       HKDF: { name: 'HKDF', salt, hash: 'SHA-256', info: new ArrayBuffer(128) },
    //     }
    //     const count = (n, from) => Uint8Array.from({ length: n }, (_, i) => i + from)
    //     for (const [name, material] of [['PBKDF2', utf8('passphrase')], ['HKDF', count(32, 0)]]) {
    //       let base = await subtle.importKey('raw', material, name, false, ['deriveBits', 'deriveKey'])
    //       for (const step of [0, 1]) {
    //         const aes = { name: 'AES-GCM', length: 128 }
    //         const key = await subtle.deriveKey(kdf[name], base, aes, false, ['encrypt'])
    //         for (const text of ['hello from node', '']) {
    //           const sealed = await subtle.encrypt({ name: 'AES-GCM', iv: count(12, 1) }, key, utf8(text))
    //           console.log(name, step, text, Buffer.from(sealed).toString('hex'))
    //         }
    //         const next = await subtle.deriveBits(kdf[name], base, 256)
    //         base = await subtle.importKey('raw', next, name, false, ['deriveBits', 'deriveKey'])
    //       }
    //     }
    const NODE_FRAMES: [(KeyDerivation, usize, &str, &str); 8] = [
        (
            KeyDerivation::Pbkdf2,
            0,
            "hello from node",
            "44a15a8e9fc6c1628ec811b7ad09fb0c4b784e07bb36422fd775011572e7aa",
        ),
        (KeyDerivation::Pbkdf2, 0, "", "01fdd0d02c334484a283e871e5c33b72"),
        (
            KeyDerivation::Pbkdf2,
            1,
            "hello from node",
            "7695536bbd1487857509290bbaabc54003322896d26ec6d084d9393cd75ca9",
        ),
        (KeyDerivation::Pbkdf2, 1, "", "b096bdeea3bb2e4f5cbbaeec228ac0c1"),
        (
            KeyDerivation::Hkdf,
            0,
            "hello from node",
            "b9dce4460ec091d3be764c1ccf97d3d1a088e878a525e0e7ee9554ec7e782c",
        ),
        (KeyDerivation::Hkdf, 0, "", "2bd7307da90ca7d3de052c64453b9321"),
        (
            KeyDerivation::Hkdf,
            1,
            "hello from node",
            "4d89c1c3e502afbd9a4f6560fa3cf22f3a8d4da84ddf9c1e37ff0f31227812",
        ),
        (KeyDerivation::Hkdf, 1, "", "bc5c722e4fdc59a89f941882608b4855"),
    ];

    #[test]
    fn frames_of_nodes_webcrypto_open_and_ours_are_the_same_bytes() {
        let iv: [u8; 12] = std::array::from_fn(|index| u8::try_from(index).unwrap() + 1);
        for (derivation, step, text, sealed) in NODE_FRAMES {
            let mut material = match derivation {
                KeyDerivation::Pbkdf2 => KeyMaterial::from(&b"passphrase"[..]),
                KeyDerivation::Hkdf => (0..32).collect::<Vec<u8>>().into(),
            };
            for _ in 0..step {
                material = derivation.derive(&material).unwrap().next;
            }
            let key = derivation.derive(&material).unwrap().key;

            let mut ours = [text.as_bytes(), &[0; 16]].concat();
            key.seal_in_place(&iv, &mut ours).unwrap();
            assert_eq!(hex(&ours), sealed, "{derivation:?} {step}");

            let theirs: Vec<u8> = (0..sealed.len() / 2)
                .map(|byte| u8::from_str_radix(&sealed[2 * byte..2 * byte + 2], 16).unwrap())
                .collect();
            assert_eq!(key.open(&iv, &theirs).unwrap(), text.as_bytes(), "{derivation:?} {step}");
        }
    }
}
