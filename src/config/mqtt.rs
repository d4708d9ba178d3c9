//! `mqtt.*`: where the broker is, who asks, and the files that this takes.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::layers::{Layer, key, last};
use crate::delivery::{Address, Broker, MAX_USERNAME_BYTES, OPEN_TO_OTHERS, Tls, is_open_to_others};

/// Where systemd looks for the credentials of the unit.
const CREDENTIAL_STORE: &str = "/etc/credstore";

/// The systemd credential that holds the MQTT password.
const PASSWORD_CREDENTIAL: &str = "mqtt-password";

/// The systemd credential that holds the key of `mqtt.client_cert`.
const KEY_CREDENTIAL: &str = "mqtt-client-key";

/// The broker and the login; `client_id` says which device this is.
pub(super) fn broker(layers: &[Layer], client_id: String) -> Result<Broker, ConfigError> {
    let parse = |url: String| Address::parse(&url).map_err(|e| e.to_string());
    let Address { host, port, tls } = key(layers, "mqtt.url", |f| &f.mqtt.url, parse)?
        .unwrap_or_else(|| Address { host: "localhost".to_owned(), port: 1883, tls: false });
    let password_file =
        key(layers, "mqtt.password_file", |f| &f.mqtt.password_file, |file| secret_file(absolute(file)?))?
            .or_else(|| credential(PASSWORD_CREDENTIAL));
    let username = key(layers, "mqtt.username", |f| &f.mqtt.username, user_name)?;
    if let (None, Some(at)) = (&username, last(layers, |f| &f.mqtt.password_file)) {
        return Err(ConfigError::at(at.place, "mqtt.password_file is of no use without mqtt.username"));
    }
    Ok(Broker {
        host,
        port,
        client_id,
        login: username.map(|name| (name, password_file)),
        tls: tls_files(layers, tls)?,
    })
}

/// The files of `mqtts://`; none for `mqtt://`, which can use none of them.
fn tls_files(layers: &[Layer], wanted: bool) -> Result<Option<Tls>, ConfigError> {
    if !wanted {
        let files = [
            ("mqtt.ca", last(layers, |f| &f.mqtt.ca)),
            ("mqtt.client_cert", last(layers, |f| &f.mqtt.client_cert)),
            ("mqtt.client_key", last(layers, |f| &f.mqtt.client_key)),
        ];
        return match files.into_iter().find_map(|(name, found)| Some((name, found?))) {
            Some((name, at)) => Err(ConfigError::at(
                at.place,
                format!("{name} is of no use without TLS: mqtt.url must begin with mqtts://"),
            )),
            None => Ok(None),
        };
    }
    let certificate = key(layers, "mqtt.client_cert", |f| &f.mqtt.client_cert, absolute)?.map(PathBuf::from);
    let own_key =
        key(layers, "mqtt.client_key", |f| &f.mqtt.client_key, |file| secret_file(absolute(file)?))?;
    let identity = match (certificate, own_key.or_else(|| credential(KEY_CREDENTIAL))) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => {
            let at = last(layers, |f| &f.mqtt.client_cert).map(|at| at.place).unwrap_or_default();
            let problem =
                format!("mqtt.client_cert needs mqtt.client_key, or the credential {KEY_CREDENTIAL}");
            return Err(ConfigError::at(at, problem));
        }
        (None, _) => match last(layers, |f| &f.mqtt.client_key) {
            Some(at) => return Err(ConfigError::at(at.place, "mqtt.client_key needs mqtt.client_cert")),
            None => None,
        },
    };
    let ca = key(layers, "mqtt.ca", |f| &f.mqtt.ca, absolute)?.map(PathBuf::from);
    Ok(Some(Tls { ca, identity }))
}

/// The file of a credential that systemd gave to this process, or else the one that it would give to the service:
/// `lectern check` is run by hand and is to see what the daemon sees.
fn credential(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(name));
    let stored = Path::new(CREDENTIAL_STORE).join(format!("lectern.{name}"));
    given.into_iter().chain([stored]).find(|file| file.exists())
}

/// A file's path as it stands. What is none is not repeated: it may be the password or the key itself.
fn absolute(file: String) -> Result<String, String> {
    if file.starts_with('/') && !file.contains(char::is_control) {
        Ok(file)
    } else {
        Err("must be the absolute path of a file; what that file holds does not belong here".to_owned())
    }
}

/// A name that fits the packet that it is sent in.
fn user_name(name: String) -> Result<String, String> {
    if (1..=MAX_USERNAME_BYTES).contains(&name.len()) && !name.contains(char::is_control) {
        Ok(name)
    } else {
        Err(format!("must have 1 to {MAX_USERNAME_BYTES} bytes and no control characters"))
    }
}

/// A file that only its owner may read. One that is not there is no mistake: see [`super::Settings::unreadable_files`].
fn secret_file(file: String) -> Result<PathBuf, String> {
    if std::fs::metadata(&file).is_ok_and(|file| is_open_to_others(&file)) {
        return Err(format!("{file} {OPEN_TO_OTHERS}"));
    }
    Ok(PathBuf::from(file))
}
