//! Certificates: whom we believe, and with which one we show ourselves.

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, parse_pem};

use super::error::RegistryError;
use super::settings::{ClientFiles, RegistrySettings};

/// What a connection to one registry needs.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    pub(super) roots: Vec<Certificate<'static>>,
    pub(super) client: Option<ClientCert>,
}

impl Trust {
    /// The host's authorities, with those that the settings add.
    ///
    /// # Errors
    /// When a file of the settings cannot be used.
    pub(super) fn load(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        // What the host has and cannot be read is not trusted, which is the safe side.
        let host = rustls_native_certs::load_native_certs().certs;
        let mut roots: Vec<_> =
            host.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        if let Some(path) = &settings.ca {
            roots.extend(certificates(path)?);
        }
        let client = settings.client.as_ref().map(client).transpose()?;
        Ok(Self { roots, client })
    }

    /// For plain HTTP.
    pub(super) fn nobody() -> Self {
        Self { roots: Vec::new(), client: None }
    }
}

fn client(files: &ClientFiles) -> Result<ClientCert, RegistryError> {
    let chain = certificates(&files.certificate)?;
    let pem = read(&files.key)?;
    let no_key = |_| refuse(&files.key, "it holds no private key in PEM");
    check_pair(&chain, PrivateKeyDer::from_pem_slice(&pem).map_err(no_key)?)
        .map_err(|error| refuse(&files.key, &error.to_string()))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| refuse(&files.key, &error.to_string()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// The HTTP library takes for granted that the key fits.
fn check_pair(chain: &[Certificate<'static>], key: PrivateKeyDer<'static>) -> Result<(), rustls::Error> {
    let chain = chain.iter().map(|certificate| certificate.der().to_vec().into()).collect();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map(drop)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let bytes = read(path)?;
    let items = parse_pem(&bytes).map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Ok(Some(certificate)),
        Ok(_) => Ok(None),
        Err(_) => Err(refuse(path, "it is not PEM")),
    });
    let found: Vec<_> = items.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(refuse(path, "it holds no certificate in PEM")),
        false => Ok(found),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|error| refuse(path, &error.to_string()))
}

fn refuse(path: &Path, reason: &str) -> RegistryError {
    RegistryError::File { file: path.display().to_string(), reason: reason.to_owned() }
}
