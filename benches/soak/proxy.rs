//! A proxy between the device and its broker, in which the network breaks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Up,
    /// Connections are cut, and new ones too.
    Refused,
    /// Connections stand, and nothing comes through.
    Silent,
    /// What the device sends comes back to it.
    Reflecting,
}

struct State {
    network: Network,
    /// Nobody is let through to the broker.
    closed: bool,
    connections: Vec<TcpStream>,
}

/// The proxy; it lives as long as the process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn start(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state =
            Arc::new(Mutex::new(State { network: Network::Up, closed: false, connections: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for device in listener.incoming().map(Result::unwrap) {
                let mut state = shared.lock().unwrap();
                if state.closed || state.network == Network::Refused {
                    continue;
                }
                // The broker may be down; the device sees its connection closed.
                let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { continue };
                // Else each record of a backlog waits 40 ms for a delayed acknowledgement of TCP.
                for end in [&device, &broker] {
                    end.set_nodelay(true).unwrap();
                }
                state.connections.extend([device.try_clone().unwrap(), broker.try_clone().unwrap()]);
                drop(state);
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                let (from, to, mirror) =
                    (device.try_clone().unwrap(), broker.try_clone().unwrap(), device.try_clone().unwrap());
                std::thread::spawn(move || pump(from, to, Some(mirror), &up));
                std::thread::spawn(move || pump(broker, device, None, &down));
            }
        });
        Self { port, state }
    }

    /// Lets nobody new through, or lets them through again, whatever else is wrong with the network.
    pub(crate) fn close(&self, closed: bool) {
        self.state.lock().unwrap().closed = closed;
    }

    pub(crate) fn set(&self, network: Network) {
        let mut state = self.state.lock().unwrap();
        state.network = network;
        if !matches!(network, Network::Silent | Network::Reflecting) {
            // Also those that were silent or reflected: what they swallowed is missing.
            for connection in state.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Carries bytes in one direction, until an end closes or the network is cut; `mirror` is the way back to the device.
fn pump(mut from: TcpStream, mut to: TcpStream, mut mirror: Option<TcpStream>, state: &Mutex<State>) {
    // Small, so that a cut falls between two parts of a packet, too.
    let mut bytes = [0; 128];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let network = state.lock().unwrap().network;
        let carried = match (network, &mut mirror) {
            (Network::Silent, _) | (Network::Reflecting, None) => Ok(()),
            (Network::Reflecting, Some(device)) => device.write_all(&bytes[..count]),
            (Network::Up | Network::Refused, _) => to.write_all(&bytes[..count]),
        };
        if carried.is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
