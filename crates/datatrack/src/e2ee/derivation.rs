use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{hkdf, pbkdf2};
use zeroize::Zeroizing;

use super::{E2eeError, FrameKey, KeyMaterial, KeyScope};

/// LiveKit's salt, the same for everybody: one passphrase is one key wherever it is used.
const SALT: &[u8] = b"LKFrameEncryptionKey";
/// Iterations that all LiveKit SDKs use.
const PBKDF2_ITERATIONS: NonZeroU32 = match NonZeroU32::new(100_000) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
/// What livekit-client passes as HKDF's info: a new `ArrayBuffer(128)`.
const HKDF_INFO: [u8; 128] = [0; 128];
/// Bytes of the material that a ratchet step gives.
const RATCHETED_LEN: usize = 32;

/// How key material becomes a key. All participants must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyDerivation {
    /// PBKDF2-HMAC-SHA256 with 100,000 iterations: livekit-client's for passphrases, the native SDKs' default for
    /// every key. Some 15 to 30 ms for a key, twice that for a ratchet step.
    #[default]
    Pbkdf2,
    /// HKDF-SHA256: livekit-client's for raw keys; native SDKs use it only if told to. For random bytes, not for
    /// passphrases. Microseconds.
    Hkdf,
}

impl KeyDerivation {
    fn fill(self, material: &KeyMaterial, out: &mut [u8]) -> Result<(), DerivationError> {
        match self {
            Self::Pbkdf2 => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, PBKDF2_ITERATIONS, SALT, material.bytes(), out);
                Ok(())
            }
            Self::Hkdf => hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
                .extract(material.bytes())
                .expand(&[&HKDF_INFO], OutputLen(out.len()))
                .and_then(|okm| okm.fill(out))
                .map_err(|_| DerivationError),
        }
    }

    fn key(self, material: &KeyMaterial) -> Result<FrameKey, DerivationError> {
        let mut bytes = Zeroizing::new([0; FrameKey::LEN]);
        self.fill(material, bytes.as_mut_slice())?;
        FrameKey::new(&bytes)
    }

    fn next_material(self, material: &KeyMaterial) -> Result<KeyMaterial, DerivationError> {
        let mut bytes = vec![0; RATCHETED_LEN];
        self.fill(material, &mut bytes)?;
        Ok(bytes.into())
    }
}

struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// A key could not be derived: the crypto library refused or there was nothing to derive from any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key derivation failed")]
pub struct DerivationError;

/// A derivation's number, unique within the machine that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DerivationId(pub(super) u64);

/// A key with what it was derived from.
#[derive(Clone)]
pub(super) struct DerivedKey {
    pub(super) material: KeyMaterial,
    pub(super) key: FrameKey,
}

/// A derivation to be run where blocking is allowed. Nothing prints what is in it.
pub struct Derivation {
    pub(super) id: DerivationId,
    /// `None` for the sealing side.
    pub(super) scope: Option<KeyScope>,
    pub(super) derivation: KeyDerivation,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// Derive the key of this material.
    Key(KeyMaterial),
    /// Take one ratchet step from this material.
    Step(KeyMaterial),
    /// The step was taken before.
    Known(DerivedKey),
    /// There is nothing to derive from.
    Nothing,
}

impl Derivation {
    /// The number that the call which asked for it returned; steps of a search have numbers that nobody was given.
    pub const fn id(&self) -> DerivationId {
        self.id
    }

    /// Derives. With PBKDF2 it keeps a processor busy for tens of milliseconds: not for a thread that serves others.
    ///
    /// The result belongs to the machine that asked, and has to reach it: until then it derives nothing more for the
    /// same participant.
    pub fn run(self) -> Derived {
        let derivation = self.derivation;
        let result = match self.work {
            Work::Key(material) => derivation.key(&material).map(|key| DerivedKey { material, key }),
            Work::Step(material) => derivation.next_material(&material).and_then(|material| {
                let key = derivation.key(&material)?;
                Ok(DerivedKey { material, key })
            }),
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

/// What a [`Derivation`] gave. Nothing prints what is in it.
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
    /// What the call returned.
    pub id: DerivationId,
    /// Whether the key is in use now.
    pub result: Result<(), E2eeError>,
}
