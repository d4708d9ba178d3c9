//! TLS for the connection to the broker: files in, a rustls configuration out, and its errors in plain words.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rumqttc::{ConnectionError, StateError, TlsError};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore,
    SignatureScheme,
};

use super::broker::{Broker, OPEN_TO_OTHERS, Tls, is_open_to_others};

/// A file of the TLS configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} {file} {problem}")]
pub(crate) struct BadFile {
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
    let mut named = Vec::new();
    match &tls.ca {
        Some(file) => {
            named = certificates("mqtt.ca", file)?;
            for certificate in &named {
                let problem = "holds a certificate that cannot be used; see openssl x509 -text -in FILE";
                roots.add(certificate.clone()).map_err(|_| BadFile::new("mqtt.ca", file, problem))?;
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
    let unusable =
        || BadFile::new("the certificates for TLS", Path::new(""), "cannot be used; check mqtt.ca");
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|_| unusable())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unusable())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { inner, named }));
    let config = match &tls.identity {
        Some((chain, key)) => {
            let certificates = certificates("mqtt.client_cert", chain)?;
            let bad_key = |problem: &str| BadFile::new("mqtt.client_key", key, problem);
            if std::fs::metadata(key).is_ok_and(|file| is_open_to_others(&file)) {
                return Err(bad_key(OPEN_TO_OTHERS));
            }
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
                rustls::pki_types::pem::Error::NoItemsFound => bad_key(
                    "holds no private key in PEM form, or an encrypted one; make one without a password with openssl pkey",
                ),
                error => bad_key(&pem(error)),
            })?;
            builder.with_client_auth_cert(certificates, secret).map_err(|_| {
                bad_key("is not the key of mqtt.client_cert, or of an unknown kind; name the two that were made together")
            })?
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
        return Err(BadFile::new(key, file, "holds no certificate in PEM form; name a file that has one"));
    }
    Ok(found)
}

/// The words of an error, without anything of the file's content.
fn pem(error: rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => {
            format!("cannot be read: {error}; check the file and its rights")
        }
        rustls::pki_types::pem::Error::NoItemsFound => {
            "holds nothing of the kind in PEM form; name a file that does".to_owned()
        }
        _ => "is no valid PEM file; make or copy it again".to_owned(),
    }
}

/// rustls's own check of the broker's certificate, and one more that passes: the broker shows the very certificate that
/// mqtt.ca names, which is an authority's (`openssl req -x509` makes such ones). rustls refuses an authority as a server,
/// for reasons that do not hold where exactly this certificate was named.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// What mqtt.ca names.
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // webpki looks at the times before it looks at whether this is an authority, and has not yet looked at the name.
            Err(rustls::Error::InvalidCertificate(error))
                if is_an_authority(&error) && self.named.iter().any(|named| named == end_entity) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether a certificate was refused only because it is an authority's. rustls has no kind of its own for this.
fn is_an_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// What a failed connection has to do with TLS, and the way out, in words of our own: rustls's may repeat what the broker
/// sent.
pub(super) fn explain(error: &ConnectionError, broker: &Broker) -> Option<String> {
    let tls = broker.tls.as_ref()?;
    let io: &io::Error = match error {
        ConnectionError::Tls(TlsError::Io(io)) | ConnectionError::Io(io) => io,
        ConnectionError::MqttState(
            StateError::Io(io) | StateError::Deserialization(rumqttc::mqttbytes::Error::Io(io)),
        ) => io,
        ConnectionError::Tls(TlsError::DNSName(_)) => {
            return Some(
                "no certificate can be for its name; use another name or its address in mqtt.url".to_owned(),
            );
        }
        ConnectionError::Tls(_) => return Some(format!("TLS failed; {}", look_with_openssl(broker))),
        _ => return None,
    };
    let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        let in_handshake = matches!(error, ConnectionError::Tls(_));
        let closed = matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        return (in_handshake && closed).then(|| {
            "closed the connection during the TLS handshake; does it talk TLS on this port? mqtts:// is port 8883 on most \
             brokers"
                .to_owned()
        });
    };
    Some(match error {
        rustls::Error::InvalidCertificate(certificate) => explain_certificate(certificate, broker),
        rustls::Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => "its certificate chain is too long, 64 kB are allowed; let it show its own certificate and the intermediate ones \
              alone"
            .to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "does not talk TLS on this port; mqtts:// is port 8883 on most brokers".to_owned()
        }
        rustls::Error::AlertReceived(alert) => explain_alert(*alert, tls, broker),
        rustls::Error::PeerIncompatible(_) => {
            "has no version or cipher of TLS in common with this device; let it offer TLS 1.2 or 1.3".to_owned()
        }
        _ => format!("TLS failed; {}", look_with_openssl(broker)),
    })
}

fn look_with_openssl(broker: &Broker) -> String {
    format!("its own log says why, or openssl s_client -connect {broker}")
}

fn explain_certificate(certificate: &CertificateError, broker: &Broker) -> String {
    match certificate {
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
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "its certificate is not for the name {}; use a name from its subjectAltName in mqtt.url, or give it a certificate \
             for this one",
            broker.host
        ),
        other if is_an_authority(other) => {
            "its certificate is that of an authority (CA:TRUE); name this very certificate in mqtt.ca, or give the broker one \
             with basicConstraints=CA:FALSE"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers; give it one with extendedKeyUsage=serverAuth".to_owned()
        }
        _ => format!("its certificate cannot be used; {}", look_with_openssl(broker)),
    }
}

/// In TLS 1.3 these come after the handshake, when the broker has seen that there is no certificate.
fn explain_alert(alert: AlertDescription, tls: &Tls, broker: &Broker) -> String {
    let about_certificates = matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    );
    match (tls.identity.is_some(), alert) {
        (false, AlertDescription::HandshakeFailure) => {
            "refuses the TLS handshake, as brokers do that want a certificate from this device; name mqtt.client_cert and \
             mqtt.client_key"
                .to_owned()
        }
        (false, _) if about_certificates => {
            "wants a certificate from this device; name mqtt.client_cert and mqtt.client_key".to_owned()
        }
        (true, _) if about_certificates => {
            format!("refuses this device's certificate ({alert:?}); check mqtt.client_cert and mqtt.client_key")
        }
        (_, AlertDescription::Unknown(_)) => format!("TLS failed; {}", look_with_openssl(broker)),
        _ => format!("TLS failed, it says {alert:?}; {}", look_with_openssl(broker)),
    }
}
