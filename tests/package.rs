//! What the package installs in addition to the program: the configuration, the units, the message ids.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use lectern::config::Settings;

const EXAMPLE: &str = "systemd/lectern.toml";

/// Keys whose line in the example is an example, not a default.
/// (The directory is one where it exists, which is up to the package.)
const NO_DEFAULT: [&str; 8] =
    ["id", "basis", "username", "password_file", "ca", "client_cert", "client_key", "directory"];

/// The installed units.
const UNITS: [&str; 5] = [
    "lectern.service",
    "lectern-camera.target",
    "lectern-status.service",
    "lectern-status.timer",
    "lectern-source@.service",
];

/// Loads the example with each line changed by `edit`.
fn load(edit: impl Fn(&str) -> String) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lectern.toml");
    let lines: Vec<_> = fs::read_to_string(EXAMPLE).unwrap().lines().map(edit).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    Settings::load(&file).map_err(|e| e.to_string())
}

fn with_basis(line: &str) -> String {
    if line.starts_with("#basis") { line[1..].to_owned() } else { line.to_owned() }
}

/// The key of a line such as `#rate_hz = 2.0`.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
    (!line.starts_with("# ") && !key.contains(' ')).then_some(key)
}

/// The example configuration is rejected until `deployment.basis` is set.
#[test]
fn example_requires_a_legal_basis() {
    let refusal = load(str::to_owned).unwrap_err();
    assert!(refusal.contains("deployment.basis is not set"), "{refusal}");
    assert!(load(with_basis).is_ok());
}

#[test]
fn example_shows_every_key_and_default() {
    let all = load(|line| match key(line) {
        Some(key) if !NO_DEFAULT.contains(&key) => line.trim_start_matches('#').to_owned(),
        _ => with_basis(line),
    });
    assert_eq!(format!("{all:?}"), format!("{:?}", load(with_basis)));

    let mut section = "";
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let mut shown = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(key) = key(line) {
            shown.insert(format!("{section}.{key}"));
        }
    }
    let defined: BTreeSet<_> = lectern::config::keys().collect();
    assert!(defined.len() > 15, "{defined:?}");
    assert_eq!(shown, defined);
}

/// What `systemd-analyze` prints and whether it succeeds, with the program in its place.
fn analyse(arguments: &[&str], unit: &str) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let text = fs::read_to_string(format!("systemd/{name}")).unwrap();
        // The program is not installed where the tests run.
        fs::write(
            folder.path().join(name),
            text.replace("/usr/bin/lectern", "/bin/true")
                .replace("/usr/lib/lectern/lectern-source", "/bin/true"),
        )
        .unwrap();
    }
    let output = Command::new("systemd-analyze").args(arguments).arg(folder.path().join(unit)).output();
    let output = output.expect("systemd-analyze is installed");
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (printed, output.status.success())
}

#[test]
#[ignore = "needs systemd-analyze, of the package systemd"]
fn units_pass_systemd_analyze() {
    for unit in UNITS {
        let (printed, good) = analyse(&["verify", "--man=no"], unit);
        assert!(good && printed.is_empty(), "{printed}");
    }
}

/// The unit does not wait for the network, and its address filter allows brokers behind NAT64.
#[test]
fn unit_needs_no_network_and_allows_nat64() {
    let unit = fs::read_to_string("systemd/lectern.service").unwrap();
    let of = |key: &str| unit.lines().filter_map(|line| line.strip_prefix(key)).collect::<Vec<_>>().join(" ");
    for key in ["Wants=", "Requires=", "After="] {
        assert!(!of(key).contains("network-online"), "{key}");
    }
    assert!(of("IPAddressAllow=").split(' ').any(|range| range == "64:ff9b::/96"));
}

#[test]
#[ignore = "needs systemd-analyze, of the package systemd"]
fn unit_has_a_low_exposure_score() {
    let (printed, good) = analyse(&["security", "--offline=true", "--threshold=13"], "lectern.service");
    assert!(good, "{printed}");
    let (printed, good) =
        analyse(&["security", "--offline=true", "--threshold=13"], "lectern-status.service");
    assert!(good, "{printed}");
    let (printed, good) =
        analyse(&["security", "--offline=true", "--threshold=25"], "lectern-source@.service");
    assert!(good, "{printed}");
}

/// The package installs every unit and enables only the service.
#[test]
fn package_enables_only_the_service() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    for unit in UNITS {
        assert!(manifest.contains(&format!("\"systemd/{unit}\", \"lib/systemd/system/\"")), "{unit}");
    }
    let installed = fs::read_to_string("systemd/debian/postinst").unwrap();
    assert!(
        installed.contains("enable lectern.service")
            && !installed.contains("lectern-status")
            && !installed.contains("lectern-source")
    );
    let unit = fs::read_to_string("systemd/lectern-status.service").unwrap();
    assert!(
        unit.contains("ExecStart=/usr/bin/lectern status --prometheus --out ") && !unit.contains("[Install]")
    );
}

/// The source of a network camera writes its password into no argument and no log.
#[test]
fn source_hides_the_password_of_a_camera() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // In ffmpeg's place: prints its arguments and its list, and an error as ffmpeg writes it.
    let fake = "#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > \"$SEEN/arguments\"\ncat > \"$SEEN/list\"\n\
                sed -n \"s/^file '\\(.*\\)'/[rtsp] \\1: 401 Unauthorized/p\" \"$SEEN/list\" >&2\necho YUV4MPEG2\n";
    fs::write(path("ffmpeg"), fake).unwrap();
    fs::set_permissions(path("ffmpeg"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(path("rtsp-password"), "p@ss'w:rd\n").unwrap();
    assert!(Command::new("mkfifo").arg(path("camera.y4m")).status().unwrap().success());
    let mut reader = Command::new("cat");
    let reader = reader.arg(path("camera.y4m")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let output = Command::new("systemd/lectern-source")
        .arg(path("camera.y4m"))
        .env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()))
        .env("SEEN", folder.path())
        .env("CREDENTIALS_DIRECTORY", folder.path())
        .envs([("SOURCE", "rtsp"), ("URL", "rtsp://user@192.0.2.20:554/stream")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "systemd starts it again");
    assert_eq!(reader.wait_with_output().unwrap().stdout, b"YUV4MPEG2\n");
    let list = fs::read_to_string(path("list")).unwrap();
    assert!(list.contains("file 'rtsp://user:%70%40%73%73%27%77%3a%72%64@192.0.2.20:554/stream'"), "{list}");
    assert!(list.contains("option rtsp_transport tcp\n") && list.contains("option timeout "), "{list}");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("[rtsp] the camera 401 Unauthorized"), "{printed}");
    for text in [printed, fs::read_to_string(path("arguments")).unwrap()] {
        assert!(!text.contains("%70%40") && !text.contains("p@ss"), "{text}");
    }
    // A password in the address is refused, and not repeated.
    let refused = Command::new("systemd/lectern-source")
        .arg(path("camera.y4m"))
        .envs([("SOURCE", "rtsp"), ("URL", "rtsp://user:Xyzzy-42@192.0.2.20/stream")])
        .output()
        .unwrap();
    let printed = String::from_utf8(refused.stderr).unwrap();
    assert!(printed.contains("URL must hold no password") && !printed.contains("Xyzzy"), "{printed}");
}

#[test]
fn message_ids_are_unique_and_documented() {
    let files = ["src/logging/events.rs", "crates/delivery/src/events.rs"];
    let source = files.map(|file| fs::read_to_string(file).unwrap()).concat();
    let ids: Vec<_> =
        source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1)).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let documented = fs::read_to_string("docs/troubleshooting.md").unwrap();
    for id in ids {
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert!(documented.contains(id), "{id} is not in docs/troubleshooting.md");
    }
}

/// The search for pictures in the virtual machine must produce the program's RGB, or it would find none.
#[test]
fn picture_search_decodes_as_the_program_does() {
    let source = fs::read_to_string("crates/vision/src/camera/frame.rs").unwrap();
    let search = fs::read_to_string("cross/vm/search.py").unwrap();
    let factors = source.lines().filter(|line| line.starts_with("const ") && line.contains("_OF_C"));
    let found: Vec<_> =
        factors.map(|line| line.rsplit(' ').next().unwrap().trim_matches(['-', ';'])).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    for value in found.into_iter().chain(["255 / 219", "- 16", "- 128"]) {
        assert!(search.contains(value), "{value}");
    }
    assert!(source.contains("LUMA: f32 = 255.0 / 219.0;") && source.contains("BLACK: f32 = 16.0;"));
}
