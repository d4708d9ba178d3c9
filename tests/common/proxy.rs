//! A bad network between a device and its broker.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A TCP proxy before the broker, whose connections can be disturbed.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    fault: Arc<Mutex<Fault>>,
    /// Connections so far.
    connections: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Connections are cut after so many bytes from the device, wherever that is in a packet.
    CutAfter(usize),
    /// A connection is cut at the first message with these words in its first 512 bytes.
    CutAt(&'static str),
    /// What the broker says does not come through.
    Deaf,
    /// The same from the first message on that has these words in its first 512 bytes.
    DeafFrom(&'static str),
    /// Nothing comes through, and nobody is told.
    HalfOpen,
}

impl Proxy {
    pub(crate) fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, connections) = (Arc::new(Mutex::new(Fault::None)), Arc::new(AtomicU64::new(0)));
        let (shared, count) = (Arc::clone(&fault), Arc::clone(&connections));
        std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                let (device2, broker2) = (device.try_clone().unwrap(), broker.try_clone().unwrap());
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || pass(device, broker, &up, true));
                std::thread::spawn(move || pass(broker2, device2, &down, false));
            }
        });
        Self { port, fault, connections }
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Until more than `before` connections were made.
    pub(crate) fn wait_for_connection_after(&self, before: u64) {
        let limit = Instant::now() + PATIENCE;
        while self.connections() <= before {
            assert!(Instant::now() < limit, "the device does not connect again");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, fault: &Mutex<Fault>, from_device: bool) {
    let (mut buffer, mut passed) = ([0; 512], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..read];
        let fault = {
            let mut fault = fault.lock().unwrap();
            if let Fault::DeafFrom(words) = *fault
                && from_device
                && String::from_utf8_lossy(bytes).contains(words)
            {
                *fault = Fault::Deaf;
            }
            *fault
        };
        match fault {
            Fault::HalfOpen => continue,
            Fault::Deaf if !from_device => continue,
            Fault::CutAt(words) if from_device && String::from_utf8_lossy(bytes).contains(words) => break,
            Fault::CutAfter(limit) if from_device && passed + read > limit => {
                bytes = &bytes[..limit.saturating_sub(passed).min(read)];
                let _ = to.write_all(bytes);
                break;
            }
            _ => {}
        }
        passed += read;
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
