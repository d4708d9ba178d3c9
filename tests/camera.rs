//! A V4L2 camera's current frame is analysed, and no fault of a camera ends the program.
//!
//! They need the kernel's virtual camera `vivid`, which shows colour bars and fails on demand;
//! `cross/vm/camera-test.sh` brings it in a virtual machine. `LECTERN_CAMERA` names its capture node and
//! `LECTERN_NO_CAMERA` nodes that are none, separated by spaces.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lectern::camera::v4l2::V4l2;
use lectern::camera::{CameraError, Capture, Frame, FrameSource, PixelFormat};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::video::Capture as _;
use v4l::{Device, FourCC, Fraction};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const RATE_HZ: f64 = 2.0;

/// Long enough for the driver to have filled every buffer it has.
const ALL_BUFFERS_FULL: Duration = Duration::from_secs(3);

/// Entries of vivid's menu `test_pattern`.
const BARS_75: i32 = 0;
const BARS_100: i32 = 1;
const BLACK: i32 = 5;

/// The bars from left to right: which of red, green and blue are on.
const BARS: [[bool; 3]; 8] = [
    [true, true, true],
    [true, true, false],
    [false, true, true],
    [false, true, false],
    [true, false, true],
    [true, false, false],
    [false, false, true],
    [false, false, false],
];

/// The virtual camera, used by one test at a time.
struct Vivid {
    device: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Vivid {
    fn attached() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let device = std::env::var_os("LECTERN_CAMERA").expect("LECTERN_CAMERA names the virtual camera");
        let vivid =
            Self { device: device.into(), _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner) };
        vivid.set("test_pattern", BARS_75);
        vivid.set("percentage_of_dropped_buffers", 0);
        vivid
    }

    fn set(&self, control: &str, value: i32) {
        let set = Command::new("v4l2-ctl")
            .arg("--device")
            .arg(&self.device)
            .args(["--set-ctrl", &format!("{control}={value}")])
            .output()
            .expect("v4l2-ctl of the package v4l-utils starts");
        assert!(set.status.success(), "{control}: {}", String::from_utf8_lossy(&set.stderr));
    }

    /// Presses a button that makes a system call or a buffer fail once.
    fn inject(&self, button: &str) {
        self.set(button, 1);
    }

    fn camera(&self) -> V4l2 {
        V4l2::new(&self.device, WIDTH, HEIGHT, RATE_HZ)
    }

    fn opened(&self) -> V4l2 {
        let mut camera = self.camera();
        camera.reopen().unwrap();
        camera
    }
}

fn frame(camera: &mut V4l2) -> Frame {
    match camera.next() {
        Ok(Capture::Frame(frame)) => frame,
        Ok(_) => panic!("a frame is corrupt"),
        Err(error) => panic!("{error}"),
    }
}

/// The error of a camera that is away.
fn lost(camera: &mut V4l2) -> io::Error {
    match camera.next() {
        Err(CameraError::Lost { cause, .. }) => cause,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the camera still delivers"),
    }
}

fn assert_resumes(camera: &mut V4l2) {
    camera.reopen().unwrap();
    let frame = frame(camera);
    assert_eq!((frame.width(), frame.height()), (WIDTH as usize, HEIGHT as usize));
}

/// The colour in the middle of each bar, below the text that vivid writes.
fn bars(frame: Frame) -> [[u8; 3]; 8] {
    let frame = frame.into_rgb();
    let row = frame.row(frame.height() * 3 / 4);
    std::array::from_fn(|bar| {
        let x = (2 * bar + 1) * frame.width() / 16;
        [row[x * 3], row[x * 3 + 1], row[x * 3 + 2]]
    })
}

/// The gray that vivid sends for a bar as `GREY`: luma of BT.709 in full range.
fn luma(bar: [bool; 3], level: f64) -> f64 {
    let weights = bar.into_iter().zip([0.2126, 0.7152, 0.0722]);
    weights.filter(|(on, _)| *on).map(|(_, weight)| weight * level).sum()
}

fn is_near(found: u8, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 3.0
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn each_format_shows_the_right_colours() {
    let vivid = Vivid::attached();
    // vivid compresses nothing.
    for format in PixelFormat::ALL.iter().filter(|format| format.name() != "MJPG") {
        let name = format.name();
        let mut camera = vivid.camera().with_format(Some(*format));
        for (pattern, level) in [(BARS_75, 191.0), (BARS_100, 255.0)] {
            vivid.set("test_pattern", pattern);
            camera.reopen().unwrap();
            let frame = frame(&mut camera);
            assert_eq!((frame.width(), frame.height()), (WIDTH as usize, HEIGHT as usize), "{name}");
            let found = bars(frame);
            for (bar, found) in BARS.into_iter().zip(found) {
                let expected = match name {
                    "GREY" => [luma(bar, level); 3],
                    _ => bar.map(|on| if on { level } else { 0.0 }),
                };
                let right = found.into_iter().zip(expected).all(|(found, expected)| is_near(found, expected));
                assert!(right, "{name} at level {level}: {found:?}, expected {expected:?}");
            }
            println!("{name} at level {level}: {found:?}");
        }
    }
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn unsupported_format_lists_the_offered_ones() {
    let vivid = Vivid::attached();
    let error = vivid.camera().with_format(PixelFormat::named("MJPG")).reopen().unwrap_err();
    assert!(matches!(error, CameraError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("YUYV"), "{error}");
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn non_capture_node_is_rejected() {
    let _vivid = Vivid::attached();
    let nodes =
        std::env::var("LECTERN_NO_CAMERA").expect("LECTERN_NO_CAMERA names nodes that are no cameras");
    for node in nodes.split_whitespace() {
        let error = V4l2::new(Path::new(node), WIDTH, HEIGHT, RATE_HZ).reopen().unwrap_err();
        assert!(matches!(error, CameraError::Unusable { .. }), "{error}");
        println!("{error}");
    }
}

/// A tick returns the current frame, not one that was buffered.
#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn tick_returns_a_fresh_frame() {
    let vivid = Vivid::attached();
    let mut camera = vivid.opened();
    for (pattern, white) in [(BLACK, 0), (BARS_100, 255), (BLACK, 0)] {
        drop(frame(&mut camera));
        sleep(ALL_BUFFERS_FULL);
        vivid.set("test_pattern", pattern);
        let requested = Instant::now();
        let [first, ..] = bars(frame(&mut camera));
        assert!(is_near(first[0], f64::from(white)), "shows {first:?} after the picture became {white}");
        println!("fresh after {:.2} s", requested.elapsed().as_secs_f64());
    }
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn camera_runs_at_the_analysis_rate() {
    let vivid = Vivid::attached();
    let seconds = |fraction: Fraction| f64::from(fraction.numerator) / f64::from(fraction.denominator);
    for rate_hz in [0.5, 2.0, 10.0] {
        let mut camera = V4l2::new(&vivid.device, WIDTH, HEIGHT, rate_hz);
        camera.reopen().unwrap();
        drop(frame(&mut camera));
        let driver = Device::with_path(&vivid.device).unwrap();
        let offered = driver.enum_frameintervals(FourCC::new(b"YUYV"), WIDTH, HEIGHT).unwrap();
        let longest = offered
            .iter()
            .filter_map(|offer| match offer.interval {
                FrameIntervalEnum::Discrete(interval) => Some(seconds(interval)),
                FrameIntervalEnum::Stepwise(_) => None,
            })
            .filter(|interval| *interval <= 0.5 / rate_hz)
            .fold(0.0, f64::max);
        let chosen = seconds(driver.params().unwrap().interval);
        assert!(
            (chosen - longest).abs() < 1e-6,
            "{rate_hz} Hz: every {chosen} s, and {longest} s is offered"
        );
        println!("{rate_hz} Hz: a frame every {chosen:.3} s");
    }
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn waits_for_a_busy_camera() {
    let vivid = Vivid::attached();
    let mut other = vivid.opened();
    drop(frame(&mut other));
    let mut camera = vivid.camera();
    let error = camera.reopen().unwrap_err();
    assert!(matches!(error, CameraError::Lost { .. }), "{error}");
    println!("{error}");
    drop(other);
    assert_resumes(&mut camera);
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn signal_during_a_wait_loses_no_frame() {
    let vivid = Vivid::attached();
    // A handler, without which a signal would end the process or be ignored and interrupt no call.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let _handler = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap();
    let mut camera = vivid.opened();
    // kill(2) with a thread's number delivers the signal to that thread, unless it blocks the signal.
    let this_thread = std::fs::read_link("/proc/thread-self").unwrap();
    let number = this_thread.file_name().unwrap().to_owned();
    let sender = std::thread::spawn(move || {
        for _ in 0..20 {
            sleep(Duration::from_millis(310));
            assert!(Command::new("kill").arg("-USR1").arg(&number).status().unwrap().success());
        }
    });
    while !sender.is_finished() {
        drop(frame(&mut camera));
    }
    sender.join().unwrap();
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn damaged_buffer_is_corrupt_once() {
    let vivid = Vivid::attached();
    let mut camera = vivid.opened();
    drop(frame(&mut camera));
    sleep(ALL_BUFFERS_FULL);
    vivid.inject("inject_v4l2_buf_flag_error");
    assert!(matches!(camera.next(), Ok(Capture::Corrupt)));
    drop(frame(&mut camera));
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn silent_camera_is_lost() {
    let vivid = Vivid::attached();
    let mut camera = vivid.opened();
    drop(frame(&mut camera));
    vivid.set("percentage_of_dropped_buffers", 100);
    assert_eq!(lost(&mut camera).kind(), io::ErrorKind::TimedOut);
    vivid.set("percentage_of_dropped_buffers", 0);
    assert_resumes(&mut camera);
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn failed_call_loses_the_camera_until_reopened() {
    let vivid = Vivid::attached();
    let mut camera = vivid.opened();
    // While it streams.
    for button in ["inject_vidioc_qbuf_error", "inject_fatal_streaming_error"] {
        drop(frame(&mut camera));
        vivid.inject(button);
        println!("{button}: {}", lost(&mut camera));
        assert_resumes(&mut camera);
    }
}

/// The first format that a camera does not refuse is used: here the second one.
#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn refused_format_is_replaced_by_the_next_one() {
    let vivid = Vivid::attached();
    let mut camera = vivid.camera();
    let used = || Device::with_path(&vivid.device).unwrap().format().unwrap().fourcc;
    for button in ["inject_vidioc_reqbufs_error", "inject_vidioc_qbuf_error", "inject_vidioc_streamon_error"]
    {
        drop(camera);
        vivid.inject(button);
        camera = vivid.camera();
        assert_resumes(&mut camera);
        assert_eq!(used(), FourCC::new(b"UYVY"), "{button}");
        assert_resumes(&mut camera);
        assert_eq!(used(), FourCC::new(b"YUYV"), "the best one is tried first again");
    }
}

#[test]
#[ignore = "needs the kernel's virtual camera: LECTERN_CAMERA"]
fn replugged_camera_resumes() {
    let vivid = Vivid::attached();
    let mut camera = vivid.opened();
    drop(frame(&mut camera));
    // vivid returns once no process has it open.
    let held = Device::with_path(&vivid.device).unwrap();
    vivid.inject("disconnect");
    assert_eq!(lost(&mut camera).raw_os_error(), Some(libc::ENODEV));
    let error = camera.reopen().unwrap_err();
    assert!(matches!(error, CameraError::Lost { .. }), "{error}");
    drop(held);
    assert_resumes(&mut camera);
}
