//! A cluster of two RabbitMQ nodes with the MQTT plugin, as Debian's package rabbitmq-server has them.
//!
//! Data, cookie, ports and the port mapper (epmd), by which nodes find each other, are this cluster's own, so that it is
//! independent of the system's RabbitMQ. The second node joins the first by its configuration.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::brokers::{Brokers, Node};
use super::common::{free_port, terminate};

const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The first node waits some seconds for others by itself; the rest is for a machine under load.
const STARTS_WITHIN: Duration = Duration::from_secs(180);

/// A process that ends with its owner.
struct Process(Child);

/// A command whose process ends also when the thread that started it is killed with all of its own.
fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running cluster. Fields are dropped in this order.
pub(crate) struct Cluster {
    processes: [Option<Process>; 2],
    ports: [u16; 2],
    epmd_port: u16,
    _epmd: Process,
    folder: tempfile::TempDir,
}

/// The node that is restarted. It is the one that joined: the first leads the group that keeps MQTT client ids (Raft), and
/// of two nodes the other cannot elect a leader alone, without which the first would not start again.
const RESTARTED: usize = 1;

impl Cluster {
    pub(crate) fn is_installed() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// Starts both nodes.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cookie = folder.path().join(".erlang.cookie");
        fs::write(&cookie, std::iter::repeat_with(fastrand::alphabetic).take(20).collect::<String>())
            .unwrap();
        fs::set_permissions(&cookie, PermissionsExt::from_mode(0o400)).unwrap();
        let epmd_port = free_port();
        let epmd = bound("epmd")
            .args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()])
            .spawn()
            .expect("util-linux has setpriv");
        let mut cluster = Self {
            processes: [None, None],
            ports: [free_port(), free_port()],
            epmd_port,
            _epmd: Process(epmd),
            folder,
        };
        (0..cluster.ports.len()).for_each(|node| cluster.start_node(node));
        cluster
    }

    fn start_node(&mut self, node: usize) {
        let folder = self.folder.path().join(node.to_string());
        fs::create_dir_all(&folder).unwrap();
        let port = self.ports[node];
        let mut settings = format!(
            "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n\
             cluster_formation.peer_discovery_backend = classic_config\n"
        );
        for peer in 0..=node {
            writeln!(settings, "cluster_formation.classic_config.nodes.{peer} = {}", name(peer)).unwrap();
        }
        fs::write(folder.join("rabbitmq.conf"), settings).unwrap();
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_mqtt].\n").unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut process = bound(PROGRAM)
            // Without these two the script stays as the node's parent, and the node's process id is unknown.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("RABBITMQ_NODENAME", name(node))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", &folder)
            .env("RABBITMQ_LOG_BASE", &folder)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map(Process)
            .unwrap();
        let began = Instant::now();
        // The MQTT plugin listens once the node has joined.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = process.0.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > STARTS_WITHIN {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("{} does not listen on port {port} ({ended:?}):\n{log}", name(node));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.processes[node] = Some(process);
    }
}

fn name(node: usize) -> String {
    format!("lectern{node}@localhost")
}

impl Brokers for Cluster {
    fn nodes(&self) -> Vec<Node> {
        let node =
            |(process, port): (&Option<Process>, u16)| Node { pid: process.as_ref().unwrap().0.id(), port };
        self.processes.iter().zip(self.ports).map(node).collect()
    }

    fn stop(&mut self) {
        let mut process = self.processes[RESTARTED].take().unwrap();
        terminate(&process.0);
        process.0.wait().unwrap();
    }

    fn restart(&mut self) {
        self.start_node(RESTARTED);
    }
}
