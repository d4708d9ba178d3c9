//! The files on the disk: what was stored is delivered in order and unchanged, or counted as dropped, whatever bytes of it
//! are damaged and whenever the process ends.
#![no_main]

use std::time::Duration;

use lectern::delivery::payload::Payload;
use lectern::delivery::spool::{Folder, Folders, Keep, Spool};
use lectern_fuzz::storage::Memory;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, arbitrary::Arbitrary)]
enum Event {
    Push,
    Store,
    Acknowledge,
    Restart,
    /// One bit of a file on the disk.
    Flip {
        file: u8,
        at: u16,
        bit: u8,
    },
    /// The next calls to the disk fail.
    Fail {
        calls: u8,
    },
    /// Time passes, in seconds.
    Wait {
        seconds: u8,
    },
    /// A file on the disk loses its end.
    Cut {
        file: u8,
        at: u16,
    },
}

struct Device {
    disk: Memory,
    runtime: Memory,
}

impl Device {
    fn start(&self) -> Spool {
        let folders = Folders {
            disk: Some(Folder { name: "disk".to_owned(), storage: Box::new(self.disk.clone()) }),
            runtime: Some(Folder { name: "runtime".to_owned(), storage: Box::new(self.runtime.clone()) }),
        };
        Spool::open(folders, Keep::records(10_000)).unwrap()
    }

    fn damage(&self, file: u8, act: impl FnOnce(&mut Vec<u8>)) {
        self.disk.with_files(|files| {
            let count = files.len().max(1);
            if let Some((_, bytes)) = files.iter_mut().nth(usize::from(file) % count)
                && !bytes.is_empty()
            {
                act(bytes);
            }
        });
    }
}

fuzz_target!(|events: Vec<Event>| {
    let device = Device { disk: Memory::default(), runtime: Memory::default() };
    let mut spool = device.start();
    let (mut pushed, mut last, mut delivered, mut now) = (0, None, 0, Duration::ZERO);
    for event in events {
        match event {
            Event::Push => {
                let payload = format!("{{\"boot\":\"{}\",\"seq\":{}}}", spool.boot(), spool.next_seq());
                assert_eq!(spool.next_seq(), pushed);
                spool.push(pushed, "t", &Payload::try_from(payload.as_str()).unwrap());
                pushed += 1;
            }
            Event::Store => spool.store(),
            Event::Acknowledge => {
                deliver(&mut spool, now, &mut last, &mut delivered);
            }
            Event::Restart => {
                drop(spool);
                spool = device.start();
            }
            Event::Fail { calls } => device.disk.fail(calls.into()),
            Event::Wait { seconds } => now += Duration::from_secs(u64::from(seconds % 4)),
            Event::Flip { file, at, bit } => device.damage(file, |bytes| {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= 1 << (bit % 8);
            }),
            Event::Cut { file, at } => device.damage(file, |bytes| {
                let at = usize::from(at) % bytes.len();
                bytes.truncate(at);
            }),
        }
    }
    drop(spool);
    device.disk.fail(0);
    let mut spool = device.start();
    // Longer than the order is held, and than the pause between attempts at a file.
    for _ in 0..3 {
        while deliver(&mut spool, now, &mut last, &mut delivered) {}
        now += Duration::from_secs(600);
    }
    let counted = delivered + spool.dropped();
    assert_eq!(counted, pushed);
});

/// Publishes the oldest record, which must be newer than the last one; false where there is none.
fn deliver(spool: &mut Spool, now: Duration, last: &mut Option<u64>, delivered: &mut u64) -> bool {
    let Some((position, _, payload)) = spool.oldest(now) else { return false };
    let record: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let seq = record["seq"].as_u64();
    assert_eq!(record["boot"], spool.boot());
    // The order is held for a minute for what cannot be read.
    assert!(seq > *last || now >= Duration::from_secs(60), "{seq:?} after {last:?}");
    *last = seq;
    *delivered += 1;
    spool.remove(position);
    true
}
