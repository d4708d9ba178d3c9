//! Foreign files in the spool's folders: nothing panics, and what is pushed afterwards is delivered in order.
#![no_main]

use std::time::Duration;

use lectern::delivery::payload::Payload;
use lectern::delivery::spool::{Folder, Folders, Keep, Spool};
use lectern_fuzz::storage::Memory;
use libfuzzer_sys::fuzz_target;

/// Names that the spool reads.
const NAMES: [&str; 8] = [
    "state.json",
    "entries-0000000000000000",
    "entries-0000000000000001-1",
    "entries-ffffffffffffffff",
    "discovered",
    "late-7fffffffffffffff",
    "0000000000000/0000000000000001",
    "0000000001000/0000000001000002-1795861134",
];

/// The placeholder in a state file for this boot's name, without which the file would be ignored.
const BOOT: &[u8] = b"@BOOT@";

/// The separator of two files. The first byte of each selects its folder and name.
const BORDER: &[u8] = b"\xfe\xfe";

fn folders(input: &[u8]) -> (Memory, Memory) {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let (disk, runtime) = (Memory::default(), Memory::default());
    let mut rest = input;
    while !rest.is_empty() {
        let end = rest.windows(BORDER.len()).position(|window| window == BORDER).unwrap_or(rest.len());
        let (file, after) = rest.split_at(end);
        rest = after.get(BORDER.len()..).unwrap_or_default();
        let Some((kind, bytes)) = file.split_first() else { continue };
        let mut content = bytes.to_vec();
        if let Some(at) = bytes.windows(BOOT.len()).position(|window| window == BOOT) {
            content.splice(at..at + BOOT.len(), boot.trim_ascii().iter().copied());
        }
        let folder = if kind % 2 == 0 { &disk } else { &runtime };
        let name = NAMES[usize::from(kind / 2) % NAMES.len()].to_owned();
        folder.with_files(|files| files.insert(name, content));
    }
    (disk, runtime)
}

fuzz_target!(|input: &[u8]| {
    let (disk, runtime) = folders(input);
    let open = || {
        let folders = Folders {
            disk: Some(Folder { name: "disk".to_owned(), storage: Box::new(disk.clone()) }),
            runtime: Some(Folder { name: "runtime".to_owned(), storage: Box::new(runtime.clone()) }),
        };
        Spool::open(folders, Keep::records(10_000)).unwrap()
    };
    let mut spool = open();
    assert_eq!(spool.boot().len(), 32);
    let mut expected = Vec::new();
    for _ in 0..3 {
        let seq = spool.next_seq();
        let payload = format!("{{\"boot\":\"{}\",\"seq\":{seq},\"ours\":true}}", spool.boot());
        spool.push(seq, "ours", &Payload::try_from(payload.as_str()).unwrap());
        expected.push(payload);
    }
    spool.store();
    drop(spool);
    let mut spool = open();
    let mut ours = Vec::new();
    while let Some((position, topic, payload)) = spool.oldest(Duration::ZERO) {
        assert!(topic.len() + payload.len() < 4096);
        if topic == "ours" && payload.contains("\"ours\":true") {
            ours.push(payload);
        }
        spool.remove(position);
    }
    ours.dedup();
    assert!(ours.ends_with(&expected), "{ours:?} and not {expected:?}");
});
