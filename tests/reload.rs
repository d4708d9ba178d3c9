//! SIGHUP: a good configuration is taken over in the same process, a bad one is refused and the old one kept.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use common::{Daemon, Mosquitto, Subscriber, number, portrait_video};
use rustix::process::{Pid, Signal, kill_process};

fn hang_up(daemon: &Daemon) {
    kill_process(Pid::from_child(&daemon.child), Signal::HUP).unwrap();
}

#[test]
fn a_reload_takes_over_a_good_configuration_and_refuses_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 1);
    let is_minute = |topic: &str, seq: u64, payload: &serde_json::Value| {
        topic.ends_with("/minute") && number(payload, "seq") >= seq
    };
    let mut messages = subscriber.until(|topic, payload| is_minute(topic, 1, payload));

    let file = daemon.folder.path().join("lectern.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("seconds = 1", "seconds = 7")).unwrap();
    hang_up(&daemon);
    // Two windows later the refusal is long over.
    messages.extend(subscriber.until(|topic, payload| is_minute(topic, 4, payload)));
    assert!(messages.iter().all(|(_, payload)| payload["state"] != "offline"));

    fs::write(&file, good.replace("seconds = 1", "seconds = 2")).unwrap();
    hang_up(&daemon);
    messages.extend(subscriber.until(|_, payload| payload["seconds"] == 2 && payload["partial"] == false));
    // One that comes while the daemon changes over is not lost.
    fs::write(&file, &good).unwrap();
    hang_up(&daemon);
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, said) = daemon.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("the daemon goes on as before").count(), 1, "{said}");
    assert!(said.contains("must divide 3600, not 7"), "{said}");
    assert!(said.contains("the configuration was read again"), "{said}");

    let minutes: Vec<_> = messages.iter().filter(|(topic, _)| topic.ends_with("/minute")).collect();
    for pair in minutes.windows(2) {
        assert_eq!(number(&pair[1].1, "seq"), number(&pair[0].1, "seq") + 1);
        assert_eq!(pair[1].1["boot"], pair[0].1["boot"]);
    }
}
