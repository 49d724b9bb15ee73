use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificate authorities that the certificates of relays over TLS are checked against. The authorities are parsed
/// when they are first used.
#[derive(Default)]
pub struct Trust {
    pem: String,
    config: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Trust {
    /// `pem`: the authorities. Those that cannot be parsed are ignored.
    #[must_use]
    pub const fn new(pem: String) -> Self {
        Self { pem, config: OnceLock::new() }
    }

    /// The configuration of TLS. `None`: the crypto provider supports no version of TLS that is safe.
    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.config
            .get_or_init(|| {
                let mut roots = RootCertStore::empty();
                let authorities = CertificateDer::pem_slice_iter(self.pem.as_bytes());
                roots.add_parsable_certificates(authorities.filter_map(Result::ok));
                let provider = Arc::new(super::crypto::provider());
                let builder =
                    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                Some(Arc::new(builder.ok()?.with_root_certificates(roots).with_no_client_auth()))
            })
            .clone()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}
