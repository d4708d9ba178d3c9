//! TLS for the connection to the broker: files in, a rustls configuration out, and its errors in plain words.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rumqttc::{ConnectionError, StateError, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::Tls;

/// A file of the TLS configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} {file}: {problem}")]
pub(super) struct BadFile {
    key: &'static str,
    file: String,
    problem: String,
}

impl BadFile {
    fn new(key: &'static str, file: &Path, problem: impl ToString) -> Self {
        Self { key, file: file.display().to_string(), problem: problem.to_string() }
    }
}

/// Reads the files and makes a configuration for one connection.
pub(super) fn configure(tls: &Tls) -> Result<Arc<ClientConfig>, BadFile> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(file) => {
            for certificate in certificates("mqtt.ca", file)? {
                roots.add(certificate).map_err(|e| BadFile::new("mqtt.ca", file, e))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let problem =
                    "holds no authority; name one in mqtt.ca, or install the package ca-certificates";
                return Err(BadFile::new(
                    "the system's certificate store",
                    Path::new("/etc/ssl/certs"),
                    problem,
                ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| BadFile::new("TLS", Path::new(""), e))?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        Some((chain, key)) => {
            let certificates = certificates("mqtt.client_cert", chain)?;
            let bad_key = |problem: &dyn ToString| BadFile::new("mqtt.client_key", key, problem.to_string());
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad_key(&pem(e)))?;
            builder.with_client_auth_cert(certificates, key).map_err(|e| bad_key(&e))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| BadFile::new(key, file, pem(e)))?;
    if found.is_empty() {
        return Err(BadFile::new(key, file, "holds no certificate in PEM form"));
    }
    Ok(found)
}

/// The words of an error, without anything of the file's content.
fn pem(error: rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "holds nothing of the kind in PEM form".to_owned(),
        _ => "is no valid PEM file".to_owned(),
    }
}

/// What a failed connection has to do with TLS, and the way out.
pub(super) fn explain(error: &ConnectionError, host: &str) -> Option<String> {
    let io: &io::Error = match error {
        ConnectionError::Tls(TlsError::Io(io)) | ConnectionError::Io(io) => io,
        ConnectionError::MqttState(
            StateError::Io(io) | StateError::Deserialization(rumqttc::mqttbytes::Error::Io(io)),
        ) => io,
        ConnectionError::Tls(other) => return Some(other.to_string()),
        _ => return None,
    };
    Some(match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by an authority that is not trusted here; name that authority's certificate in \
                 mqtt.ca"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; it must be renewed there, unless this device's clock is wrong".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; is this device's clock right?".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for the name {host}; use the name it is for in mqtt.url")
            }
            other => format!("its certificate cannot be used: {other}"),
        },
        rustls::Error::InvalidMessage(_) => {
            "does not talk TLS on this port; mqtts:// is port 8883 on most brokers".to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => format!("refuses this device's certificate ({alert:?}); check mqtt.client_cert and mqtt.client_key"),
        other => format!("TLS failed: {other}"),
    })
}
