//! Connections that must be made, or refused and explained, against a real mosquitto: TLS, logins, access rules.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::device::{broker, reconcile, record, rest, start, timing};
use common::proxy::{Fault, Proxy};
use common::{Mosquitto, Subscriber, TIMEOUT, refusal, write_secret};
use lectern::delivery::spool::Spool;
use lectern::delivery::topics::Topics;
use lectern::delivery::{Answer, Broker, Timing, Tls, Update, check_broker};

/// Files in a folder: a CA, a server certificate for `localhost`, an expired one, a client certificate, self-signed
/// certificates (`own` is a CA too, as `openssl req -x509` makes it; `plain` is none; `stale` has expired; `elsewhere` is
/// for another name), the password of the user lectern (`right`), and the broker's password file.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        std::fs::write(this.0.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        for authority in ["ca", "other"] {
            this.run(&format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.pem -days 30 -subj /CN={authority}"
            ));
        }
        for (name, days) in [("server", 30), ("expired", -1), ("client", 30)] {
            this.run(&format!("req -new {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            this.run(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile names -out \
                 {name}.pem"
            ));
        }
        this.run(&format!(
            "req -x509 {KEY} -keyout own.key -out own.pem -days 30 -subj /CN=own -addext {LOCAL}"
        ));
        this.run(&format!(
            "req -x509 {KEY} -keyout elsewhere.key -out elsewhere.pem -days 30 -subj /CN=own -addext {LOCAL}.example"
        ));
        // An expired CA certificate: `req` accepts no negative days.
        std::fs::write(this.0.path().join("authority"), format!("{LOCAL}\nbasicConstraints=CA:TRUE\n"))
            .unwrap();
        for (name, days, extensions) in [("plain", 30, "names"), ("stale", -1, "authority")] {
            this.run(&format!("req -new {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            this.run(&format!(
                "x509 -req -in {name}.csr -signkey {name}.key -days {days} -extfile {extensions} -out {name}.pem"
            ));
        }
        write_secret(&this.file("right"), "Xyzzy-42\n");
        this.command("mosquitto_passwd", "-b -c passwords lectern Xyzzy-42");
        this
    }

    fn run(&self, arguments: &str) {
        self.command("openssl", arguments);
    }

    fn command(&self, program: &str, arguments: &str) {
        let output = Command::new(program)
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .expect("openssl and mosquitto are installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A broker with this certificate and an additional plain listener; `{place}` in the other options is its folder.
    fn broker(&self, certificate: &str, more: &str) -> (Mosquitto, u16) {
        let folder = tempfile::tempdir().unwrap();
        let (shown, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        for file in ["ca.pem", "passwords", &shown, &key] {
            std::fs::copy(self.file(file), folder.path().join(file)).unwrap();
        }
        let place = folder.path().display().to_string();
        let more = more.replace("{place}", &place);
        let options =
            format!("cafile {place}/ca.pem\ncertfile {place}/{shown}\nkeyfile {place}/{key}\n{more}");
        Mosquitto::with_listener(&options, folder)
    }

    fn tls(&self, authority: &str, client: bool) -> Option<Tls> {
        let identity = client.then(|| (self.file("client.pem"), self.file("client.key")));
        Some(Tls { ca: Some(self.file(authority)), identity })
    }
}

const LOCAL: &str = "subjectAltName=DNS:localhost";

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

fn delivers(mosquitto: &Mosquitto, broker: Broker) {
    let subscriber = Subscriber::start(mosquitto.port);
    let (updates, thread) = start(broker, Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 3), 3);
}

#[test]
fn tls_and_mutual_tls_deliver() {
    let certificates = Certificates::make();
    let (mosquitto, port) = certificates.broker("server", "allow_anonymous true");
    delivers(&mosquitto, Broker { tls: certificates.tls("ca.pem", false), ..broker(port) });
    let (mosquitto, port) = certificates.broker("server", "allow_anonymous true\nrequire_certificate true");
    delivers(&mosquitto, Broker { tls: certificates.tls("ca.pem", true), ..broker(port) });
}

#[test]
fn failed_connections_are_explained() {
    let certificates = Certificates::make();
    let secret = certificates.file("password");
    write_secret(&secret, "Xyzzy-42\n");
    let (plain, good) = certificates.broker("server", "allow_anonymous true");
    let (_expired, expired) = certificates.broker("expired", "allow_anonymous true");
    let (_mutual, mutual) = certificates.broker("server", "allow_anonymous true\nrequire_certificate true");
    let (_closed, closed) = certificates.broker("server", "allow_anonymous false");
    let trusted = || certificates.tls("ca.pem", false);
    let login = Some(("lectern".to_owned(), Some(secret.clone())));
    let ip = Ipv4Addr::LOCALHOST.to_string();
    let cases = [
        (Broker { tls: certificates.tls("other.pem", false), ..broker(good) }, "mqtt.ca"),
        (Broker { tls: trusted(), ..broker(expired) }, "its certificate has expired"),
        (Broker { tls: trusted(), host: ip, ..broker(good) }, "is not for the name 127.0.0.1"),
        (
            Broker { tls: trusted(), ..broker(mutual) },
            "a certificate from this device; name mqtt.client_cert and mqtt.client_key",
        ),
        (
            Broker { tls: trusted(), ..broker(plain.port) },
            "closed the connection during the TLS handshake; does it talk TLS",
        ),
        (broker(good), "mqtt.url must begin with mqtts://"),
        (Broker { tls: trusted(), ..broker(closed) }, "not authorised"),
        (Broker { tls: trusted(), login, ..broker(closed) }, "password is wrong"),
        (Broker { tls: certificates.tls("none.pem", false), ..broker(good) }, "mqtt.ca"),
        (broker(common::free_port()), "check mqtt.url and the network"),
    ];
    for (broker, expected) in cases {
        let error = refusal(&broker);
        assert!(error.contains(expected), "{error}\nshould contain {expected}");
        assert!(!error.contains("Xyzzy") && !format!("{broker:?}").contains("Xyzzy"), "{error}");
    }
}

/// MQTT 3.1.1 acknowledges messages that access rules discard; only a subscriber detects it.
#[test]
fn discarded_message_is_detected_by_subscribing() {
    let (mosquitto, denied) = Mosquitto::with_access_rules("topic readwrite elsewhere/#\n", 1000);
    let subscriber = Subscriber::start(mosquitto.port);
    let (updates, thread) = start(broker(denied), Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0, "each one has its PUBACK");
    // None of it arrives before what is published on the open port afterwards.
    let (updates, thread) = start(broker(mosquitto.port), Spool::in_memory(10).unwrap(), None);
    updates.send(Update::Record(record(0)));
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 1), 1);

    let answer = |port| check_broker(&broker(port), "lectern/v1/check", "{}").unwrap();
    assert_eq!(answer(denied), Answer::Acknowledged);
    let (_writing, may_only_write) = Mosquitto::with_access_rules("topic write lectern/#\n", 1000);
    assert_eq!(answer(may_only_write), Answer::Acknowledged);
    let (_open, may_both) = Mosquitto::with_access_rules("topic readwrite lectern/#\n", 1000);
    assert_eq!(answer(may_both), Answer::Returned);
}

/// A broker that accepts the status and closes is retried at growing intervals.
#[test]
fn close_after_status_backs_off() {
    let (_mosquitto, port) = Mosquitto::with_access_rules("topic read lectern/#\n", 0);
    let proxy = Proxy::before(port);
    let slow_retry = Timing { longest_backoff: TIMEOUT, shutdown_within: Duration::ZERO, ..timing() };
    let spool = Spool::in_memory(10).unwrap();
    let (updates, thread) =
        common::config("cam1", broker(proxy.port), &spool, slow_retry).start(spool).unwrap();
    proxy.wait_for_connection_after(2);
    std::thread::sleep(Duration::from_secs(2));
    drop(updates);
    thread.join().unwrap();
    // At the shortest back-off it would be some two hundred.
    assert!(proxy.connections() < 30, "{}", proxy.connections());
}

#[test]
fn corrected_ca_and_password_need_no_restart() {
    let certificates = Certificates::make();
    let folder = tempfile::tempdir().unwrap();
    let (ca, password) = (folder.path().join("ca.pem"), folder.path().join("password"));
    std::fs::copy(certificates.file("other.pem"), &ca).unwrap();
    write_secret(&password, "wrong");
    let (mosquitto, port) = certificates.broker("server", "password_file {place}/passwords");
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(port);
    let device = Broker {
        tls: Some(Tls { ca: Some(ca.clone()), identity: None }),
        login: Some(("lectern".to_owned(), Some(password.clone()))),
        ..broker(proxy.port)
    };
    let (updates, thread) = start(device, Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
    // Refused for one reason, then for the other.
    for (from, to) in [(certificates.file("ca.pem"), &ca), (certificates.file("right"), &password)] {
        proxy.wait_for_connection_after(proxy.connections() + 1);
        std::fs::copy(from, to).unwrap();
    }
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 3), 3);
}

#[test]
fn silent_broker_times_out() {
    // The kernel accepts connections; no program does.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let certificates = Certificates::make();
    let devices = [broker(port), Broker { tls: certificates.tls("ca.pem", false), ..broker(port) }];
    let checks = devices.map(|device| std::thread::spawn(move || refusal(&device)));
    for error in checks.map(|check| check.join().unwrap()) {
        assert!(error.contains("does not answer; check mqtt.url and the network"), "{error}");
    }
}

/// A self-signed certificate is accepted if mqtt.ca names it and it is valid.
#[test]
fn pinned_self_signed_certificate_is_accepted() {
    let certificates = Certificates::make();
    for (shown, named, expected) in [
        ("own", "own.pem", None),
        ("plain", "plain.pem", None),
        (
            "own",
            "other.pem",
            Some("is that of an authority (CA:TRUE); name this very certificate in mqtt.ca"),
        ),
        ("own", "elsewhere.pem", Some("is that of an authority (CA:TRUE)")),
        ("elsewhere", "elsewhere.pem", Some("is not for the name localhost")),
        ("stale", "stale.pem", Some("its certificate has expired")),
        ("plain", "own.pem", Some("signed by an authority that is not trusted here")),
    ] {
        let (mosquitto, port) = certificates.broker(shown, "allow_anonymous true");
        let device = Broker { tls: certificates.tls(named, false), ..broker(port) };
        match expected {
            None => delivers(&mosquitto, device),
            Some(expected) => {
                let error = refusal(&device);
                assert!(error.contains(expected) && error.contains("; "), "{shown} with {named}: {error}");
            }
        }
    }
}

/// The error names the missing client certificate in each version of TLS.
#[test]
fn missing_client_certificate_is_explained() {
    let certificates = Certificates::make();
    for version in ["tlsv1.2", "tlsv1.3"] {
        let more = format!("allow_anonymous true\nrequire_certificate true\ntls_version {version}");
        let (_mosquitto, port) = certificates.broker("server", &more);
        let device = Broker { tls: certificates.tls("ca.pem", false), ..broker(port) };
        let error = refusal(&device);
        assert!(
            error.contains("a certificate from this device; name mqtt.client_cert and mqtt.client_key"),
            "{error}"
        );
    }
}

#[test]
fn too_long_chain_is_explained() {
    let certificates = Certificates::make();
    // Two hundred certificates of some 500 bytes.
    let mut chain = std::fs::read_to_string(certificates.file("server.pem")).unwrap();
    let authority = std::fs::read_to_string(certificates.file("ca.pem")).unwrap();
    chain.extend(std::iter::repeat_n(authority.as_str(), 250));
    std::fs::write(certificates.file("server.pem"), chain).unwrap();
    let (_mosquitto, port) = certificates.broker("server", "allow_anonymous true");
    let device = Broker { tls: certificates.tls("ca.pem", false), ..broker(port) };
    let error = refusal(&device);
    assert!(error.contains("its certificate chain is too long, 64 kB are allowed; "), "{error}");
}

/// The error for an unusable file never prints its content.
#[test]
fn unusable_file_is_named_without_content() {
    let certificates = Certificates::make();
    let secret = certificates.file("secret");
    write_secret(&secret, "-----BEGIN PRIVATE KEY-----\nXyzzy-42!\n-----END PRIVATE KEY-----\n");
    let long = certificates.file("long");
    write_secret(&long, &"Xyzzy-42".repeat(3000));
    let open = certificates.file("open");
    std::fs::write(&open, "Xyzzy-42").unwrap();
    let certificate = std::fs::read_to_string(certificates.file("server.pem")).unwrap();
    write_secret(&certificates.file("no-key"), &certificate);
    let binary = certificates.file("binary");
    write_secret(&binary, "");
    std::fs::write(&binary, b"Xyzzy-42\xff\n").unwrap();
    let with = |ca: &str, identity: Option<(&str, &str)>| {
        let identity = identity.map(|(chain, key)| (certificates.file(chain), certificates.file(key)));
        Broker { tls: Some(Tls { ca: Some(certificates.file(ca)), identity }), ..broker(1) }
    };
    let login = |file: &PathBuf| Broker { login: Some(("u".to_owned(), Some(file.clone()))), ..broker(1) };
    let cases = [
        (with("secret", None), "mqtt.ca"),
        (with("ca.pem", Some(("client.pem", "secret"))), "mqtt.client_key"),
        (with("ca.pem", Some(("client.pem", "no-key"))), "holds no private key in PEM form"),
        (with("ca.pem", Some(("client.pem", "server.key"))), "is not the key of mqtt.client_cert"),
        (login(&long), "holds more than 16384 bytes"),
        (login(&binary), "mqtt password file"),
        (login(&open), "is open to others"),
        (login(&PathBuf::from("/dev/null")), "it is a device, not a regular file"),
        (with("ca.pem", Some(("client.pem", "open"))), "is open to others"),
    ];
    for (broker, expected) in cases {
        let error = refusal(&broker);
        assert!(error.contains(expected) && error.contains("; ") && !error.contains("Xyzzy"), "{error}");
    }
}

/// Keys and certificates of other kinds are named for what they are.
#[test]
fn unsupported_certificates_are_named() {
    let certificates = Certificates::make();
    let p521 = KEY.replace("P-256", "P-521");
    certificates.run(&format!("req -new {p521} -keyout large.key -out large.csr -subj /CN=large"));
    let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 30";
    certificates.run(&format!("x509 -req -in large.csr {sign} -extfile names -out large.pem"));
    // Without extensions openssl 3.0 makes one of version 1, and later ones do so where they are told.
    let versions = Command::new("openssl").args(["x509", "-help"]).output().unwrap();
    let old = if String::from_utf8_lossy(&versions.stderr).contains("-x509v1") { " -x509v1" } else { "" };
    certificates.run(&format!("x509 -req -in client.csr {sign} -out old.pem{old}"));
    for (name, options) in [("pkcs1", " -traditional"), ("pkcs8", "")] {
        certificates.run(&format!("genrsa -out {name}.rsa 2048"));
        certificates.run(&format!("rsa -in {name}.rsa -aes128 -passout pass:Xyzzy -out {name}.key{options}"));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(certificates.file(&format!("{name}.key")), mode).unwrap();
    }
    let identity = |chain: &str, key: &str| Broker {
        tls: Some(Tls {
            ca: Some(certificates.file("ca.pem")),
            identity: Some((certificates.file(chain), certificates.file(key))),
        }),
        ..broker(1)
    };
    for (chain, key, expected) in [
        ("large.pem", "large.key", "large.key is a key of a kind that is not supported here"),
        ("old.pem", "client.key", "old.pem is of X.509 version 1"),
        ("client.pem", "pkcs1.key", "pkcs1.key holds an encrypted private key"),
        ("client.pem", "pkcs8.key", "pkcs8.key holds an encrypted private key"),
    ] {
        let error = refusal(&identity(chain, key));
        assert!(error.contains(expected), "{error}");
    }
    // A server's key that cannot be used looks from here like one that wants a certificate: both causes are named.
    let (_mosquitto, port) = certificates.broker("large", "allow_anonymous true");
    let error = refusal(&Broker { tls: certificates.tls("ca.pem", false), ..broker(port) });
    assert!(error.contains("refuses the TLS handshake") && error.contains("P-384"), "{error}");
}

/// A byte order mark in front of a certificate changes nothing; UTF-16 is named.
#[test]
fn byte_order_marks_are_read() {
    let certificates = Certificates::make();
    let text = std::fs::read_to_string(certificates.file("ca.pem")).unwrap();
    std::fs::write(certificates.file("marked.pem"), format!("\u{feff}{text}")).unwrap();
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(certificates.file("wide.pem"), wide).unwrap();
    let (mosquitto, port) = certificates.broker("server", "allow_anonymous true");
    delivers(&mosquitto, Broker { tls: certificates.tls("marked.pem", false), ..broker(port) });
    let error = refusal(&Broker { tls: certificates.tls("wide.pem", false), ..broker(port) });
    assert!(error.contains("wide.pem is in UTF-16; save it"), "{error}");
}

#[test]
fn longest_names_and_login_deliver() {
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    write_secret(&password, &"p".repeat(16 * 1024));
    // Each `_` becomes two bytes in the id of the announcement.
    let level = "_".repeat(64);
    let topics = Topics::new(&("_/".repeat(63) + "__"), &level, &level, &level, &level);
    let device = Broker {
        client_id: topics.client_id(),
        login: Some(("u".repeat(1024), Some(password))),
        ..broker(mosquitto.port)
    };
    let spool = Spool::in_memory(10).unwrap();
    let config = lectern::delivery::PublisherConfig {
        topics: topics.clone(),
        discovery: Some(lectern::delivery::Discovery::new(60)),
        ..common::config(&level, device, &spool, timing())
    };
    let (updates, thread) = config.start(spool).unwrap();
    updates.send(Update::Record(record(0)));
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    let messages = subscriber.until(|_, payload| payload["state"] == "offline");
    assert!(messages.iter().any(|(topic, _)| *topic == topics.minute));
    let announced = messages.iter().find(|(topic, _)| topic.starts_with("homeassistant/")).unwrap();
    assert!(announced.1.to_string().len() > 10_240, "more than rumqttc sends by itself");
}

#[test]
fn rejected_announcement_stops_no_record() {
    // The proxy acts as a broker that closes the connection: mosquitto only discards the message.
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    proxy.set(Fault::CutAt("homeassistant/"));
    let (updates, thread) = start(broker(proxy.port), Spool::in_memory(10).unwrap(), Some(60));
    for seq in 0..5 {
        updates.send(Update::Record(record(seq)));
        std::thread::sleep(Duration::from_millis(300));
    }
    let connections = proxy.connections();
    assert!(connections <= 2, "{connections}: the announcement is made on each of them");
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    let messages = rest(&subscriber, 5);
    assert!(messages.iter().all(|(topic, _)| topic.starts_with("lectern/")));
    reconcile(&messages, 5);
}
