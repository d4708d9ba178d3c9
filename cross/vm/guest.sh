#!/bin/busybox sh
# shellcheck shell=dash # busybox' ash, which it does not know
# The first and only process of the virtual machine of camera-test.sh: prints each promise with `ok` or `FAILED`.

camera=/dev/video0
messages=/tmp/messages # what a subscriber received: topic, then payload
journal=/tmp/journal   # what the daemon logged
failures=0
measured=

# ---- telling ---------------------------------------------------------------------------------------------

# promise TEXT COMMAND…: holds when the command succeeds.
promise() {
    text=$1
    shift
    if "$@"; then
        echo "ok      $text${measured:+ ($measured)}"
    else
        echo "FAILED  $text"
        failures=$((failures + 1))
    fi
    measured=
}

# Hundredths of a second since the machine started.
now() {
    read -r uptime _ < /proc/uptime
    echo "${uptime%.*}${uptime#*.}"
}

finish() {
    if [ $failures -eq 0 ]; then
        echo "all promises hold"
    else
        echo "promises are broken: $failures; the daemon said:"
        cat $journal
        echo "the subscriber received:"
        cat $messages
    fi
    poweroff -f
}

# ---- the camera ------------------------------------------------------------------------------------------

# A webcam that captures up to 640x480 and more, with an output and a metadata node beside it.
plug_webcam() { modprobe vivid n_devs=1 node_types=0x20101 num_inputs=1 input_types=0x0 num_outputs=1; }

# A camera that has only one size, 1280x720 at 60 Hz.
plug_other_camera() { modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3 ccs_cap_mode=0; }

press() { v4l2-ctl -d $camera -c "$1=1"; }

# vivid is away while anybody still has the node open that it lost.
pull_out() {
    # shellcheck disable=SC2217 # it keeps the node open
    sleep 1000 < $camera &
    holder=$!
    press disconnect
}

let_go() {
    kill $holder
    wait $holder 2> /dev/null
}

# ---- the daemon ------------------------------------------------------------------------------------------

start_daemon() {
    LECTERN_LOG=debug lectern run --config /etc/lectern.toml >> $journal 2>&1 &
    daemon=$!
}

# mark: messages from here on count for `received`.
mark() {
    marked=$(wc -l < $messages)
    since=$(now)
}

# received SECONDS PATTERN: within that time after `mark` a message matches, and the daemon lives.
received() {
    until tail -n +$((marked + 1)) $messages | grep -q -- "$2"; do
        [ -d /proc/$daemon ] && [ $(($(now) - since)) -le $(($1 * 100)) ] || return 1
        usleep 100000
    done
    took=$(($(now) - since))
    measured="$((took / 100)).$((took / 10 % 10)) s"
}

state() { received "$1" "\"state\":\"$2\""; }

# ends_well SECONDS: SIGTERM ends the daemon in time with exit code 0.
ends_well() {
    since=$(now)
    kill -TERM $daemon
    while [ -d /proc/$daemon ] && ! grep -q '^State:.Z' /proc/$daemon/status; do
        [ $(($(now) - since)) -le $(($1 * 100)) ] || return 1
        usleep 100000
    done
    took=$(($(now) - since))
    measured="$((took / 100)).$((took / 10 % 10)) s"
    wait $daemon
}

# shellcheck disable=SC2010 # the names are of no use: what the links point to is
has_one_camera_open() { [ "$(ls -l /proc/$daemon/fd | grep -c /dev/video)" -eq 1 ]; }

never_panicked() { ! grep -q panicked $journal; }

# Each `seq` is the one before plus one.
has_no_gaps() {
    grep -o '"seq":[0-9]*' $messages | cut -d: -f2 |
        awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 } END { if (NR < 2) exit 1 }'
}

# ---- what is proven --------------------------------------------------------------------------------------

prove_the_library() {
    LECTERN_CAMERA=$camera LECTERN_NO_CAMERA='/dev/video1 /dev/video2' \
        camera-tests --ignored --test-threads=1 --show-output > /tmp/tests 2>&1
    code=$?
    sed -n 's/^test \(.*\) \.\.\. ok$/ok      \1/p; s/^test \(.*\) \.\.\. FAILED$/FAILED  \1/p' /tmp/tests | tr _ ' '
    # What the tests measured, and why they failed.
    sed -n '/^---- /,$p' /tmp/tests | grep -E -v '^(----.*|    .*|successes:|failures:|test result.*|)$' | sed 's/^/  - /'
    promise "every test of tests/camera.rs passed" [ $code -eq 0 ]
    promise "every test of tests/camera.rs ran" grep -q '^test result: .* 0 ignored; 0 measured; 0 filtered out' /tmp/tests
}

prove_the_daemon() {
    mosquitto -c /etc/mosquitto.conf > /tmp/broker 2>&1 &
    sleep 2
    mosquitto_sub -h 127.0.0.1 -q 1 -v -t 'lectern/#' > $messages 2>&1 &
    rmmod vivid
    mark
    start_daemon
    promise "a daemon without a camera says camera_lost" state 60 camera_lost
    mark
    plug_webcam
    promise "a camera plugged in later is watched within 10 s" state 10 watching
    promise "a window with frames arrives" received 30 '"frames":[1-9]'

    mark
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        press inject_v4l2_buf_flag_error
        usleep 300000
    done
    promise "damaged buffers are counted in corrupt" received 15 '"corrupt":[1-9]'

    mark
    v4l2-ctl -d $camera -c percentage_of_dropped_buffers=100
    promise "a silent camera is lost within 10 s" state 10 camera_lost
    mark
    v4l2-ctl -d $camera -c percentage_of_dropped_buffers=0
    promise "a camera that was silent is watched again within 10 s" state 10 watching

    mark
    press inject_fatal_streaming_error
    promise "a stream that fails is lost within 10 s" state 10 camera_lost
    promise "a stream that failed is watched again within 10 s" state 10 watching

    mark
    press inject_vidioc_streamon_error
    press inject_fatal_streaming_error
    promise "it is watched again also when its first start fails" state 15 watching

    mark
    pull_out
    promise "a camera pulled out is lost within 10 s" state 10 camera_lost
    sleep 7
    mark
    let_go
    promise "a camera put back is watched within 10 s" state 10 watching
    promise "its frames are counted" received 20 '"frames":[1-9]'
    promise "the daemon holds one camera open and leaks none" has_one_camera_open

    mark
    pull_out
    promise "the camera pulled out again is lost within 10 s" state 10 camera_lost
    # Stopped, so that it cannot open the old camera in the instant before that goes.
    kill -STOP $daemon
    let_go
    rmmod vivid
    kill -CONT $daemon
    sleep 3
    mark
    plug_other_camera
    promise "another camera in its place is watched within 10 s" state 10 watching
    promise "its format was negotiated anew" grep -q 'YUYV 1280x720' $journal
    promise "the frames of the other camera are counted" received 30 '"frames":[1-9]'

    mark
    promise "SIGTERM during capture ends it with exit code 0" ends_well 10
    promise "its last window arrived" received 5 '"partial":true'
    promise "its state is offline" state 5 offline
    promise "seq has no gaps" has_no_gaps
    promise "nothing panicked" never_panicked
}

# ---- the machine -----------------------------------------------------------------------------------------

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
ifconfig lo 127.0.0.1 up
printf 'listener 1883 127.0.0.1\nallow_anonymous true\nuser root\n' > /etc/mosquitto.conf
cat > /etc/lectern.toml << END
[device]
id = "vm"
[deployment]
basis = "a test with a virtual camera"
[camera]
device = "$camera"
# Small pictures, and large faces only, because this processor is an emulated one.
width = 640
height = 480
[analysis]
rate_hz = 2
min_face_px = 300
[window]
seconds = 5
allow_short = true
[mqtt]
url = "mqtt://127.0.0.1:1883"
END
: > $messages
: > $journal
promise "vivid is loaded" plug_webcam
prove_the_library
prove_the_daemon
finish
