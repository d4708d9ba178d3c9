//! Reads the files of a connection, at each connect, so that a changed password or certificate needs no restart.
//!
//! On a mount whose server is gone, reading blocks for ever: so it is done beside the event loop, and given up after a while.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::broker::{Broker, is_open_to_others, open_to_others};
use super::error::LinkError;
use super::link::CONNECT_WITHIN;
use super::tls;
use crate::message::limits::MAX_PASSWORD_BYTES;
use lectern_record::file;
use lectern_record::help::Problem;

/// Reads that may be blocked at the same time; a later one waits until one of them ends.
const MAX_BLOCKED: usize = 4;

static READS: Semaphore = Semaphore::const_new(MAX_BLOCKED);

/// What a connection needs of files.
pub(super) struct Files {
    /// The password; none without a password file.
    pub(super) password: Option<String>,
    /// The TLS configuration; none for plain TCP.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Files {
    fn read(broker: &Broker) -> Result<Self, LinkError> {
        let password = broker.login.as_ref().and_then(|(_, file)| file.as_deref());
        let password = password.map(password_in).transpose()?;
        Ok(Self { password, tls: broker.tls.as_ref().map(tls::configure).transpose()? })
    }
}

/// Reads the files of a broker.
///
/// # Errors
/// When one of them cannot be used, or cannot be read in time.
#[expect(clippy::disallowed_methods, reason = "a dead mount must not block the event loop")]
pub(super) async fn read(broker: &Broker) -> Result<Files, LinkError> {
    let broker = broker.clone();
    let reading = async {
        let permit = READS.acquire().await;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            Files::read(&broker)
        })
        .await
    };
    match timeout(CONNECT_WITHIN, reading).await {
        Ok(Ok(files)) => files,
        Ok(Err(_)) | Err(_) => {
            let problem =
                Problem::new("the files in [mqtt] cannot be read: the file system does not respond");
            Err(problem
                .with_help("check the mounts that mqtt.password_file, ca, client_cert and client_key are on")
                .into())
        }
    }
}

/// The password in a file, without the line ending.
fn password_in(path: &Path) -> Result<String, LinkError> {
    let bad = |problem: Problem| {
        let problem = problem.of(format_args!("mqtt password file {}:", path.display()));
        LinkError::from(problem.or_help("check mqtt.password_file or the credential mqtt-password"))
    };
    let too_long = || bad(format!("holds more than {MAX_PASSWORD_BYTES} bytes").into());
    let unreadable = |error| bad(Problem::new("cannot be read").caused_by(error));
    let open = file::open(path).map_err(unreadable)?;
    // The file may have appeared or changed since the configuration was read.
    if open.metadata().is_ok_and(|file| is_open_to_others(&file)) {
        return Err(bad(open_to_others()));
    }
    // A line ending may follow.
    let mut text = match file::read_all(&open, MAX_PASSWORD_BYTES + 2).and_then(file::text) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(too_long()),
        Err(error) => return Err(unreadable(error)),
    };
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.len() > MAX_PASSWORD_BYTES { Err(too_long()) } else { Ok(text) }
}
