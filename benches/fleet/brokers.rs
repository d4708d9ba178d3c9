//! What the fleet talks to, whatever broker it is.

use super::common::Mosquitto;

/// One broker, or one node of a cluster.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) pid: u32,
    pub(crate) port: u16,
}

/// What the fleet talks to. The last node goes away and comes back; the subscriber is at the first.
pub(crate) trait Brokers: Send {
    /// The nodes while all of them run.
    fn nodes(&self) -> Vec<Node>;
    /// Stops the last node as systemd does.
    fn stop(&mut self);
    /// Starts it again, and returns when it listens.
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
