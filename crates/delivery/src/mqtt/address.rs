//! The broker's address, parsed from `mqtt.url`.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use lectern_record::help::Help;

/// The longest host name (RFC 1035, 2.3.4), in bytes.
const LONGEST_HOST: usize = 253;

/// A parsed `mqtt.url`.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to use TLS.
    pub tls: bool,
}

/// An invalid URL. The error does not repeat it, because it may hold a password in many disguises.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It contains an `@`.
    #[error("must hold no user name or password")]
    HoldsLogin,
    /// It has another form.
    #[error("must look like mqtts://broker.example:8883 or mqtt://broker.example:1883")]
    BadForm,
}

impl Help for BadAddress {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::HoldsLogin => {
                "set mqtt.username, and put the password into the credential mqtt-password or a file of mode 0600 in \
                 mqtt.password_file"
            }
            Self::BadForm => {
                "write a host of letters, digits, `-`, `.` and `_`, or an IPv6 address in brackets, and a port from 1 to \
                 65535; a user name belongs in mqtt.username"
            }
        }))
    }
}

impl Address {
    /// Splits `mqtt://host[:port]` or `mqtts://host[:port]`.
    ///
    /// # Errors
    /// [`BadAddress`], which does not repeat the URL.
    pub fn parse(url: &str) -> Result<Self, BadAddress> {
        if url.contains('@') {
            return Err(BadAddress::HoldsLogin);
        }
        let (address, tls) = match (url.strip_prefix("mqtts://"), url.strip_prefix("mqtt://")) {
            (Some(address), _) => (address, true),
            (None, Some(address)) => (address, false),
            (None, None) => return Err(BadAddress::BadForm),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.rsplit_once(':') {
            // An IPv6 address is in brackets; a colon inside them separates no port.
            Some((host, port)) if !port.ends_with(']') => (host, port_number(port)?),
            _ => (address, if tls { 8883 } else { 1883 }),
        };
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if is_host(host) => host,
            _ => return Err(BadAddress::BadForm),
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

fn port_number(text: &str) -> Result<u16, BadAddress> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or(BadAddress::BadForm)
}

/// Whether the host is safe in a log line: a plain name or address.
fn is_host(host: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=LONGEST_HOST).contains(&host.len()) && host.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_broker_addresses() {
        let address = |host: &str, port, tls| Ok(Address { host: host.to_owned(), port, tls });
        assert_eq!(Address::parse("mqtt://b.example"), address("b.example", 1883, false));
        assert_eq!(Address::parse("mqtts://b_1.example"), address("b_1.example", 8883, true));
        assert_eq!(Address::parse("mqtt://[::1]:1884/"), address("::1", 1884, false));
        assert_eq!(Address::parse("mqtts://[fe80::1]"), address("fe80::1", 8883, true));
    }

    /// The error of a rejected URL does not repeat it, because it may hold a password.
    #[test]
    fn rejected_url_is_not_repeated() {
        let canary = "Xyzzy";
        for url in [
            "mqtt://u:Xyzzy@h",
            "mqtt://u:Xyzzy%40h",
            "mqtt://user:Xyzzy",
            "user:Xyzzy@h:1883",
            "Xyzzy",
            "http://Xyzzy",
            "mqtt://Xyzzy h",
            "mqtt://[Xyzzy]",
            "mqtt://[::1]Xyzzy",
            "mqtt://Xyzzy/h",
            "mqtt://Xyzzy?h",
            "mqtt://Xyzzy#h",
            "mqtt://:1883",
            "mqtt://",
            "mqtt://h:0",
            "mqtt://h:65536",
            "mqtt://h:+1",
            "mqtt://h:",
            "mqtt://::1",
            "mqtt://Xyzzy\n",
            "mqtt://é",
            "mqtt://[::1",
            "mqtt://::1]",
            "mqtt://h//",
        ] {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(!error.contains(canary) && error.contains("must "), "{url}: {error}");
        }
        assert!(Address::parse(&format!("mqtt://{}", "h".repeat(254))).is_err());
    }
}
