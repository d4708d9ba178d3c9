//! The spool against a model, over any history of crashes, power losses and injected faults.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::opening::READ_RUNTIME;
use super::super::{At, Item};
use super::*;

#[derive(Debug, Clone)]
enum Event {
    Push,
    /// As many as fill several batches.
    Burst,
    KeepOpen,
    Store,
    Acknowledge(u32),
    DiskFailsIn(u32),
    RuntimeFailsIn(u32),
    /// The next reads of the disk, and of the runtime directory, fail.
    ReadsFail(u32, u32),
    /// From now on one of the files on the disk cannot be read.
    FileGoesBad(usize),
    FilesRecover,
    /// One byte of a file on the disk.
    Damage(usize, usize),
    Wait(u64),
    Mend,
    KillProcess,
    /// The process dies after this many writes, while it starts, or else while it stores.
    DieIn(u32, bool),
    /// As [`Fake::lose_power`] has it.
    LosePower(u8, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Push),
        1 => Just(Event::Burst),
        2 => Just(Event::KeepOpen),
        5 => Just(Event::Store),
        4 => Just(Event::Acknowledge(1)),
        1 => (1_u32..200).prop_map(Event::Acknowledge),
        2 => (0_u32..6).prop_map(Event::DiskFailsIn),
        1 => (0_u32..6).prop_map(Event::RuntimeFailsIn),
        2 => (0_u32..6, 0_u32..READ_RUNTIME).prop_map(|(disk, runtime)| Event::ReadsFail(disk, runtime)),
        2 => any::<usize>().prop_map(Event::FileGoesBad),
        1 => Just(Event::FilesRecover),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, at)| Event::Damage(file, at)),
        3 => prop_oneof![Just(1), Just(20), Just(70), Just(400), Just(90_000)].prop_map(Event::Wait),
        2 => Just(Event::Mend),
        2 => Just(Event::KillProcess),
        2 => (0_u32..12, any::<bool>()).prop_map(|(writes, starting)| Event::DieIn(writes, starting)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(luck, zeroes)| Event::LosePower(luck, zeroes)),
    ]
}

/// What is expected of a spool after what has happened to it.
struct Model {
    device: Device,
    spool: Spool,
    now: BootTime,
    /// Every record ever made; what of them is promised; the one that was acknowledged last.
    made: Vec<String>,
    promised: Vec<usize>,
    acknowledged: BTreeSet<usize>,
    newest: Option<usize>,
    open: Option<String>,
    /// No power was lost and the runtime directory never failed, so that every record is accounted for.
    exact: bool,
    /// A file was unreadable for longer than the order is held, so that its records may come late.
    may_be_late: bool,
    /// Records on the disk were damaged.
    harmed: bool,
    /// What was in memory alone may be found half stored, and counts as dropped then.
    lost_from_memory: u64,
}

impl Model {
    fn new() -> Self {
        let device = Device::new(10_000);
        let spool = device.start();
        Self {
            device,
            spool,
            now: NOW,
            made: Vec::new(),
            promised: Vec::new(),
            acknowledged: BTreeSet::new(),
            newest: None,
            open: None,
            exact: true,
            may_be_late: false,
            harmed: false,
            lost_from_memory: 0,
        }
    }

    fn push(&mut self) {
        self.made.push(push(&mut self.spool));
        self.promised.push(self.made.len() - 1);
        self.open = None;
    }

    /// Publishes the oldest record, if one can be read.
    fn acknowledge(&mut self) -> bool {
        let Some((position, _, payload)) = self.spool.oldest(self.now) else { return false };
        let index = self.made.iter().position(|record| *record == payload).expect("a known record");
        let is_new = self.acknowledged.insert(index);
        assert!(is_new || !self.exact, "{index} comes again");
        assert!(self.may_be_late || !self.exact || self.newest < Some(index), "{index} is out of order");
        self.newest = Some(index);
        self.promised.retain(|promised| *promised != index);
        self.spool.remove(position);
        true
    }

    fn restart(&mut self, power: Option<(u8, bool)>) {
        let boot = self.spool.boot().to_owned();
        self.restart_after(power, !self.spool.has_copies(), &boot, self.spool.unstored());
    }

    fn restart_after(
        &mut self,
        power: Option<(u8, bool)>,
        runtime_failed: bool,
        boot: &str,
        in_memory: usize,
    ) {
        if let Some((luck, zeroes)) = power {
            self.device.lose_power(luck, zeroes);
        } else {
            // The next process can write; whether it can read is another thing.
            self.device.disk.inner().fails_in = None;
            self.device.runtime.inner().fails_in = None;
        }
        self.spool = self.device.start();
        if power.is_some() || runtime_failed {
            self.exact = false;
            self.lost_from_memory += in_memory as u64;
            self.promised.truncate(self.promised.len() - in_memory.min(self.promised.len()));
        }
        let open = self.open.take();
        if power.is_some() {
            assert_ne!(self.spool.boot(), boot);
        } else if !runtime_failed {
            assert_eq!(self.spool.boot(), boot);
            if let Some(open) = open {
                self.made.push(open);
                self.promised.push(self.made.len() - 1);
            }
        } else if let Some(open) = open {
            // What was noted before the write that failed is still there.
            let is_it = |item: &Item| matches!(&item.at, At::Memory(held) if held.entry.payload == open);
            if self.spool.waiting.iter().any(is_it) {
                self.made.push(open);
            }
        }
    }

    fn live(&mut self, event: &Event) {
        match *event {
            Event::Push => self.push(),
            Event::Burst => {
                (0..250).for_each(|_| self.push());
                (0..10).for_each(|_| self.live(&Event::Store));
            }
            Event::KeepOpen => {
                let seq = self.spool.next_seq();
                let payload = payload(self.spool.boot(), seq);
                self.spool.keep_open(seq, "t", &payload);
                self.open = Some(payload.as_str().to_owned());
            }
            Event::Store => {
                self.spool.store();
                // A failed write leaves a part of them.
                if !self.spool.uses_disk() {
                    self.lost_from_memory += self.spool.unstored() as u64;
                }
            }
            Event::Acknowledge(count) => while_true(count, || self.acknowledge()),
            Event::DiskFailsIn(calls) => self.device.disk.inner().fails_in = Some(calls),
            Event::RuntimeFailsIn(calls) => self.device.runtime.inner().fails_in = Some(calls),
            Event::ReadsFail(disk, runtime) => {
                self.device.disk.inner().reads_fail = disk;
                self.device.runtime.inner().reads_fail = runtime;
            }
            Event::FileGoesBad(which) => {
                let mut inner = self.device.disk.inner();
                let count = inner.files.len().max(1);
                if let Some(name) = inner.files.keys().nth(which % count).cloned() {
                    inner.bad.insert(name);
                }
            }
            Event::FilesRecover => self.device.disk.inner().bad.clear(),
            Event::Damage(file, at) => {
                let mut inner = self.device.disk.inner();
                let count = inner.files.len().max(1);
                if let Some(file) = inner.files.values_mut().nth(file % count)
                    && !file.bytes.is_empty()
                {
                    let at = at % file.bytes.len();
                    file.bytes[at] ^= 0x40;
                    self.harmed = true;
                }
            }
            Event::Wait(seconds) => {
                // Who waits publishes what can be.
                let is_bad =
                    !self.device.disk.inner().bad.is_empty() || self.device.disk.inner().reads_fail > 0;
                self.may_be_late |= is_bad || self.spool.unreadable() > 0 || self.spool.folder().is_none();
                self.spool.oldest(self.now);
                self.now += Duration::from_secs(seconds);
                self.spool.oldest(self.now);
            }
            Event::Mend => {
                self.device.disk.inner().fails_in = None;
                self.device.runtime.inner().fails_in = None;
            }
            Event::KillProcess => self.restart(None),
            Event::DieIn(writes, starting) => {
                let dies_in = self.device.disk.inner().dies_in.clone();
                let mut runtime_failed = !self.spool.has_copies();
                let (boot, in_memory) = (self.spool.boot().to_owned(), self.spool.unstored());
                self.device.disk.inner().fails_in = None;
                self.device.runtime.inner().fails_in = None;
                *dies_in.lock().unwrap() = Some(writes);
                if starting {
                    self.spool = self.device.start();
                } else {
                    self.lost_from_memory += in_memory as u64;
                    self.spool.store();
                    // It may have written them again first.
                    runtime_failed = !self.spool.has_copies();
                }
                *dies_in.lock().unwrap() = None;
                self.restart_after(None, runtime_failed, &boot, in_memory);
            }
            Event::LosePower(luck, zeroes) => self.restart(Some((luck, zeroes))),
        }
    }

    /// At any time: stored = delivered + dropped + waiting.
    fn check(&mut self) {
        if self.exact && self.spool.folder().is_some() {
            let delivered = self.acknowledged.len() as u64;
            let accounted = delivered + self.spool.dropped() + self.spool.len() as u64;
            assert_eq!(
                accounted,
                self.made.len() as u64,
                "delivered {delivered}, dropped {}",
                self.spool.dropped()
            );
        }
        assert!(self.harmed || self.spool.dropped() <= self.lost_from_memory);
    }

    /// Everything can be read and written again, and is published.
    fn finish(mut self) {
        for folder in [&self.device.disk, &self.device.runtime] {
            let mut inner = folder.inner();
            (inner.fails_in, inner.reads_fail) = (None, 0);
            inner.bad.clear();
        }
        // Files that were passed over are tried again every five minutes.
        for _ in 0..3 {
            self.now += Duration::from_secs(400);
            while self.acknowledge() {}
            // Their turn comes one after the other.
            for _ in 0..20 {
                self.now += Duration::from_secs(10);
                while self.acknowledge() {}
            }
            self.check();
        }
        assert_eq!(self.spool.len(), 0);
        assert!(self.harmed || self.promised.is_empty(), "lost: {:?}", self.promised);
        // The key of each record is its own.
        assert_eq!(self.made.iter().collect::<BTreeSet<_>>().len(), self.made.len());
    }
}

fn while_true(count: u32, mut act: impl FnMut() -> bool) {
    let _ = (0..count).all(|_| act());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap())))]

    /// What must hold after any history: records come oldest first, each as it was pushed; the ones not acknowledged
    /// are all there but those a power loss caught in memory; what was stored is delivered, dropped or waiting; no key
    /// names two records.
    #[test]
    fn nothing_is_lost_that_was_promised(events in proptest::collection::vec(event(), 1..60)) {
        let mut model = Model::new();
        for event in events {
            model.live(&event);
            model.check();
        }
        model.finish();
    }
}

#[test]
fn a_crash_at_any_write_of_a_start_counts_nothing_as_dropped() {
    let renumbered = vec![
        Event::Push,
        Event::Store,
        Event::FileGoesBad(0),
        // The runtime directory is empty, and the disk is away for a while.
        Event::ReadsFail(2, 0),
        Event::LosePower(0, false),
        Event::Push,
        Event::KillProcess,
    ];
    let open = vec![
        // What waits is on the disk alone, which is away at the next start.
        Event::RuntimeFailsIn(0),
        Event::ReadsFail(4, 0),
        Event::Burst,
        Event::Push,
        Event::Acknowledge(1),
        Event::Store,
        Event::KillProcess,
        Event::KeepOpen,
    ];
    for events in [renumbered, open] {
        for writes in 0..16 {
            let mut model = Model::new();
            for event in events.iter().chain([&Event::DieIn(writes, true)]) {
                model.live(event);
                model.check();
            }
            assert_eq!(model.spool.dropped(), 0, "died after {writes} writes");
            model.finish();
        }
    }
}
