use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The material that keys are derived from: a passphrase's UTF-8 bytes, or random bytes. Cheap to clone.
///
/// The bytes are wiped when the last clone is dropped. They are never printed.
#[derive(Clone)]
pub struct KeyMaterial(Arc<Zeroizing<Vec<u8>>>);

impl KeyMaterial {
    /// Whether it has no bytes. Such material is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for KeyMaterial {
    /// Takes the bytes over without a copy, so that no copy is left behind.
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }
}

impl From<&[u8]> for KeyMaterial {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_the_bytes() {
        let material = KeyMaterial::from(&b"secret"[..]);
        assert_eq!(format!("{material:?}"), "KeyMaterial(..)");
        assert_eq!(material.bytes(), b"secret");
        assert!(!material.is_empty() && KeyMaterial::from(vec![]).is_empty());
    }
}
