//! A thousand reconnects leave nothing behind: alone in its process, because it counts the process's files and memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use common::Mosquitto;
use lectern::delivery::Timing;
use lectern::delivery::spool::Spool;

/// Open files, and resident memory in KiB.
fn held() -> (usize, u64) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (files, memory.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
fn memory_and_files_are_flat_over_a_thousand_reconnects() {
    let mosquitto = Mosquitto::start();
    let target = mosquitto.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, cut) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (count, cutting) = (Arc::clone(&connections), Arc::clone(&cut));
    std::thread::spawn(move || {
        for device in listener.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).unwrap();
            let (mut up, mut down) = (device.try_clone().unwrap(), broker.try_clone().unwrap());
            let copy = std::thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut down);
                let _ = down.shutdown(Shutdown::Both);
            });
            let (mut from, mut to) = (broker, device);
            if cutting.load(Ordering::SeqCst) {
                // Long enough for CONNACK and an acknowledgement or two.
                from.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            }
            let _ = std::io::copy(&mut from, &mut to);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            copy.join().unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let spool = Spool::in_memory(10).unwrap();
    let millisecond = Duration::from_millis(1);
    let timing = Timing { first_backoff: millisecond, longest_backoff: millisecond, ..Timing::default() };
    let setup = common::setup("cam1", common::local_broker(port, "cam1"), &spool, timing);
    let (reports, thread) = setup.start(spool).unwrap();
    let reach = |wanted: u32| {
        while connections.load(Ordering::SeqCst) < wanted {
            assert!(!thread.is_finished());
            std::thread::sleep(millisecond);
        }
        held()
    };
    let (files, memory) = reach(200);
    let (files_after, memory_after) = reach(1200);
    // At that moment one connection more may be open, with its five sockets on the way through here.
    assert!(files_after <= files + 8, "{files} files, then {files_after}");
    assert!(memory_after <= memory + 1024, "{memory} KiB, then {memory_after}");
    cut.store(false, Ordering::SeqCst);
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
}
