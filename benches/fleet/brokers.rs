//! The brokers that the fleet connects to.

use super::common::Mosquitto;

/// One broker, or one node of a cluster.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) pid: u32,
    pub(crate) port: u16,
}

/// The brokers of a fleet. The last node is restarted; the subscriber is at the first.
pub(crate) trait Brokers: Send {
    /// The nodes while all of them run.
    fn nodes(&self) -> Vec<Node>;
    /// Stops the last node as systemd does.
    fn stop(&mut self);
    /// Starts it again; returns once it listens.
    fn restart(&mut self);
}

impl Brokers for Mosquitto {
    fn nodes(&self) -> Vec<Node> {
        vec![Node { pid: self.pid(), port: self.port }]
    }

    fn stop(&mut self) {
        Mosquitto::stop(self);
    }

    fn restart(&mut self) {
        Mosquitto::restart(self);
    }
}
