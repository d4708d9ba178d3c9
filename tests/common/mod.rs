//! What several tests need: the program, a real mosquitto, a subscriber, the data folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lectern::clock::{Stop, SystemClock};
use lectern::delivery::payload::Identity;
use lectern::delivery::spool::Spool;
use lectern::delivery::topics::Topics;
use lectern::delivery::{Broker, Delivery, Timing};
use lectern::service::health::Health;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

/// Longest wait for anything that should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn lectern() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lectern"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LECTERN_")) {
        command.env_remove(name);
    }
    command
}

/// The folder of data that is not part of the project, or none, which is said.
pub(crate) fn data(part: &str) -> Option<PathBuf> {
    match std::env::var_os("LECTERN_DATA") {
        Some(folder) => Some(Path::new(&folder).join(part)),
        None => {
            eprintln!("skipped: LECTERN_DATA is not set");
            None
        }
    }
}

/// A video of the portrait: `seconds` long, 10 frames a second, 400x400.
pub(crate) fn portrait_video(folder: &Path, name: &str, seconds: u32) -> PathBuf {
    let path = folder.join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-loop", "1", "-framerate", "10", "-i", "tests/fixtures/portrait.png"])
        // Noise, so that a later frame is not almost nothing.
        .args(["-t", &seconds.to_string(), "-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p"])
        .arg(&path)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success());
    path
}

/// A folder with one still of the portrait, `filter`ed by ffmpeg.
pub(crate) fn still(folder: &Path, filter: &str) -> PathBuf {
    let stills = folder.join("stills");
    std::fs::create_dir(&stills).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i", "tests/fixtures/portrait.png", "-vf", filter])
        .arg(stills.join("0.png"))
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success());
    stills
}

/// A validator of `lectern schema`.
pub(crate) fn schema() -> jsonschema::Validator {
    let output = lectern().arg("schema").output().unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&output.stdout).unwrap()).unwrap()
}

/// The 13 kinds.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    lectern::expression::Expression::ALL.into_iter().map(lectern::expression::Expression::name)
}

/// A copy of the shipped networks and their manifest.
pub(crate) fn copy_models(folder: &Path) -> PathBuf {
    let models = folder.join("models");
    std::fs::create_dir(&models).unwrap();
    for entry in std::fs::read_dir("models").unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), models.join(entry.file_name())).unwrap();
        }
    }
    models
}

/// Turns over one bit of a file.
pub(crate) fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// The number in a field.
pub(crate) fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{field} in {record}"))
}

/// Checks what must hold of every minute with one face a frame.
pub(crate) fn check_minute(record: &Value) {
    assert_eq!(number(record, "faces"), kinds().map(|kind| number(record, kind)).sum::<u64>());
    let seen = number(record, "no_face") + number(record, "uncertain") + number(record, "faces");
    assert_eq!(number(record, "frames"), seen, "{record}");
}

/// A broker without TLS or login on this machine.
pub(crate) fn local_broker(port: u16, client_id: &str) -> Broker {
    let host = Ipv4Addr::LOCALHOST.to_string();
    Broker { host, port, client_id: client_id.to_owned(), login: None, tls: None }
}

/// The delivery of `device` on the topics `lectern/v1/north/main/101/<device>`, under the system's clock.
pub(crate) fn delivery(device: &str, broker: Broker, spool: Spool, timing: Timing) -> Delivery {
    let clock = Arc::new(SystemClock);
    Delivery {
        broker,
        topics: Topics::new("lectern/v1", "north", "main", "101", device),
        identity: Identity { device: device.to_owned(), boot: spool.boot().to_owned() },
        basis: "test".to_owned(),
        spool,
        discovery: None,
        timing,
        clock: clock.clone(),
        stop: Stop::default(),
        signals: None,
        health: Arc::new(Health::new(clock, Duration::from_secs(60))),
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A mosquitto of this test's own, stopped when it is dropped.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        Self::start_with("allow_anonymous true", tempfile::tempdir().unwrap())
    }

    /// One that takes everybody and any number of messages for whoever is away.
    pub(crate) fn unbounded() -> Self {
        let who = "allow_anonymous true\nmax_queued_messages 0\nmax_connections -1";
        Self::start_with(who, tempfile::tempdir().unwrap())
    }

    /// Its process, until it is restarted.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One that takes only this user.
    pub(crate) fn with_password(user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let made =
            Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args([user, password]).status();
        assert!(made.expect("mosquitto is installed").success());
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        Self::start_with(&format!("password_file {}", file.display()), folder)
    }

    /// One with a second listener, on the port that comes back, with `options` of its own; the first one is plain and
    /// open to all. Files that it needs lie in `folder`.
    pub(crate) fn with_listener(options: &str, folder: tempfile::TempDir) -> (Self, u16) {
        let second = free_port();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(entry.unwrap().path(), everyone).unwrap();
        }
        let who = format!("allow_anonymous true\nlistener {second} 127.0.0.1\n{options}");
        (Self::start_with(&who, folder), second)
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start_with(who: &str, folder: tempfile::TempDir) -> Self {
        let port = free_port();
        // Sessions outlive a restart, so that a subscriber gets what was published while it was away.
        let config = format!(
            "per_listener_settings true\npersistence true\npersistence_location {}/\nmax_queued_messages 0\nlistener {port} 127.0.0.1\n{who}\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        // Started as root it would become another user, who may not write there.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let child = spawn_mosquitto(folder.path(), port);
        Self { child, port, folder }
    }

    /// Stops it as systemd does.
    pub(crate) fn stop(&mut self) {
        terminate(&self.child);
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Mosquitto::stop`].
    pub(crate) fn restart(&mut self) {
        self.child = spawn_mosquitto(self.folder.path(), self.port);
    }
}

fn spawn_mosquitto(folder: &Path, port: u16) -> Child {
    // Debian keeps daemons in a folder that is not on every user's path.
    let program = Some("/usr/sbin/mosquitto").filter(|path| Path::new(path).exists()).unwrap_or("mosquitto");
    let mut child = Command::new(program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto is installed");
    let answers = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    if !answers {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("mosquitto does not answer on port {port}");
    }
    child
}

/// Sends SIGTERM.
fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that subscribes to everything and keeps what comes, over reconnects.
pub(crate) struct Subscriber {
    messages: mpsc::Receiver<(String, Value)>,
}

impl Subscriber {
    pub(crate) fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("test-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        options.set_clean_session(false);
        let (client, mut connection) = Client::new(options, 16);
        let (sender, messages) = mpsc::channel();
        let (subscribed, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send(())),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        // A retained message that is taken back.
                        if publish.payload.is_empty() {
                            continue;
                        }
                        let longest = if publish.topic.starts_with("homeassistant/") { 16_384 } else { 1024 };
                        assert!(publish.payload.len() <= longest);
                        let payload = serde_json::from_slice(&publish.payload).expect("a payload is JSON");
                        if sender.send((publish.topic, payload)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        ready.recv_timeout(PATIENCE).expect("a subscription");
        Self { messages }
    }

    /// The next message.
    pub(crate) fn next(&self) -> (String, Value) {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// What comes until nothing has come for half a second.
    pub(crate) fn soon(&self) -> Vec<(String, Value)> {
        std::iter::from_fn(|| self.messages.recv_timeout(Duration::from_millis(500)).ok()).collect()
    }

    /// Everything up to and including the first message for which `last` is true.
    pub(crate) fn until(&self, last: impl Fn(&str, &Value) -> bool) -> Vec<(String, Value)> {
        let mut messages = Vec::new();
        loop {
            let message = self.next();
            let done = last(&message.0, &message.1);
            messages.push(message);
            if done {
                return messages;
            }
        }
    }
}

/// `lectern run`, killed when it is dropped.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts it with `recording` as its camera and windows of `seconds`.
    pub(crate) fn start(port: u16, recording: &Path, seconds: u32) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), port, recording, seconds)
    }

    /// Starts it where another one may have run before: with its state and runtime directory.
    pub(crate) fn start_in(folder: tempfile::TempDir, port: u16, recording: &Path, seconds: u32) -> Self {
        Self::start_with(folder, port, recording, seconds, &[])
    }

    /// Starts it with more arguments.
    pub(crate) fn start_with(
        folder: tempfile::TempDir,
        port: u16,
        recording: &Path,
        seconds: u32,
        arguments: &[&OsStr],
    ) -> Self {
        let config = folder.path().join("lectern.toml");
        let text = format!(
            "[device]\nid = \"cam1\"\nsite = \"north\"\nbuilding = \"main\"\nroom = \"101\"\n[deployment]\nbasis = \
             \"test\"\n[camera]\ndevice = \"file:{}\"\n[window]\nseconds = {seconds}\n[mqtt]\nurl = \
             \"mqtt://127.0.0.1:{port}\"\n[spool]\ndirectory = \"{}/state\"\n",
            recording.display(),
            folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let child = lectern()
            .args(["run", "--config"])
            .arg(&config)
            .args(arguments)
            .env("RUNTIME_DIRECTORY", folder.path().join("run"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Asks it to stop, as systemd does.
    pub(crate) fn terminate(&self) {
        terminate(&self.child);
    }

    /// Ends it as a crash would, and leaves its folder.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Asks it to read its configuration again, as `systemctl reload` does.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Waits for its end: exit code and what it said on standard error.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
