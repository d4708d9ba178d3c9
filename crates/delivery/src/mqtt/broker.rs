//! Where the broker is, who asks, and which files of that are secret.

use std::fmt::{Display, Formatter, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lectern_record::help::Problem;

/// Where the broker is and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Names this client to the broker; unique among its clients.
    pub client_id: String,
    /// The user name, with the file that holds its password.
    pub login: Option<(String, Option<PathBuf>)>,
    /// How to talk TLS; none for plain TCP.
    pub tls: Option<Tls>,
}

/// The files of a TLS connection, read anew at each connect, so that renewed ones need no restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities to trust (PEM); those of the system where none is given.
    pub ca: Option<PathBuf>,
    /// The certificate chain and the key that this device shows (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Display for Broker {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What is wrong with a file that holds a password or a key and that others may read.
#[must_use]
pub fn open_to_others() -> Problem {
    Problem::new("is open to others").with_help("chmod 600 it")
}

/// Whether a file that holds a secret may be read by others than its owner.
#[must_use]
pub fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    file.permissions().mode() & 0o077 != 0
}
