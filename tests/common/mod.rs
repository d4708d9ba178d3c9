//! Shared test helpers: the program, a real mosquitto, a subscriber, the data folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod device;
pub(crate) mod hostile;
pub(crate) mod proxy;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use lectern::clock::{Stop, SystemClock};
use lectern::delivery::payload::{self, Identity};
use lectern::delivery::spool::Spool;
use lectern::delivery::topics::Topics;
use lectern::delivery::{Broker, PublisherConfig, Timing, Unmonitored, check_broker};
use lectern::help::Explained;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

/// The longest wait for an expected event: more than the 90 s within which a device reconnects.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// The program under test.
pub(crate) fn lectern() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lectern"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LECTERN_")) {
        command.env_remove(name);
    }
    command
}

/// The printed error of a failed broker check.
pub(crate) fn refusal(broker: &Broker) -> String {
    Explained(&check_broker(broker, "lectern/v1/check", "{}").unwrap_err()).to_string()
}

/// A part of the external data folder. Tests that need it are ignored by default.
pub(crate) fn data(part: &str) -> PathBuf {
    let folder = std::env::var_os("LECTERN_DATA").expect("LECTERN_DATA names the data folder");
    Path::new(&folder).join(part)
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

/// The cells of a column.
pub(crate) fn column(table: &Path, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let at = reader.headers().unwrap().iter().position(|column| column == name).unwrap();
    reader.records().map(|row| row.unwrap()[at].to_owned()).collect()
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

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
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

/// A device that delivers on the topics `lectern/v1/north/main/101/<device>`, under the system's clock.
pub(crate) fn config(device: &str, broker: Broker, spool: &Spool, timing: Timing) -> PublisherConfig {
    let clock = Arc::new(SystemClock);
    PublisherConfig {
        broker,
        topics: Topics::new("lectern/v1", "north", "main", "101", device),
        identity: Identity { device: device.to_owned(), boot: spool.boot().to_owned() },
        basis: "test".to_owned(),
        discovery: None,
        timing,
        clock,
        stop: Stop::default(),
        monitor: Arc::new(Unmonitored),
    }
}

/// A free port that no other test receives until this process ends. It is outside the kernel's ephemeral range, because a
/// broker that restarts must find its port still free.
pub(crate) fn free_port() -> u16 {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("lectern-test-ports-{user}"));
    std::fs::create_dir_all(&folder).unwrap();
    let is_free = |port: &u16| {
        // The lock excludes other tests, also in other processes; the bind excludes other programs.
        let file = File::create(folder.join(port.to_string())).unwrap();
        let free = file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        // The lock is held until the process ends.
        free.then(|| std::mem::forget(file)).is_some()
    };
    std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).take(1000).find(is_free).expect("a free port")
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

    /// One that accepts all clients and queues any number of messages.
    pub(crate) fn unbounded() -> Self {
        let who = "allow_anonymous true\nmax_queued_messages 0\nmax_connections -1";
        Self::start_with(who, tempfile::tempdir().unwrap())
    }

    /// Its process, until it is restarted.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One that accepts only this user.
    pub(crate) fn with_password(user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let made =
            Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args([user, password]).status();
        assert!(made.expect("mosquitto is installed").success());
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        Self::start_with(&format!("password_file {}", file.display()), folder)
    }

    /// One with a second listener, on the returned port, with its own `options`; the first one is plain and open to all.
    /// `folder` holds the files that it needs.
    pub(crate) fn with_listener(options: &str, folder: tempfile::TempDir) -> (Self, u16) {
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(entry.unwrap().path(), everyone).unwrap();
        }
        Self::start_on_two(&format!("allow_anonymous true\nlistener {{second}} 127.0.0.1\n{options}"), folder)
    }

    /// One with a second listener, on the returned port, with these access rules; the first one is open to all. With an
    /// unlimited queue (`max_queued_messages 0`) mosquitto 2.0.11 acknowledges a denied message, as MQTT 3.1.1 requires, and
    /// closes the connection as well.
    pub(crate) fn with_access_rules(rules: &str, most_queued: u32) -> (Self, u16) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules");
        std::fs::write(&file, rules).unwrap();
        let options =
            format!("allow_anonymous true\nacl_file {}\nmax_queued_messages {most_queued}", file.display());
        Self::with_listener(&options, folder)
    }

    fn start_with(who: &str, folder: tempfile::TempDir) -> Self {
        Self::start_on_two(who, folder).0
    }

    /// Also returns the port that replaces `{second}` in the options.
    fn start_on_two(who: &str, folder: tempfile::TempDir) -> (Self, u16) {
        // Started as root it switches to a user without write access there.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        // Another program may bind a free port before mosquitto does.
        let mut printed = String::new();
        for _ in 0..10 {
            let (port, second) = (free_port(), free_port());
            let who = who.replace("{second}", &second.to_string());
            // Sessions survive a restart, so that a subscriber receives messages published during its absence.
            let config = format!(
                "per_listener_settings true\npersistence true\npersistence_location {}/\nmax_queued_messages 0\nlistener {port} 127.0.0.1\n{who}\n",
                folder.path().display()
            );
            std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
            match spawn_mosquitto(folder.path()) {
                Ok(child) => return (Self { child, port, folder }, second),
                Err(log) => printed = log,
            }
        }
        panic!("mosquitto finds no port, or does not take its configuration:\n{printed}");
    }

    /// Stops it as systemd does.
    pub(crate) fn stop(&mut self) {
        terminate(&self.child);
        self.child.wait().unwrap();
    }

    /// Ends it as a crash would: state in memory is lost.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Mosquitto::stop`] or [`Mosquitto::kill`], on the same port, even if another process uses it
    /// for a moment.
    pub(crate) fn restart(&mut self) {
        let mut attempts = (0..20).map(|_| {
            spawn_mosquitto(self.folder.path())
                .inspect_err(|_| std::thread::sleep(Duration::from_millis(250)))
                .ok()
        });
        self.child = attempts.find_map(|child| child).expect("mosquitto gets its port back");
    }
}

/// A mosquitto with the configuration in `folder` that listens on all its ports, or its log if it fails, for example
/// because a port is in use.
fn spawn_mosquitto(folder: &Path) -> Result<Child, String> {
    // Debian keeps daemons in a folder that is not on every user's path.
    let program = Some("/usr/sbin/mosquitto").filter(|path| Path::new(path).exists()).unwrap_or("mosquitto");
    let log = folder.join("mosquitto.log");
    let mut child = Command::new(program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .expect("mosquitto is installed");
    let limit = Instant::now() + TIMEOUT;
    loop {
        let ended = child.try_wait().unwrap().is_some();
        let printed = std::fs::read_to_string(&log).unwrap();
        // Another process may accept on its port; only this line shows that mosquitto listens.
        if !ended
            && printed.lines().any(|line| line.contains(" mosquitto version ") && line.ends_with(" running"))
        {
            return Ok(child);
        }
        if ended || Instant::now() > limit {
            // It may have ended already.
            let _ = child.kill();
            child.wait().unwrap();
            return Err(printed);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
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

/// A client that subscribes to everything and collects the messages, across reconnects. Each must be valid under the
/// schema.
pub(crate) struct Subscriber {
    messages: mpsc::Receiver<(String, Value)>,
    subscribed: mpsc::Receiver<()>,
    schema: jsonschema::Validator,
}

impl Subscriber {
    pub(crate) fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("test-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        options.set_clean_session(false).set_max_packet_size(65_536, 10_240);
        let (client, mut connection) = Client::new(options, 16);
        let (sender, messages) = mpsc::channel();
        let (ready, subscribed) = mpsc::channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        // An empty message removes a retained one.
                        if publish.payload.is_empty() {
                            continue;
                        }
                        let longest = if publish.topic.starts_with("homeassistant/") { 65_536 } else { 1024 };
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
        let schema: Value = serde_json::from_str(payload::JSON_SCHEMA).unwrap();
        let this = Self { messages, subscribed, schema: jsonschema::validator_for(&schema).unwrap() };
        this.wait_for_subscription();
        this
    }

    /// Waits until the broker has accepted the subscription, once for each connection.
    pub(crate) fn wait_for_subscription(&self) {
        self.subscribed.recv_timeout(TIMEOUT).expect("a subscription");
    }

    /// The next message.
    pub(crate) fn next(&self) -> (String, Value) {
        let (topic, payload) = self.messages.recv_timeout(TIMEOUT).expect("a message");
        assert!(self.schema.is_valid(&payload), "{topic}: {:.1000}", payload.to_string());
        (topic, payload)
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
    /// The lines of its standard error, and those read so far.
    lines: mpsc::Receiver<String>,
    printed: String,
}

impl Daemon {
    /// Starts it with `recording` as its camera and windows of `seconds`.
    pub(crate) fn start(port: u16, recording: &Path, seconds: u32) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), port, recording, seconds)
    }

    /// Starts it with the state and runtime directory of an earlier one.
    pub(crate) fn start_in(folder: tempfile::TempDir, port: u16, recording: &Path, seconds: u32) -> Self {
        let text = Self::configuration(folder.path(), port, recording, seconds);
        Self::start_with(folder, &text, "info", &[])
    }

    /// Windows of `seconds` of a recording, kept in `folder` for the broker on `port`.
    pub(crate) fn configuration(folder: &Path, port: u16, recording: &Path, seconds: u32) -> String {
        format!(
            "[device]\nid = \"cam1\"\nsite = \"north\"\nbuilding = \"main\"\nroom = \"101\"\n[deployment]\nbasis = \
             \"test\"\n[camera]\ndevice = \"file:{}\"\n[window]\nseconds = {seconds}\n[mqtt]\nurl = \
             \"mqtt://127.0.0.1:{port}\"\n[spool]\ndirectory = \"{}/state\"\n",
            recording.display(),
            folder.display()
        )
    }

    /// Starts it with this configuration, log level and further arguments.
    pub(crate) fn start_with(
        folder: tempfile::TempDir,
        configuration: &str,
        log: &str,
        arguments: &[&OsStr],
    ) -> Self {
        let config = folder.path().join("lectern.toml");
        std::fs::write(&config, configuration).unwrap();
        Self::start_at(folder, &config, log, arguments)
    }

    /// Starts it with the configuration in this file.
    pub(crate) fn start_at(
        folder: tempfile::TempDir,
        config: &Path,
        log: &str,
        arguments: &[&OsStr],
    ) -> Self {
        let mut child = lectern()
            .args(["run", "--config"])
            .arg(config)
            .args(arguments)
            .env("LECTERN_LOG", log)
            .env("RUNTIME_DIRECTORY", folder.path().join("run"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, folder, lines, printed: String::new() }
    }

    /// Waits until standard error contains this text.
    pub(crate) fn wait_for_output(&mut self, expected: &str) {
        while !self.printed.contains(expected) {
            let line = self.lines.recv_timeout(TIMEOUT);
            self.printed +=
                &line.unwrap_or_else(|_| panic!("`{expected}` should be said after {}", self.printed));
            self.printed += "\n";
        }
    }

    /// Sends SIGTERM, as systemd does.
    pub(crate) fn terminate(&self) {
        terminate(&self.child);
    }

    /// Ends it as a crash would; returns its folder.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Sends SIGHUP, as `systemctl reload` does.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Waits for its end; returns the exit code and standard error.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let mut printed = std::mem::take(&mut self.printed);
        loop {
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) => printed = printed + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end, and has said:\n{printed}"),
            }
        }
        (self.child.wait().unwrap().code(), printed)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
