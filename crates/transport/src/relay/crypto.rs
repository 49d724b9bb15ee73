//! The cryptography of TLS to relays: rustls's usual set, without the parts that no relay needs. Naming the parts keeps
//! the rest out of the addon: post-quantum signatures and key exchange, and loading private keys.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::aws_lc_rs::{DEFAULT_CIPHER_SUITES, kx_group};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use webpki::aws_lc_rs as algorithms;

/// In the order of preference.
const KX_GROUPS: &[&dyn SupportedKxGroup] = &[kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The signatures that the certificates of relays may have.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P256_SHA512,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ECDSA_P384_SHA512,
        algorithms::ECDSA_P521_SHA256,
        algorithms::ECDSA_P521_SHA384,
        algorithms::ECDSA_P521_SHA512,
        algorithms::ED25519,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
        algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        // TLS 1.3 takes the first one of a row only. TLS 1.2 does not bind the hash to a curve, and tries each.
        (SignatureScheme::ECDSA_NISTP384_SHA384, ECDSA_SHA384),
        (SignatureScheme::ECDSA_NISTP256_SHA256, ECDSA_SHA256),
        (SignatureScheme::ECDSA_NISTP521_SHA512, ECDSA_SHA512),
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

const ECDSA_SHA256: &[&dyn SignatureVerificationAlgorithm] =
    &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256, algorithms::ECDSA_P521_SHA256];
const ECDSA_SHA384: &[&dyn SignatureVerificationAlgorithm] =
    &[algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P521_SHA384];
const ECDSA_SHA512: &[&dyn SignatureVerificationAlgorithm] =
    &[algorithms::ECDSA_P521_SHA512, algorithms::ECDSA_P384_SHA512, algorithms::ECDSA_P256_SHA512];

/// What TLS to relays works with.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: DEFAULT_CIPHER_SUITES.to_vec(),
        kx_groups: KX_GROUPS.to_vec(),
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Random,
        key_provider: &NoKeys,
    }
}

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

/// This side shows no certificate to a relay, so it loads no private key.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("private keys are not supported".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    /// The names of what rustls has and this package has not.
    fn left_out<T: Debug>(
        usual: impl IntoIterator<Item = T>,
        ours: impl IntoIterator<Item = T>,
    ) -> Vec<String> {
        let ours: Vec<String> = ours.into_iter().map(|each| format!("{each:?}")).collect();
        let usual = usual.into_iter().map(|each| format!("{each:?}"));
        usual.filter(|each| !ours.contains(each)).collect()
    }

    #[test]
    fn only_post_quantum_algorithms_are_left_out_of_the_usual_ones() {
        let (usual, ours) = (default_provider(), provider());
        assert_eq!(left_out(&usual.cipher_suites, &ours.cipher_suites), [""; 0]);
        let groups = |provider: &CryptoProvider| {
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        assert_eq!(left_out(groups(&usual), groups(&ours)), ["X25519MLKEM768"]);
        let schemes =
            |provider: &CryptoProvider| provider.signature_verification_algorithms.supported_schemes();
        assert_eq!(left_out(schemes(&usual), schemes(&ours)), ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"]);
        // An algorithm of webpki is known by the ids of the signature and of the key.
        let ids = |provider: &CryptoProvider| {
            let all = provider.signature_verification_algorithms.all;
            all.iter().map(|each| (each.signature_alg_id(), each.public_key_alg_id())).collect::<Vec<_>>()
        };
        assert_eq!(left_out(ids(&usual), ids(&ours)).len(), 3);
    }

    #[test]
    fn each_signature_of_a_handshake_is_checked_as_rustls_checks_it() {
        let mapping = |provider: &CryptoProvider| {
            let rows = provider.signature_verification_algorithms.mapping.iter();
            rows.map(|(scheme, each)| {
                let ids = each.iter().map(|each| (each.signature_alg_id(), each.public_key_alg_id()));
                format!("{scheme:?} {:?}", ids.collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
        };
        let (usual, ours) = (mapping(&default_provider()), mapping(&provider()));
        assert_eq!(ours, usual[..ours.len()]);
    }
}
