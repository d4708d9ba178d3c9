//! A thousand reconnects leave nothing behind: alone in its process, because it counts the process's files and memory.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::Mosquitto;
use common::proxy::{Fault, Proxy};
use lectern::delivery::Timing;
use lectern::delivery::spool::Spool;

/// Open files, and resident memory in KiB.
fn held() -> (usize, u64) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (files, memory.trim().trim_end_matches(" kB").parse().unwrap())
}

/// A thousand reconnects leave memory and open files constant.
#[test]
fn reconnects_leak_no_memory_or_files() {
    let mosquitto = Mosquitto::start();
    let proxy = Proxy::before(mosquitto.port);
    // Long enough for CONNACK and an acknowledgement or two.
    proxy.set(Fault::CutWhenSilentFor(Duration::from_millis(2)));
    let spool = Spool::in_memory(10).unwrap();
    let millisecond = Duration::from_millis(1);
    let timing = Timing { first_backoff: millisecond, longest_backoff: millisecond, ..Timing::default() };
    let config = common::config("cam1", common::local_broker(proxy.port, "cam1"), &spool, timing);
    let (updates, thread) = config.start(spool).unwrap();
    let reach = |wanted: u64| {
        while proxy.connections() < wanted {
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
    proxy.set(Fault::None);
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
}
