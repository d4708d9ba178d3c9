//! The broker of docs/install.md: its options, access rules and certificates, in a real mosquitto.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};

use common::device::{record, rest, timing};
use common::{Mosquitto, Subscriber, TIMEOUT, lectern, local_broker, refusal, write_secret};
use lectern::delivery::spool::Spool;
use lectern::delivery::{
    Answer, Broker, DeliveryThread, PublisherConfig, Tls, Update, UpdateSender, check_broker,
};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The device that the access rules name, and its place.
const DEVICE: &str = "r101-cam1";
const PLACE: &str = "lectern/v1/north/main/101/r101-cam1";

/// The recipe's broker, with the users of the access rules and one more.
struct Recipe {
    /// Has an additional plain listener, open to all, for observers.
    mosquitto: Mosquitto,
    port: u16,
    /// Passwords and certificates.
    folder: tempfile::TempDir,
}

impl Recipe {
    fn start() -> Self {
        Self::with_access_rules(str::to_owned)
    }

    /// With other access rules than the recipe's.
    fn with_access_rules(edit: impl Fn(&str) -> String) -> Self {
        let (folder, server) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("it is installed");
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let certificates = folder.path().to_str().unwrap();
        run("docs/broker/certificates.sh", &["localhost", certificates]);
        let place = server.path().to_str().unwrap();
        let passwords = format!("{place}/passwords");
        std::fs::write(&passwords, "").unwrap();
        for user in [DEVICE, "r102-cam1", "dashboard", "homeassistant"] {
            run("mosquitto_passwd", &["-b", &passwords, user, "Xyzzy-42"]);
        }
        for file in ["broker.pem", "broker.key"] {
            std::fs::copy(folder.path().join(file), server.path().join(file)).unwrap();
        }
        let rules = std::fs::read_to_string("docs/broker/acl").unwrap();
        std::fs::write(server.path().join("acl"), edit(&rules)).unwrap();
        write_secret(&folder.path().join("password"), "Xyzzy-42\n");
        let recipe = std::fs::read_to_string("docs/broker/mosquitto.conf").unwrap();
        assert!(recipe.contains("\nlistener 8883\n"), "the port that the documents name");
        let options = recipe.replace("\nlistener 8883\n", "\n").replace("/etc/mosquitto/lectern", place);
        let (mosquitto, port) = Mosquitto::with_listener(&options, server);
        Self { mosquitto, port, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The connection parameters of this user.
    fn broker(&self, user: &str) -> Broker {
        Broker {
            host: "localhost".to_owned(),
            login: Some((user.to_owned(), Some(self.file("password")))),
            tls: Some(Tls { ca: Some(self.file("ca.pem")), identity: None }),
            ..local_broker(self.port, user)
        }
    }

    /// The result of publishing a message as this user.
    fn publish(&self, user: &str, topic: &str) -> Answer {
        check_broker(&self.broker(user), topic, "{\"schema\":1,\"device\":\"forged\",\"check\":true}")
            .unwrap()
    }

    /// Publishes a retained message through the open listener.
    fn retain(&self, topic: &str) {
        let shown =
            if topic.starts_with("homeassistant/") { "docs/wire/discovery.json" } else { "docs/broker/acl" };
        let output = Command::new("mosquitto_pub")
            .args(["-p", &self.mosquitto.port.to_string(), "-r", "-q", "1", "-t", topic, "-f", shown])
            .output()
            .expect("mosquitto-clients is installed");
        assert!(output.status.success());
    }

    /// The output of `lectern check` for this broker.
    fn check(&self) -> String {
        let config = self.file("lectern.toml");
        let folder = self.folder.path().display();
        std::fs::write(
            &config,
            format!(
                "camera.device = \"/dev/null\"\n[device]\nid = \"{DEVICE}\"\nsite = \"north\"\nbuilding = \"main\"\nroom = \"101\"\n\
                 [deployment]\nbasis = \"test\"\n[mqtt]\nurl = \"mqtts://localhost:{}\"\nusername = \"{DEVICE}\"\npassword_file = \
                 \"{folder}/password\"\nca = \"{folder}/ca.pem\"\ndiscovery = true\n",
                self.port
            ),
        )
        .unwrap();
        let output = lectern().args(["check", "--only", "broker", "--config"]).arg(&config).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{printed}");
        printed
    }

    fn device(&self, discovery: Option<u32>) -> (UpdateSender, DeliveryThread) {
        let spool = Spool::in_memory(10).unwrap();
        let config = common::config(DEVICE, self.broker(DEVICE), &spool, timing());
        let discovery = discovery.map(lectern::delivery::Discovery::new);
        PublisherConfig { discovery, ..config }.start(spool).unwrap()
    }

    /// Subscribes to `filter` as this user; returns the topics of the messages up to `last`.
    fn topics_until(&self, user: &str, filter: &str, last: &str) -> Vec<String> {
        let mut options = MqttOptions::new(format!("{user}-reads"), "localhost", self.port);
        options.set_credentials(user, "Xyzzy-42").set_max_packet_size(65_536, 10_240);
        options.set_transport(Transport::tls_with_config(trusting(&self.file("ca.pem"))));
        let (client, mut connection) = Client::new(options, 16);
        client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (sender, topics) = mpsc::channel();
        std::thread::spawn(move || {
            // The client must live as long as its connection.
            let _client = client;
            for event in connection.iter() {
                if let Event::Incoming(Packet::Publish(publish)) = event.unwrap()
                    && sender.send(publish.topic).is_err()
                {
                    return;
                }
            }
        });
        let mut given = Vec::new();
        while given.last().is_none_or(|topic| topic != last) {
            given.push(topics.recv_timeout(TIMEOUT).expect("a message"));
        }
        given
    }
}

fn trusting(ca: &Path) -> TlsConfiguration {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConfiguration::Rustls(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[test]
fn device_delivers_minutes_status_announcement() {
    let recipe = Recipe::start();
    let subscriber = Subscriber::start(recipe.mosquitto.port);
    let (updates, thread) = recipe.device(Some(60));
    (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
    let announcement = "homeassistant/device/lectern__v1__north__main__101__r101-cam1/config";
    let mut messages = subscriber.until(|topic, _| topic == announcement);
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    messages.extend(rest(&subscriber, 0));
    let minutes = messages.iter().filter(|(topic, _)| *topic == format!("{PLACE}/minute")).count();
    let states = messages.iter().filter(|(topic, _)| *topic == format!("{PLACE}/status")).count();
    assert!(minutes == 3 && states >= 2, "{messages:?}");
}

/// The password and CA of the recipe suffice for `lectern check`.
#[test]
fn check_passes_with_the_recipe_files() {
    let printed = Recipe::start().check();
    assert!(printed.starts_with("ok       broker") && printed.contains("on the 4 topics of"), "{printed}");
}

#[test]
fn check_names_topics_without_permission() {
    let topics = ["minute", "status", "check"].map(|topic| format!("{PLACE}/{topic}"));
    let announcement = "homeassistant/device/lectern__v1__north__main__101__r101-cam1/config".to_owned();
    let topics = [&topics[..], &[announcement]].concat();
    std::thread::scope(|scope| {
        for topic in &topics {
            // Without write permission, without read permission, without both.
            for rest in ["topic read ", "topic write ", "# "] {
                let topics = &topics;
                scope.spawn(move || {
                    let whole = format!("topic readwrite {topic}");
                    let recipe = Recipe::with_access_rules(|rules| {
                        assert!(rules.contains(&whole), "{topic}");
                        rules.replace(&whole, &format!("{rest}{topic}"))
                    });
                    // A message retained while the permission existed must not count.
                    recipe.retain(topic);
                    let printed = recipe.check();
                    assert!(printed.starts_with("warning  broker"), "{rest}{topic}: {printed}");
                    for other in topics {
                        assert_eq!(
                            printed.contains(other.as_str()),
                            other == topic,
                            "{rest}{topic}: {printed}"
                        );
                    }
                });
            }
        }
    });
}

#[test]
fn only_the_device_may_write_its_topics() {
    let recipe = Recipe::start();
    let subscriber = Subscriber::start(recipe.mosquitto.port);
    let neighbour = "lectern/v1/north/main/102/r102-cam1";
    let announcements = "homeassistant/device/lectern__v1__north__main__10";
    let forbidden = [
        // A device, on the topics of another one, and of itself in another place.
        (DEVICE, format!("{neighbour}/minute")),
        (DEVICE, format!("{neighbour}/status")),
        (DEVICE, format!("{neighbour}/check")),
        (DEVICE, "lectern/v1/north/main/102/r101-cam1/minute".to_owned()),
        (DEVICE, format!("{announcements}2__r102-cam1/config")),
        // Read-only users.
        ("dashboard", format!("{PLACE}/minute")),
        ("dashboard", format!("{PLACE}/status")),
        ("dashboard", format!("{announcements}1__r101-cam1/config")),
        ("homeassistant", format!("{PLACE}/minute")),
        // A user with a password but no rule.
        ("r102-cam1", format!("{neighbour}/minute")),
    ];
    for (user, topic) in forbidden {
        // MQTT 3.1.1 acknowledges also messages that the rules discard.
        assert_eq!(recipe.publish(user, &topic), Answer::Acknowledged, "{user} on {topic}");
    }
    // None of them arrived before the permitted message.
    assert_eq!(recipe.publish(DEVICE, &format!("{PLACE}/check")), Answer::Returned);
    assert_eq!(subscriber.next().0, format!("{PLACE}/check"));
}

#[test]
fn readers_get_retained_states_and_new_minutes() {
    let recipe = Recipe::start();
    let (updates, thread) = recipe.device(Some(60));
    drop(updates);
    thread.join().unwrap();
    let (status, minute) = (format!("{PLACE}/status"), format!("{PLACE}/minute"));
    assert_eq!(recipe.topics_until("dashboard", "lectern/v1/#", &status), std::slice::from_ref(&status));
    let given = recipe.topics_until(
        "homeassistant",
        "homeassistant/#",
        "homeassistant/device/lectern__v1__north__main__101__r101-cam1/config",
    );
    assert_eq!(given.len(), 1);

    // On subscription the dashboard receives the retained status; then a minute.
    std::thread::scope(|scope| {
        let dashboard = scope.spawn(|| recipe.topics_until("dashboard", "lectern/v1/#", &minute));
        while !dashboard.is_finished() {
            let (updates, thread) = recipe.device(None);
            updates.send(Update::Record(record(0)));
            drop(updates);
            assert_eq!(thread.join().unwrap().undelivered, 0);
        }
        assert_eq!(dashboard.join().unwrap().first(), Some(&status));
    });
}

#[test]
fn password_and_tls_are_required() {
    let recipe = Recipe::start();
    let anonymous = Broker { login: None, ..recipe.broker(DEVICE) };
    assert!(refusal(&anonymous).contains("not authorised"));
    let plain = Broker { tls: None, ..recipe.broker(DEVICE) };
    assert!(refusal(&plain).contains("mqtt.url must begin with mqtts://"));
}
