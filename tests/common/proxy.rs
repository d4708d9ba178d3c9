//! A faulty network between a device and its broker.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// A TCP proxy before the broker, whose connections can be disturbed. It lives as long as the process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Mutex<State>>,
}

struct State {
    fault: Fault,
    /// No new connection reaches the broker, whatever the other fault.
    closed: bool,
    /// Connections so far.
    connections: u64,
    /// Both ends of those that may still be open.
    open: Vec<Weak<TcpStream>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Connections are cut after so many bytes from the device, wherever that is in a packet.
    CutAfter(usize),
    /// A connection is cut at the first message with this text in its first 512 bytes.
    CutAt(&'static str),
    /// New connections are cut once the broker is silent for so long.
    CutWhenSilentFor(Duration),
    /// New connections are cut at once.
    Refused,
    /// Bytes from the broker are dropped.
    Deaf,
    /// The same, from the first message with this text in its first 512 bytes.
    DeafFrom(&'static str),
    /// Bytes are dropped in both directions, and the connection stays open.
    HalfOpen,
    /// The device's own bytes are echoed to it; the broker's are dropped.
    Reflecting,
}

impl Proxy {
    pub(crate) fn before(target: u16) -> Self {
        Self::in_pieces::<512>(target)
    }

    /// One that forwards at most `N` bytes at a time, so that faults fall between the parts of a packet.
    pub(crate) fn in_pieces<const N: usize>(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { fault: Fault::None, closed: false, connections: 0, open: Vec::new() };
        let shared = Arc::new(Mutex::new(state));
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                accept::<N>(device, target, &state);
            }
        });
        Self { port, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// The same, and closes the open connections, because bytes may be missing in them.
    pub(crate) fn cut_and_set(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        for end in state.open.drain(..).filter_map(|end| end.upgrade()) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Blocks new connections, or accepts them again.
    pub(crate) fn close(&self, closed: bool) {
        self.state().closed = closed;
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state().connections
    }

    /// Waits for more than `before` connections.
    pub(crate) fn wait_for_connection_after(&self, before: u64) {
        let limit = Instant::now() + TIMEOUT;
        while self.connections() <= before {
            assert!(Instant::now() < limit, "the device does not connect again");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Connects a device with the broker. If a fault prevents that, or the broker is down, the device's connection is closed.
fn accept<const N: usize>(device: TcpStream, target: u16, shared: &Arc<Mutex<State>>) {
    let mut state = shared.lock().unwrap();
    state.connections += 1;
    if state.closed || state.fault == Fault::Refused {
        return;
    }
    let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
    // Otherwise each record of a backlog waits 40 ms for TCP's delayed acknowledgement.
    for end in [&device, &broker] {
        end.set_nodelay(true).unwrap();
    }
    if let Fault::CutWhenSilentFor(silence) = state.fault {
        broker.set_read_timeout(Some(silence)).unwrap();
    }
    let (device, broker) = (Arc::new(device), Arc::new(broker));
    state.open.retain(|end| end.strong_count() > 0);
    state.open.extend([&device, &broker].map(Arc::downgrade));
    for from_device in [true, false] {
        let (device, broker, shared) = (Arc::clone(&device), Arc::clone(&broker), Arc::clone(shared));
        std::thread::spawn(move || pass::<N>(&device, &broker, &shared, from_device));
    }
}

/// Forwards bytes in one direction, until an end closes or a fault cuts the connection.
fn pass<const N: usize>(device: &TcpStream, broker: &TcpStream, shared: &Mutex<State>, from_device: bool) {
    let (mut from, mut to) = if from_device { (device, broker) } else { (broker, device) };
    let (mut buffer, mut passed) = ([0; N], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..read];
        let sends = |text: &str| from_device && String::from_utf8_lossy(bytes).contains(text);
        let fault = {
            let mut state = shared.lock().unwrap();
            if let Fault::DeafFrom(text) = state.fault
                && sends(text)
            {
                state.fault = Fault::Deaf;
            }
            state.fault
        };
        match fault {
            Fault::HalfOpen => continue,
            Fault::Deaf | Fault::Reflecting if !from_device => continue,
            Fault::Reflecting => to = device,
            Fault::CutAt(text) if sends(text) => break,
            Fault::CutAfter(limit) if from_device && passed + read > limit => {
                bytes = &bytes[..limit.saturating_sub(passed).min(read)];
                let _ = to.write_all(bytes);
                break;
            }
            _ => to = if from_device { broker } else { device },
        }
        passed += read;
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = (device.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
}
