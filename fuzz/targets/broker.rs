//! The broker's side of the protocol: whatever a peer answers, nothing panics, and no log message holds the password.
#![no_main]

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use lectern::clock::{Stop, SystemClock};
use lectern::delivery::payload::Identity;
use lectern::delivery::spool::Spool;
use lectern::delivery::topics::Topics;
use lectern::delivery::{Broker, PublisherConfig, Timing, Unmonitored, Update, deliver};
use lectern::window::{Counts, MinuteRecord};
use lectern_fuzz::{CANARY, CapturedLog};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long the peer waits for the device's next bytes.
const READ_TIMEOUT: Duration = Duration::from_millis(2);

struct Scene {
    runtime: Runtime,
    listener: TcpListener,
    broker: Broker,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let password = tempfile::NamedTempFile::new().unwrap();
    password.as_file().write_all(CANARY.as_bytes()).unwrap();
    let (_, file): (_, PathBuf) = password.keep().unwrap();
    let broker = Broker {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: listener.local_addr().unwrap().port(),
        client_id: "fuzz".to_owned(),
        login: Some(("lectern".to_owned(), Some(file))),
        tls: None,
    };
    Scene { runtime, listener, broker }
});

const TIMING: Timing = Timing {
    first_backoff: Duration::from_secs(60),
    longest_backoff: Duration::from_secs(60),
    acknowledge_within: Duration::from_secs(60),
    store_after: Duration::from_secs(60),
    shutdown_within: Duration::from_secs(60),
    pace: Duration::ZERO,
};

/// The peer's actions: sends some bytes, echoes the received ones, or sends a correct acknowledgement.
#[derive(Debug, arbitrary::Arbitrary)]
enum Answer<'a> {
    Bytes(&'a [u8]),
    Reflect,
    Connack,
    Puback(u16),
}

fuzz_target!(|answers: Vec<Answer<'_>>| {
    let captured = CapturedLog::start();
    let Scene { runtime, listener, broker } = &*SCENE;
    runtime.block_on(async {
        let (updates, receiver) = mpsc::channel(4);
        let record = MinuteRecord {
            seq: 0,
            start: Timestamp::UNIX_EPOCH,
            seconds: 60,
            frames_expected: 120,
            counts: Counts::default(),
            clock_synced: true,
            partial: false,
        };
        updates.send(Update::Record(record)).await.unwrap();
        let spool = Spool::in_memory(10).unwrap();
        let clock = Arc::new(SystemClock);
        let config = PublisherConfig {
            broker: broker.clone(),
            topics: Topics::new("lectern/v1", "a", "b", "c", "d"),
            identity: Identity { device: "d".to_owned(), boot: spool.boot().to_owned() },
            basis: "fuzz".to_owned(),
            discovery: Some(lectern::delivery::Discovery::new(60)),
            timing: TIMING,
            clock,
            stop: Stop::default(),
            monitor: Arc::new(Unmonitored),
        };
        tokio::select! {
            _ = deliver(config, spool, receiver) => {}
            () = answer(listener, &answers) => {}
        }
    });
    let text = captured.text();
    assert!(!text.contains(CANARY), "{text}");
});

async fn answer(listener: &TcpListener, answers: &[Answer<'_>]) {
    let (mut device, _) = listener.accept().await.unwrap();
    let mut sent = vec![0; 16 * 1024];
    let mut length = device.read(&mut sent).await.unwrap_or(0);
    for answer in answers.iter().take(16) {
        let bytes = match answer {
            Answer::Bytes(bytes) => bytes.to_vec(),
            Answer::Reflect => sent[..length].to_vec(),
            Answer::Connack => vec![0x20, 2, 0, 0],
            Answer::Puback(id) => [&[0x40, 2][..], &(id % 8).to_be_bytes()].concat(),
        };
        if device.write_all(&bytes).await.is_err() {
            break;
        }
        match timeout(READ_TIMEOUT, device.read(&mut sent)).await {
            Ok(Ok(read @ 1..)) => length = read,
            Ok(_) => break,
            Err(_) => {}
        }
    }
    // Closed before the device is cancelled, so that it logs why the connection ended.
    drop(device);
    sleep(READ_TIMEOUT).await;
}
