//! TLS for the connection to the broker: builds the rustls configuration from files, and explains rustls errors.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rumqttc::{ConnectionError, StateError, TlsError};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, OtherError,
    RootCertStore, SignatureScheme,
};

use super::broker::{Broker, Tls, is_open_to_others, open_to_others};
use super::pem;
use lectern_record::file;
use lectern_record::help::Problem;

/// The fix of a certificate that is wrong for a reason that is not known.
const CHECK_CERTIFICATE: &str = "see openssl x509 -text -in FILE";

/// The fix of a key or signature of another kind, such as P-521.
const SUPPORTED_KEYS: &str =
    "RSA with 2048 bits or more, P-256, P-384 and Ed25519 are supported: make it of one of these kinds";

/// An error in a file of the TLS configuration.
fn bad_file(key: &str, file: &Path, problem: Problem) -> Problem {
    problem.of(format_args!("{key} {}", file.display()))
}

/// Reads the files, which may block (see [`super::files`]), and builds the configuration of one connection.
pub(super) fn configure(tls: &Tls) -> Result<Arc<ClientConfig>, Problem> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    match &tls.ca {
        Some(file) => {
            named = certificates("mqtt.ca", file)?;
            for certificate in &named {
                roots.add(certificate.clone()).map_err(|_| {
                    let problem = Problem::new("holds a certificate that cannot be used");
                    bad_file("mqtt.ca", file, problem.with_help(CHECK_CERTIFICATE))
                })?;
            }
        }
        None => {
            #[expect(clippy::disallowed_methods, reason = "the system's own files")]
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
            if roots.is_empty() {
                let problem =
                    Problem::new("the system's certificate store /etc/ssl/certs holds no authority");
                return Err(problem.with_help("name one in mqtt.ca, or install the package ca-certificates"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = || Problem::new("the certificates for TLS cannot be used").with_help("check mqtt.ca");
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
            let bad_key = |problem: Problem| bad_file("mqtt.client_key", key, problem);
            let file = file::open(key).map_err(|error| bad_key(pem::unreadable(error)))?;
            if file.metadata().is_ok_and(|file| is_open_to_others(&file)) {
                return Err(bad_key(open_to_others()));
            }
            let secret = pem::private_key(&file).map_err(bad_key)?;
            builder.with_client_auth_cert(certificates, secret).map_err(|error| match error {
                rustls::Error::InvalidCertificate(error) => {
                    let problem =
                        Problem::new("holds a certificate that cannot be used").with_help(CHECK_CERTIFICATE);
                    bad_file("mqtt.client_cert", chain, unsupported(&error).unwrap_or(problem))
                }
                rustls::Error::InconsistentKeys(_) => bad_key(
                    Problem::new("is not the key of mqtt.client_cert")
                        .with_help("name the two that were made together"),
                ),
                _ => bad_key(
                    Problem::new("is a key of a kind that is not supported here, or damaged")
                        .with_help(SUPPORTED_KEYS),
                ),
            })?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let certificates = || pem::certificates(&file::open(path).map_err(pem::unreadable)?);
    certificates().map_err(|problem| bad_file(key, path, problem))
}

/// rustls's verification of the broker's certificate, with one exception: the broker presents exactly the certificate
/// that mqtt.ca names, and it is a CA certificate (`openssl req -x509` makes those). rustls rejects a CA certificate as a
/// server's, for reasons that do not apply to a certificate that is pinned.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// The certificates in mqtt.ca.
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
            // webpki checks the validity period before the CA flag, but has not yet checked the name.
            Err(rustls::Error::InvalidCertificate(error))
                if is_ca_error(&error) && self.named.iter().any(|named| named == end_entity) =>
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

/// Whether a certificate was rejected only because it is a CA certificate. rustls has no variant for this and passes on
/// webpki's error.
fn is_ca_error(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(cause)) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Explains a certificate that is not supported here, whoever has it; none for any other error.
fn unsupported(error: &CertificateError) -> Option<Problem> {
    match error {
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Some(
            Problem::new("is signed with an algorithm that is not supported here").with_help(SUPPORTED_KEYS),
        ),
        CertificateError::Other(OtherError(cause))
            if matches!(cause.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion)) =>
        {
            let problem = Problem::new("is of X.509 version 1, which has no names for TLS");
            Some(
                problem.with_help(
                    "make one of version 3: openssl x509 -req with -extfile, or openssl req -x509",
                ),
            )
        }
        _ => None,
    }
}

/// Explains a TLS failure and its fix. rustls's own messages are not used, because they may repeat what the broker sent.
pub(super) fn explain(error: &ConnectionError, broker: &Broker) -> Option<Problem> {
    let tls = broker.tls.as_ref()?;
    let io: &io::Error = match error {
        ConnectionError::Tls(TlsError::Io(io)) | ConnectionError::Io(io) => io,
        ConnectionError::MqttState(
            StateError::Io(io) | StateError::Deserialization(rumqttc::mqttbytes::Error::Io(io)),
        ) => io,
        ConnectionError::Tls(TlsError::DNSName(_)) => {
            let problem = Problem::new("no certificate can be for its name");
            return Some(problem.with_help("use another name or its address in mqtt.url"));
        }
        ConnectionError::Tls(_) => {
            return Some(Problem::new("TLS failed").with_help(openssl_hint(broker)));
        }
        _ => return None,
    };
    let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        let in_handshake = matches!(error, ConnectionError::Tls(_));
        let closed = matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        return (in_handshake && closed).then(|| {
            Problem::new("closed the connection during the TLS handshake")
                .with_help("does it talk TLS on this port? mqtts:// is port 8883 on most brokers")
        });
    };
    Some(match error {
        rustls::Error::InvalidCertificate(certificate) => explain_certificate(certificate, broker),
        rustls::Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => Problem::new("its certificate chain is too long, 64 kB are allowed")
            .with_help("let it show its own certificate and the intermediate ones alone"),
        rustls::Error::InvalidMessage(_) => {
            Problem::new("does not talk TLS on this port").with_help("mqtts:// is port 8883 on most brokers")
        }
        rustls::Error::AlertReceived(alert) => explain_alert(*alert, tls, broker),
        rustls::Error::PeerIncompatible(_) => {
            Problem::new("has no version, cipher or key of TLS in common with this device")
                .with_help("let it offer TLS 1.2 or 1.3, with a key of RSA, P-256, P-384 or Ed25519")
        }
        _ => Problem::new("TLS failed").with_help(openssl_hint(broker)),
    })
}

fn openssl_hint(broker: &Broker) -> String {
    format!("its own log says why, or openssl s_client -connect {broker}")
}

fn explain_certificate(certificate: &CertificateError, broker: &Broker) -> Problem {
    match certificate {
        CertificateError::UnknownIssuer => {
            Problem::new("its certificate is signed by an authority that is not trusted here")
                .with_help("name that authority's certificate in mqtt.ca")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Problem::new("its certificate has expired")
                .with_help("it must be renewed there, unless this device's clock is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Problem::new("its certificate is not valid yet").with_help("is this device's clock right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Problem::new(format_args!("its certificate is not for the name {}", broker.host)).with_help(
                "use a name from its subjectAltName in mqtt.url, or give it a certificate for this one",
            )
        }
        other if is_ca_error(other) => {
            Problem::new("its certificate is that of an authority (CA:TRUE)").with_help(
                "name this very certificate in mqtt.ca, or give the broker one with basicConstraints=CA:FALSE",
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Problem::new("its certificate is not for servers")
                .with_help("give it one with extendedKeyUsage=serverAuth")
        }
        other => unsupported(other).map_or_else(
            || Problem::new("its certificate cannot be used").with_help(openssl_hint(broker)),
            |problem| problem.of("its certificate"),
        ),
    }
}

/// In TLS 1.3 these alerts follow the handshake, once the broker detects the missing certificate.
fn explain_alert(alert: AlertDescription, tls: &Tls, broker: &Broker) -> Problem {
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
            let help = "either it wants a certificate from this device: name mqtt.client_cert and mqtt.client_key; or its key is of \
                        a kind that is not supported here: RSA, P-256, P-384 and Ed25519 are";
            Problem::new("refuses the TLS handshake").with_help(help)
        }
        (true, AlertDescription::HandshakeFailure) => Problem::new("refuses the TLS handshake").with_help(
            "either it does not take this device's certificate, or its own key is of a kind that is not supported here: RSA, \
             P-256, P-384 and Ed25519 are",
        ),
        (false, _) if about_certificates => Problem::new("wants a certificate from this device")
            .with_help("name mqtt.client_cert and mqtt.client_key"),
        (true, _) if about_certificates => {
            Problem::new(format_args!("refuses this device's certificate ({alert:?})"))
                .with_help("check mqtt.client_cert and mqtt.client_key")
        }
        (_, AlertDescription::Unknown(_)) => Problem::new("TLS failed").with_help(openssl_hint(broker)),
        _ => Problem::new(format_args!("TLS failed, it says {alert:?}")).with_help(openssl_hint(broker)),
    }
}
