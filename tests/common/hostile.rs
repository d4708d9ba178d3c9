//! A faulty broker, or a peer that is none, until it is switched to correct behaviour: the server's side of MQTT 3.1.1 as
//! far as a device needs it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::TIMEOUT;

/// What the peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Honest,
    /// Echoes all bytes.
    Reflects,
    /// Accepts the connection, and then echoes all bytes.
    ReflectsAfterConnack,
    /// Correct packets, one byte in 50 ms.
    Drips,
    AcknowledgesTwice,
    AcknowledgesAnotherId,
    /// PUBACK right after CONNACK, before anything is published.
    AcknowledgesEarly,
    NeverAcknowledges,
    NeverAnswers,
    ClosesAtAccept,
    ClosesAfterConnect,
    ClosesAfterConnack,
    ClosesAfterStatus,
    ClosesAfterEachPublish,
    ClosesAfterEachPuback,
    /// Bytes that are no packets instead of CONNACK.
    SendsGarbage,
    /// The same after CONNACK.
    SendsGarbageLater,
    /// A TLS alert, as a TLS listener sends to a plain MQTT client.
    SendsTlsAlert,
    /// The first packet after CONNACK claims a length of 256 MB.
    SendsGiantLength,
    /// Endless unsolicited messages on topics with line breaks and escape sequences.
    FloodsTopics,
    /// Endless PINGRESP packets.
    FloodsPingresp,
    /// Packets that only a client may send, and unsolicited acknowledgements.
    SendsUnsolicited,
}

/// All but the honest one.
pub(crate) const HOSTILE: [Behaviour; 21] = [
    Behaviour::Reflects,
    Behaviour::ReflectsAfterConnack,
    Behaviour::Drips,
    Behaviour::AcknowledgesTwice,
    Behaviour::AcknowledgesAnotherId,
    Behaviour::AcknowledgesEarly,
    Behaviour::NeverAcknowledges,
    Behaviour::NeverAnswers,
    Behaviour::ClosesAtAccept,
    Behaviour::ClosesAfterConnect,
    Behaviour::ClosesAfterConnack,
    Behaviour::ClosesAfterStatus,
    Behaviour::ClosesAfterEachPublish,
    Behaviour::ClosesAfterEachPuback,
    Behaviour::SendsGarbage,
    Behaviour::SendsGarbageLater,
    Behaviour::SendsTlsAlert,
    Behaviour::SendsGiantLength,
    Behaviour::FloodsTopics,
    Behaviour::FloodsPingresp,
    Behaviour::SendsUnsolicited,
];

/// The peer; its threads end with the process.
pub(crate) struct Hostile {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    /// Every connection, to close the open ones when the behaviour changes.
    open: Mutex<Vec<TcpStream>>,
    /// The accepted messages, including all that were acknowledged.
    messages: Mutex<Vec<(String, Value)>>,
    connections: AtomicU64,
}

impl Hostile {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            open: Mutex::default(),
            messages: Mutex::default(),
            connections: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_thread);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                let behaviour = *shared.behaviour.lock().unwrap();
                std::thread::spawn(move || {
                    // Errors of a connection do not matter.
                    let _ = serve(&stream, behaviour, &shared);
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// Changes the behaviour for new connections and closes the open ones.
    pub(crate) fn become_(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The accepted messages.
    pub(crate) fn messages(&self) -> Vec<(String, Value)> {
        self.shared.messages.lock().unwrap().clone()
    }

    /// Waits until the accepted messages satisfy `enough`.
    pub(crate) fn wait_until(&self, what: &str, enough: impl Fn(&[(String, Value)]) -> bool) {
        let limit = Instant::now() + TIMEOUT;
        while !enough(&self.shared.messages.lock().unwrap()) {
            assert!(Instant::now() < limit, "{what} after {:?}", self.messages());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// Type, flags and body of the next packet.
fn packet(mut stream: &TcpStream) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let first = byte[0];
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    assert!(length < 100_000, "no device sends so much");
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((first >> 4, first & 15, body))
}

/// A PUBLISH with QoS 0.
fn publication(topic: &str, payload: &[u8]) -> Vec<u8> {
    let length = 2 + topic.len() + payload.len();
    let mut packet = vec![0x30, u8::try_from(length).expect("a short message")];
    packet.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload);
    packet
}

fn serve(stream: &TcpStream, behaviour: Behaviour, shared: &Shared) -> io::Result<()> {
    let mut out = stream;
    match behaviour {
        Behaviour::ClosesAtAccept => return Ok(()),
        Behaviour::Reflects => return io::copy(&mut &*stream, &mut out).map(drop),
        Behaviour::NeverAnswers => return io::copy(&mut &*stream, &mut io::sink()).map(drop),
        _ => {}
    }
    let (kind, _, _) = packet(stream)?;
    assert_eq!(kind, CONNECT);
    match behaviour {
        Behaviour::ClosesAfterConnect => return Ok(()),
        Behaviour::SendsGarbage => return out.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[31m"),
        Behaviour::SendsTlsAlert => return out.write_all(&[0x15, 3, 3, 0, 2, 2, 70]),
        Behaviour::Drips => drip(stream, &CONNACK)?,
        _ => out.write_all(&CONNACK)?,
    }
    match behaviour {
        Behaviour::ClosesAfterConnack => return Ok(()),
        Behaviour::ReflectsAfterConnack => return io::copy(&mut &*stream, &mut out).map(drop),
        Behaviour::AcknowledgesEarly => out.write_all(&[0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3])?,
        Behaviour::SendsGarbageLater => return out.write_all(&[0xff; 64]),
        Behaviour::SendsGiantLength => {
            out.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't'])?;
            return io::copy(&mut &*stream, &mut io::sink()).map(drop);
        }
        Behaviour::FloodsTopics => loop {
            out.write_all(&publication("a\nlectern: all is well\x1b[2J\u{9b}\u{202e}", b"\n\x1b[31mX"))?;
        },
        Behaviour::FloodsPingresp => loop {
            out.write_all(&[0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0])?;
        },
        Behaviour::SendsUnsolicited => {
            // SUBACK, UNSUBACK, PUBREC, PUBREL, PUBCOMP, a second CONNACK, SUBSCRIBE.
            for bytes in [&[0x90_u8, 3, 0, 1, 0][..], &[0xb0, 2, 0, 1], &[0x20, 2, 0, 0], &[0x50, 2, 0, 1]] {
                out.write_all(bytes)?;
            }
            out.write_all(&[0x62, 2, 0, 9, 0x70, 2, 0, 9, 0x82, 6, 0, 1, 0, 1, b'#', 0])?;
            return io::copy(&mut &*stream, &mut io::sink()).map(drop);
        }
        _ => {}
    }
    converse(stream, behaviour, shared)
}

/// The session after CONNACK, until either side closes it.
fn converse(stream: &TcpStream, behaviour: Behaviour, shared: &Shared) -> io::Result<()> {
    let mut out = stream;
    loop {
        let (kind, flags, body) = packet(stream)?;
        match kind {
            PUBLISH => {
                let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
                assert_eq!(flags & 0b110, 0b10, "QoS 1");
                let (id, payload) = body[2 + length..].split_at(2);
                let ack = [0x40, 2, id[0], id[1]];
                let is_status = topic.ends_with("/status");
                let keeps = !matches!(
                    behaviour,
                    Behaviour::NeverAcknowledges
                        | Behaviour::AcknowledgesAnotherId
                        | Behaviour::ClosesAfterEachPublish
                );
                if keeps && !payload.is_empty() {
                    let payload = serde_json::from_slice(payload).expect("a payload is JSON");
                    shared.messages.lock().unwrap().push((topic, payload));
                }
                match behaviour {
                    Behaviour::NeverAcknowledges => {}
                    Behaviour::AcknowledgesAnotherId => out.write_all(&[0x40, 2, id[0], id[1] + 1])?,
                    Behaviour::ClosesAfterEachPublish => return Ok(()),
                    Behaviour::AcknowledgesTwice => out.write_all(&[ack, ack].concat())?,
                    Behaviour::Drips => drip(stream, &ack)?,
                    Behaviour::ClosesAfterEachPuback => return out.write_all(&ack),
                    Behaviour::ClosesAfterStatus if is_status => return out.write_all(&ack),
                    _ => out.write_all(&ack)?,
                }
            }
            SUBSCRIBE => out.write_all(&[0x90, 3, body[0], body[1], 0])?,
            PINGREQ => out.write_all(&[0xd0, 0])?,
            DISCONNECT => return Ok(()),
            other => panic!("a device sends a packet of type {other}"),
        }
    }
}

fn drip(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(&[*byte])?;
    }
    Ok(())
}
