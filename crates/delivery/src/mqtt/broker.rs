//! The connection parameters of a broker, and the permissions of their secret files.

use std::fmt::{Display, Formatter, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lectern_record::help::Problem;

/// The connection parameters of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The MQTT client id; unique on the broker.
    pub client_id: String,
    /// The user name, with the file that holds its password.
    pub login: Option<(String, Option<PathBuf>)>,
    /// TLS parameters; `None` for plain TCP.
    pub tls: Option<Tls>,
}

/// The files of a TLS connection, read at each connect, so that renewed files need no restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The trusted CA certificates (PEM); default: the system's CA store.
    pub ca: Option<PathBuf>,
    /// The certificate chain and key of this device (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Display for Broker {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The error for a password or key file that other users can read.
#[must_use]
pub fn open_to_others() -> Problem {
    Problem::new("is open to others").with_help("chmod 600 it")
}

/// Whether a file grants access to others than its owner.
#[must_use]
pub fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    file.permissions().mode() & 0o077 != 0
}
