//! `mqtt.*`: the broker's address, the credentials, and the files they need.

use std::path::{Path, PathBuf};

use super::layers::{Layers, Refused};
use super::suggest::{CREDENTIAL_STORE, KEY_CREDENTIAL, PASSWORD_CREDENTIAL};
use crate::delivery::{
    Address, Broker, Discovery, MAX_USERNAME_BYTES, Tls, check_prefix, check_url, is_open_to_others,
    open_to_others,
};
use crate::help::Problem;

/// The default URL: a broker on the device itself.
const DEFAULT_PORT: u16 = 1883;

/// The broker and the login, without a client id, which is the topics'.
pub(super) fn broker(layers: &Layers) -> Result<Broker, Refused> {
    let address = layers.key(
        "mqtt.url",
        |f| &f.mqtt.url,
        |url: String| Address::parse(&url).map_err(|error| Problem::from_error(&error)),
    );
    let password_file =
        layers.key("mqtt.password_file", |f| &f.mqtt.password_file, |file| secret_file(absolute(file)?));
    let username = layers.key("mqtt.username", |f| &f.mqtt.username, user_name);
    if let (Ok(None), Some(at)) = (&username, layers.last(|f| &f.mqtt.password_file)) {
        let problem = Problem::new("mqtt.password_file is of no use without mqtt.username");
        layers.refuse(&at.place, problem.with_help("set mqtt.username"));
    }
    // With an invalid URL it is unclear whether TLS is used.
    let tls = match &address {
        Ok(address) => tls_files(layers, address.as_ref().is_some_and(|address| address.tls)),
        Err(refused) => Err(*refused),
    };
    let local = || Address { host: "localhost".to_owned(), port: DEFAULT_PORT, tls: false };
    let Address { host, port, .. } = address?.unwrap_or_else(local);
    let password_file = password_file?.or_else(|| credential(PASSWORD_CREDENTIAL));
    Ok(Broker {
        host,
        port,
        client_id: String::new(),
        login: username?.map(|name| (name, password_file)),
        tls: tls?,
    })
}

/// How the device announces itself to Home Assistant; none where it does not. The window's length is the caller's.
pub(super) fn discovery(layers: &Layers) -> Result<Option<Discovery>, Refused> {
    let checked = |check: fn(&str) -> Result<(), String>| move |text: String| check(&text).map(|()| text);
    let prefix = layers.key("mqtt.discovery_prefix", |f| &f.mqtt.discovery_prefix, checked(check_prefix));
    let url = layers.key("mqtt.configuration_url", |f| &f.mqtt.configuration_url, checked(check_url));
    if !layers.last(|f| &f.mqtt.discovery).is_some_and(|on| on.value) {
        prefix.and(url)?;
        return Ok(None);
    }
    let default = Discovery::new(0);
    Ok(Some(Discovery { prefix: prefix?.unwrap_or(default.prefix), configuration_url: url?, ..default }))
}

/// The files of `mqtts://`; none for `mqtt://`, which can use none of them.
fn tls_files(layers: &Layers, enabled: bool) -> Result<Option<Tls>, Refused> {
    if !enabled {
        let files = [
            ("mqtt.ca", layers.last(|f| &f.mqtt.ca)),
            ("mqtt.client_cert", layers.last(|f| &f.mqtt.client_cert)),
            ("mqtt.client_key", layers.last(|f| &f.mqtt.client_key)),
        ];
        for (name, at) in files.into_iter().filter_map(|(name, found)| Some((name, found?))) {
            let problem = Problem::new(format!("{name} is of no use without TLS"));
            layers.refuse(&at.place, problem.with_help("mqtt.url must begin with mqtts://"));
        }
        return Ok(None);
    }
    let certificate = layers.key("mqtt.client_cert", |f| &f.mqtt.client_cert, absolute);
    let own_key = layers.key("mqtt.client_key", |f| &f.mqtt.client_key, |file| secret_file(absolute(file)?));
    let ca = layers.key("mqtt.ca", |f| &f.mqtt.ca, absolute);
    let identity = match (certificate?, own_key?.or_else(|| credential(KEY_CREDENTIAL))) {
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), key)),
        (certificate, _) => {
            let (without, at) = match certificate {
                Some(_) => (
                    format!("mqtt.client_cert needs mqtt.client_key, or the credential {KEY_CREDENTIAL}"),
                    layers.last(|f| &f.mqtt.client_cert),
                ),
                None => {
                    ("mqtt.client_key needs mqtt.client_cert".to_owned(), layers.last(|f| &f.mqtt.client_key))
                }
            };
            if let Some(at) = at {
                layers.refuse(&at.place, without);
            }
            None
        }
    };
    Ok(Some(Tls { ca: ca?.map(PathBuf::from), identity }))
}

/// The file of a credential that systemd passed to this process, or else the one that it would pass to the service: a manual
/// `lectern check` must use the daemon's credentials.
fn credential(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(name));
    let stored = Path::new(CREDENTIAL_STORE).join(format!("lectern.{name}"));
    given.into_iter().chain([stored]).find(|file| file.exists())
}

/// A file's path as it stands. What is none is not repeated: it may be the password or the key itself.
fn absolute(file: String) -> Result<String, Problem> {
    if file.starts_with('/') && !file.contains(char::is_control) {
        return Ok(file);
    }
    let help = "write its content into that file: what a file holds does not belong here";
    Err(Problem::new("must be the absolute path of a file").with_help(help))
}

/// A name that fits the packet that it is sent in.
fn user_name(name: String) -> Result<String, Problem> {
    if (1..=MAX_USERNAME_BYTES).contains(&name.len()) && !name.contains(char::is_control) {
        Ok(name)
    } else {
        Err(format!("must have 1 to {MAX_USERNAME_BYTES} bytes and no control characters").into())
    }
}

/// A file that only its owner may read. One that is not there is no mistake: see [`super::Settings::unreadable_files`].
fn secret_file(file: String) -> Result<PathBuf, Problem> {
    if std::fs::metadata(&file).is_ok_and(|file| is_open_to_others(&file)) {
        return Err(open_to_others().of(&file).of("="));
    }
    Ok(PathBuf::from(file))
}
