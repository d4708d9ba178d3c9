use super::*;
use crate::vision::Baseline;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;

const GOOD: &str = "[device]\nid = \"r101-cam1\"\nroom = \"101\"\n[deployment]\nbasis = \"consent\"\n[camera]\n\
                    device = \"file:lecture.mkv\"\n";

fn load(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lectern.d")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = folder.path().join("lectern.toml");
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Layers::read(&file, variables)
        .finish(Settings::from_layers)
        .map_err(|e| e.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn defaults_are_the_contract() {
    let settings = load(&[("lectern.toml", GOOD)], &[]).unwrap();
    assert_eq!(settings.topics.minute, "lectern/v1/unassigned/unassigned/101/r101-cam1/minute");
    assert_eq!(settings.broker.client_id, "lectern:v1:unassigned:unassigned:101:r101-cam1");
    assert_eq!((settings.rate_hz, settings.window_seconds, settings.keep_days), (2.0, 60, 7));
    assert_eq!((settings.camera.width, settings.camera.height), (1920, 1080));
    assert_eq!(settings.analysis.min_face_px, 24);
    assert_eq!(settings.analysis.baseline, Baseline::Person);
    assert_eq!(settings.camera.source, CameraSource::Recording("lecture.mkv".into()));
    assert_eq!((settings.broker.host.as_str(), settings.broker.port), ("localhost", 1883));
}

#[test]
fn later_layers_win() {
    let files = [
        ("lectern.toml", GOOD),
        ("lectern.d/10.toml", "[device]\nid = \"ten\"\nsite = \"north\"\n"),
        ("lectern.d/20.toml", "device.id = \"twenty\"\n"),
    ];
    let variables = [
        ("LECTERN_DEVICE_ROOM", "202"),
        ("LECTERN_ANALYSIS_RATE_HZ", "5"),
        ("LECTERN_ANALYSIS_BASELINE", "none"),
    ];
    let settings = load(&files, &variables).unwrap();
    assert_eq!(settings.topics.status, "lectern/v1/north/unassigned/202/twenty/status");
    assert_eq!(settings.rate_hz, 5.0);
    assert_eq!(settings.analysis.baseline, Baseline::None);
}

#[test]
fn a_bad_value_is_refused_with_place_and_range() {
    let cases = [
        (
            "[analysis]\nrate_hz = 99.0\n",
            "lectern.d/x.toml:2: analysis.rate_hz must be from 0.1 to 30, not 99",
        ),
        (
            "[analysis]\nbaseline = \"mine\"\n",
            "lectern.d/x.toml:2: analysis.baseline must be \"person\" or \"none\", not \"mine\"",
        ),
        (
            "[analysis]\nrate = 2\n",
            "lectern.d/x.toml:2: analysis.rate is not a key; did you mean `analysis.rate_hz`?",
        ),
        (
            "\n[windows]\nseconds = 60\n",
            "lectern.d/x.toml:2: windows is neither a section nor a key; did you mean `window`?",
        ),
        ("window = 60\n", "lectern.d/x.toml:1: window is a section; write [window]"),
        ("[window]\nseconds = 7\n", "lectern.d/x.toml:2: window.seconds must divide 3600, not 7"),
        ("[device]\nid = \"a/b\"\n", "lectern.d/x.toml:2: device.id = `a/b` cannot be a topic level"),
        (
            "[camera]\nformat = \"H264\"\n",
            "lectern.d/x.toml:2: camera.format must be auto, YUYV, UYVY, YVYU, VYUY, NV12, RGB3, MJPG, GREY",
        ),
        ("[camera]\nwidth = \"wide\"\n", "lectern.d/x.toml:2: camera.width must be a whole number"),
        ("[mqtt]\nurl = \"http://x\"\n", "lectern.d/x.toml:2: mqtt.url must look like mqtts://"),
        (
            "[mqtt]\nurl = \"mqtt://u:p@x\"\n",
            "lectern.d/x.toml:2: mqtt.url must hold no user name or password",
        ),
        (
            "[mqtt]\nca = \"/etc/ca.pem\"\n",
            "lectern.d/x.toml:2: mqtt.ca is of no use without TLS; mqtt.url must begin with mqtts://",
        ),
        (
            "[mqtt]\nurl = \"mqtts://x\"\nclient_cert = \"/dev/null\"\n",
            "lectern.d/x.toml:3: mqtt.client_cert needs mqtt.client_key, or the credential mqtt-client-key",
        ),
        (
            "[spool]\ndirectory = \"spool\"\n",
            "lectern.d/x.toml:2: spool.directory = \"spool\" must be an absolute",
        ),
        (
            "[analysis]\nregion = [0.5, 0.0, 0.4, 1.0]\n",
            "lectern.d/x.toml:2: analysis.region must be [left, top",
        ),
        (
            "[analysis]\nrate_hz = 0.1\n[window]\nseconds = 5\n",
            "lectern.d/x.toml:2: analysis.rate_hz = 0.1 gives no frame",
        ),
    ];
    let camera = "[camera]\ndevice = \"/dev/video0\"\n[analysis]\n";
    let too_large = format!("{camera}min_face_px = 1200\n");
    let too_narrow = format!("{camera}region = [0.0, 0.0, 0.01, 0.01]\n");
    let cases = cases.into_iter().chain([
        (&*too_large, "lectern.d/x.toml:4: analysis.min_face_px = 1200 is more than the 1920 x 1080 pixels"),
        (&*too_narrow, "lectern.d/x.toml:4: analysis.min_face_px = 24 is more than the 20 x 11 pixels"),
    ]);
    for (text, expected) in cases {
        let error = load(&[("lectern.toml", GOOD), ("lectern.d/x.toml", text)], &[]).unwrap_err();
        assert!(error.starts_with(expected), "{error}\nshould start with\n{expected}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let error = load(&[("lectern.toml", GOOD)], &[("LECTERN_ANALYSIS_RATE_HZ", "fast")]).unwrap_err();
    assert!(
        error.starts_with("variable LECTERN_ANALYSIS_RATE_HZ: analysis.rate_hz must be a number"),
        "{error}"
    );
    let error = load(&[("lectern.toml", GOOD)], &[("LECTERN_CAMRA_WIDTH", "640")]).unwrap_err();
    assert!(error.starts_with("variable LECTERN_CAMRA_WIDTH: names no configuration key"), "{error}");
    assert!(error.ends_with("did you mean `LECTERN_CAMERA_WIDTH`?"), "{error}");
}

#[test]
fn nothing_is_watched_without_a_basis() {
    let error = load(&[("lectern.toml", "camera.device = \"/dev/video0\"\n")], &[]).unwrap_err();
    assert!(error.starts_with("lectern.toml: deployment.basis is not set"), "{error}");
    let error = load(&[("lectern.toml", "deployment.basis = \" \"\ncamera.device = \"/dev/video0\"\n")], &[]);
    assert!(error.unwrap_err().starts_with("lectern.toml:1: deployment.basis is empty"));
}

#[test]
fn a_password_file_open_to_others_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("{GOOD}[mqtt]\nusername = \"u\"\npassword_file = \"{}\"\n", file.path().display());
    let settings = load(&[("lectern.toml", &text)], &[]).unwrap();
    assert_eq!(settings.broker.login, Some(("u".to_owned(), Some(file.path().to_owned()))));
    let without_user = text.replace("username = \"u\"\n", "");
    assert!(
        load(&[("lectern.toml", &without_user)], &[])
            .unwrap_err()
            .contains("of no use without mqtt.username")
    );
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load(&[("lectern.toml", &text)], &[]).unwrap_err().contains("is open to others"));
}

#[test]
fn a_missing_file_is_reported_and_no_mistake() {
    let text = format!(
        "{GOOD}[mqtt]\nurl = \"mqtts://x\"\nusername = \"u\"\npassword_file = \"/none/password\"\nca = \"/none/ca.pem\"\n\
         client_cert = \"/etc/passwd\"\nclient_key = \"/none/key\"\n"
    );
    let settings = load(&[("lectern.toml", &text)], &[]).unwrap();
    let reported = settings.unreadable_files();
    let keys: Vec<_> = reported.iter().map(ToString::to_string).collect();
    assert_eq!(
        keys,
        ["mqtt.password_file /none/password", "mqtt.ca /none/ca.pem", "mqtt.client_key /none/key"]
    );
}

#[test]
fn what_exceeds_a_packet_is_refused_with_its_line() {
    let root = |levels: usize| "x/".repeat(levels) + "y";
    let with = |key: &str, value: &str| {
        load(&[("lectern.toml", GOOD), ("lectern.d/x.toml", &format!("[mqtt]\n{key} = \"{value}\"\n"))], &[])
    };
    assert_eq!(
        with("root", &root(64)).unwrap_err(),
        "lectern.d/x.toml:2: mqtt.root must have at most 128 bytes, not 129"
    );
    assert!(with("root", &root(63)).is_ok());
    for name in ["", &"u".repeat(1025), "a\\u0000b", "a\\nb"] {
        let error = with("username", name).unwrap_err();
        assert_eq!(
            error, "lectern.d/x.toml:2: mqtt.username must have 1 to 1024 bytes and no control characters",
            "{name}"
        );
    }
    assert!(with("username", &"u".repeat(1024)).is_ok());
}

#[test]
fn a_password_at_the_wrong_place_is_never_repeated() {
    const CANARY: &str = "Xyzzy-42";
    let lines = [
        "password = \"Xyzzy-42\"",
        "password_file = \"Xyzzy-42\"",
        "password_file = [\"Xyzzy-42\"]",
        "username = [\"Xyzzy-42\"]",
        "username = { Xyzzy-42 = 1 }",
        "username = \"a\\nXyzzy-42\"",
        "username = \"Xyzzy-42",
        "username = Xyzzy-42",
        "username = 'Xyzzy-42",
        "username = \"Xyzzy-42\" \"",
        "password_file = Xyzzy-42",
        "client_key = \"-----BEGIN Xyzzy-42\"",
        "discovery = \"Xyzzy-42\"",
        "discovery = \"a\\\"Xyzzy-42, expected \"",
        "url = \"mqtt://u:Xyzzy-42\"",
        "url = \"mqtt://u:Xyzzy-42%40h\"",
        "url = \"mqtt://u:Xyzzy-42@h\"",
        "url = \"Xyzzy-42\"",
        "ca = \"Xyzzy-42\"",
        "username = \"\"\"\nXyzzy-42 = \"\"\"\nurl = 1",
        "username = \"x\"\nusername = \"Xyzzy-42\"",
        "password_file = \"/dev/null\"\nusername = \"\\Xyzzy-42\"",
    ];
    for line in lines {
        for text in [
            format!("{GOOD}[mqtt]\nurl = \"mqtts://h\"\n{line}\n"),
            format!("{GOOD}[mqtt]\n{line}\n"),
            format!("mqtt = {{ {line} }}\n{GOOD}"),
        ] {
            // A user name that is one is accepted.
            if let Err(error) = load(&[("lectern.toml", &text)], &[]) {
                // The error names the key; a password written there appears in no error of a value.
                let error = error.replace("mqtt.Xyzzy-42 is not a key", "");
                assert!(!error.contains(CANARY), "{text}\n{error}");
            }
        }
    }
    let errors =
        ["MQTT", "MQTT_PASSWORD", "MQTT_DISCOVERY", "MQTT_PASSWORD_FILE", "MQTT_CLIENT_KEY", "MQTT_URL"].map(
            |name| {
                (name, load(&[("lectern.toml", GOOD)], &[(&format!("LECTERN_{name}"), CANARY)]).map(|_| ()))
            },
        );
    for (name, error) in errors {
        // The key is of no use with mqtt://.
        assert!(!error.clone().unwrap_err().contains(CANARY), "{name}: {error:?}");
    }
    let section = load(&[("lectern.toml", &format!("mqtt = \"Xyzzy-42\"\n{GOOD}"))], &[]).unwrap_err();
    assert!(!section.contains(CANARY), "{section}");
    let camera = GOOD.replace("file:lecture.mkv", "rtsp://u:Xyzzy-42@h");
    for text in [camera.clone(), camera.replace("rtsp", "file:rtsp")] {
        let error = load(&[("lectern.toml", &text)], &[]).unwrap_err();
        assert!(!error.contains(CANARY) && error.contains("camera.device"), "{error}");
    }
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_files() {
    let bad = "[device]\nid = \"a/b\"\n[camera]\ndevcie = \"/dev/video0\"\nwidth = true\n[mqtt]\npassword = \"x\"\nurl = 7\n";
    let later = "[window]\nseconds = 7\n";
    let error = load(
        &[("lectern.toml", bad), ("lectern.d/10.toml", later)],
        &[("LECTERN_ANALYSIS_RATE_HZ", "99"), ("LECTERN_SPOOL_DIR", "/x")],
    )
    .unwrap_err();
    let places: Vec<_> = error.lines().map(|line| line.split(" ").next().unwrap()).collect();
    let expected = [
        "lectern.toml:2:",
        "lectern.toml:4:",
        "lectern.toml:5:",
        "lectern.toml:7:",
        "lectern.toml:8:",
        "lectern.d/10.toml:2:",
        "variable",
        "variable",
        "lectern.toml:",
        "lectern.toml:",
    ];
    assert_eq!(places, expected, "{error}");
    assert!(error.contains("camera.devcie is not a key; did you mean `camera.device`?"), "{error}");
    assert!(error.contains("put the password into /etc/credstore/lectern.mqtt-password"), "{error}");
    assert!(error.contains("did you mean `LECTERN_SPOOL_DIRECTORY`?"), "{error}");
    assert!(
        error.contains("deployment.basis is not set") && error.contains("camera.device is not set"),
        "{error}"
    );
}

#[test]
fn broken_toml_hides_no_mistake_of_another_file() {
    let error = load(&[("lectern.toml", "[camera\n"), ("lectern.d/10.toml", "[window]\nseconds = 7\n")], &[]);
    let error = error.unwrap_err();
    assert!(error.starts_with("lectern.toml:1: "), "{error}");
    assert!(error.contains("lectern.d/10.toml:2: window.seconds must divide 3600"), "{error}");
    assert!(!error.contains("is not set"), "{error}");
}

const CAMERA: &str = "deployment.basis = \"consent\"\ncamera.device = \"/dev/video0\"\n";

#[test]
fn a_record_of_a_camera_sums_up_a_minute_and_thirty_frames() {
    let with = |base: &str, more: &str| {
        load(&[("lectern.toml", base), ("lectern.d/x.toml", more)], &[])
            .map(|settings| settings.short_windows)
    };
    for (more, refused) in [
        ("window.seconds = 30\n", "lectern.d/x.toml:1: window.seconds = 30 is too short"),
        (
            "analysis.rate_hz = 5\nwindow.seconds = 30\n",
            "lectern.d/x.toml:2: window.seconds = 30 is too short",
        ),
        (
            "analysis.rate_hz = 0.4\n",
            "lectern.d/x.toml:1: analysis.rate_hz = 0.4 is too low for window.seconds = 60",
        ),
        (
            "analysis.rate_hz = 0.1\nwindow.seconds = 240\n",
            "lectern.d/x.toml:1: analysis.rate_hz = 0.1 is too low",
        ),
    ] {
        let error = with(CAMERA, more).unwrap_err();
        assert!(error.starts_with(refused) && error.contains("window.allow_short = true"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(with(CAMERA, &format!("{more}window.allow_short = true\n")), Ok(true));
        assert_eq!(with(GOOD, more), Ok(false), "a recording needs no permission");
    }
    let error = with(CAMERA, "analysis.rate_hz = 0.1\n").unwrap_err();
    assert!(error.contains("set analysis.rate_hz = 0.5 or window.seconds = 300"), "{error}");
    for more in [
        "",
        "analysis.rate_hz = 0.5\n",
        "analysis.rate_hz = 0.1\nwindow.seconds = 300\n",
        "window.allow_short = true\n",
    ] {
        assert_eq!(with(CAMERA, more), Ok(false), "{more}");
    }
}
