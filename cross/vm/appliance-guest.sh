#!/bin/bash
# Runs as root in the guest of appliance-test.sh, under its systemd: prints each promise with `ok` or `FAILED`.
cd /run/payload || exit 1
# shellcheck source=/dev/null # appliance-test.sh writes it
. ./settings
messages=/run/messages # what a subscriber received: topic, then payload
camera=/dev/video0
failures=0
measured=

# ---- telling ---------------------------------------------------------------------------------------------

# promise TEXT COMMAND…: holds when the command succeeds.
promise() {
    local text=$1
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
    local uptime
    read -r uptime _ < /proc/uptime
    echo "${uptime%.*}${uptime#*.}"
}

took() {
    local hundredths=$(($(now) - since))
    measured="$((hundredths / 100)).$((hundredths / 10 % 10)) s"
}

# within SECONDS COMMAND…: it succeeds in that time after `mark`.
within() {
    local limit=$(($1 * 100))
    shift
    until "$@"; do
        [ $(($(now) - since)) -le $limit ] || return 1
        sleep 0.2
    done
    took
}

# mark: messages and journal lines from here on count.
mark() {
    marked=$(wc -l < $messages)
    when=@$(date +%s)
    since=$(now)
}

has_message() { tail -n +$((marked + 1)) $messages | grep -q -- "$1"; }

# received SECONDS PATTERN
received() { within "$1" has_message "$2"; }

state() { received "$1" "\"state\":\"$2\""; }

# journal PATTERN, since `mark`.
journal() { journalctl -q -u lectern --since="$when" -o cat | grep -q -- "$1"; }

# journal_has FIELD=VALUE…, since `mark`. (Not --after-cursor: with fields it skips the first match.)
journal_has() { [ -n "$(journalctl -q --since="$when" "$@" -o cat)" ]; }

property() { systemctl show lectern --value -p "$1"; }

is() { [ "$(property "$1")" = "$2" ]; }

status_says() { property StatusText | grep -qE -- "$1"; }

# ---- camera and broker -----------------------------------------------------------------------------------

# One S-Video input and one S-Video output, which loop without any further setting. It is there from `mark` on.
plug_camera() {
    modprobe vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=0x2 num_outputs=1 output_types=0x0
    udevadm settle
    mark
    v4l2-ctl -d $camera -c loop_video=1
    v4l2-ctl -d /dev/video1 --set-fmt-video-out=width=720,height=576,pixelformat=YUYV
    v4l2-ctl -d /dev/video1 --stream-out-mmap=3 --stream-from=clip.yuv --stream-loop > /run/player 2>&1 &
    player=$!
}

# Also while somebody watches: the nodes go, and the module as soon as they are closed.
pull_camera() {
    kill "$player"
    wait "$player" 2> /dev/null
    echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
    until rmmod vivid 2> /dev/null; do sleep 0.2; done
}

# What the camera gives when it is asked as the daemon asks it, onto a disk that is not searched.
keep_frame() {
    v4l2-ctl -d $camera --set-fmt-video=width=720,height=576,pixelformat=YUYV --stream-mmap --stream-skip=10 \
        --stream-count=1 --stream-to=frame.yuv > /dev/null 2>&1 && [ -s frame.yuv ] || return 1
    stat -c %s frame.yuv > frame.size
    cat frame.size frame.yuv > /dev/vdc
}

# decoy KEY: the frame, each byte combined with KEY by exclusive or. The search must find it.
decoy() { perl -0777 -pe "\$_ ^= \"\\x$1\" x length" frame.yuv; }

# Decoys to where a picture could come to lie. The keys are those of search.py.
put_decoys() {
    decoy 55 > /var/lib/decoy
    decoy 33 > /run/decoy
    decoy 21 | systemd-cat -t decoy
    decoy 6a | mosquitto_pub -h 127.0.0.1 -t decoy -s
}

start_broker() {
    mosquitto -c /run/mosquitto.conf > /run/broker.log 2>&1 &
    broker=$!
    sleep 2
}

stop_broker() {
    kill $broker
    wait $broker 2> /dev/null
}

# ---- what is proven --------------------------------------------------------------------------------------

not_running() { ! systemctl -q is-active lectern; }
not_enabled() { ! systemctl -q is-enabled lectern 2> /dev/null; }
runs() { systemctl -q is-active lectern; }

prove_installation() {
    promise "the package installs" dpkg -i lectern.deb
    promise "it starts nothing" not_running
    promise "it is not enabled either" not_enabled
    mark
    systemctl start lectern 2> /dev/null
    promise "without a basis it refuses to start" is Result exit-code
    promise "and the journal says what to set" journal "deployment.basis is not set"
    promise "and it is not started over and over" is NRestarts 0
    systemctl reset-failed lectern
    # The lines that a technician edits.
    sed -i -e 's/^#room = .*/room = "101"/' -e 's/^#basis = .*/basis = "a test with a virtual camera"/' \
        -e "s#^device = .*#device = \"$camera\"#" -e 's#^\#url = .*#url = "mqtt://127.0.0.1:1883"#' \
        /etc/lectern/lectern.toml
    # An emulated processor looks seldom, and for large faces only; the camera would be slow in another size than its own.
    printf '[camera]\nwidth = 720\nheight = 576\n[analysis]\nrate_hz = 1.0\nmin_face_px = 120\n[window]\nseconds = 10\nallow_short = true\n' > /etc/lectern/lectern.d/50-test.toml
    lectern check > /run/check.log
    promise "check: the configuration is good, but for the short windows of a test" \
        grep -q '^warning *configuration.*window.allow_short' /run/check.log
    promise "check: the camera gives pictures" grep -q '^ok *camera.*YUYV' /run/check.log
    promise "they are as large as the one that is searched for" is_as_large
    promise "check: the light is good" grep -q '^ok *light' /run/check.log
    promise "check: the broker takes messages" grep -q '^ok *broker' /run/check.log
    promise "check: the clock is not synchronised, and what to do" grep -q '^warning *clock.*timedatectl' /run/check.log
    promise "check: the unit does not run, and what to do" grep -q 'systemctl enable --now lectern' /run/check.log
    promise "aim sees the face" grep -q 'pixels high' <(lectern aim --looks 1)
    sed 's/^/  - /' /run/check.log
    LECTERN_CAMERA_DEVICE=/dev/video1 lectern check --only camera > /run/check.log
    promise "check: what is no camera is told, and what to do" grep -q '^failed *camera.*name the capture node' /run/check.log
    LECTERN_CAMERA_DEVICE=/dev/video9 lectern check --only camera > /run/check.log
    promise "check: a camera that is away is told, and what to do" grep -q '^failed *camera.*plug it in again' /run/check.log
}

is_as_large() {
    local width height
    read -r width height <<< "$(sed -n 's/^ok *camera.* gives \([0-9]*\) x \([0-9]*\) .*/\1 \2/p' /run/check.log)"
    [ "$(cat frame.size)" -eq $((width * height * 2)) ]
}

prove_counting() {
    mark
    promise "it starts" systemctl enable --now --quiet lectern
    promise "it watches" state 240 watching
    promise "a minute with faces arrives" received 240 '"faces":[1-9]'
    promise "the status line is for people" within 240 status_says '^watching, [0-9.]+ frames/s, broker connected$'
    echo "  - status: $(property StatusText)"
    # What systemd-timesyncd leaves, which has no server to ask here.
    mark
    mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized
    promise "minutes say that the clock is synchronised once it is" received 120 '"clock_synced":true'
}

# try COMMAND: runs it with exactly the sandbox of the service; fails as it fails.
try() {
    sed -e '/^ExecReload=/d' -e '/^WatchdogSec=/d' -e '/^Restart/d' -e 's/^Type=.*/Type=oneshot/' \
        -e "s#^ExecStart=.*#ExecStart=/bin/sh -c '$1'#" /lib/systemd/system/lectern.service > /run/systemd/system/try.service
    sed -i -e '/^\[Install\]/,$d' -e 's/^StateDirectory=.*/StateDirectory=try/' \
        -e 's/^RuntimeDirectory=.*/RuntimeDirectory=try/' /run/systemd/system/try.service
    systemctl daemon-reload
    systemctl start try 2> /dev/null
}
refuses() { ! try "$1"; }

# Whether a user without any rights may do this outside of the sandbox.
others_may() { setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs sh -c "$1" 2> /dev/null; }

# only_sandbox_refuses FILE COMMAND: the sandbox refuses the command, although FILE is open to everybody.
only_sandbox_refuses() {
    local mode result=0
    mode=$(stat -c %a "$1")
    chmod a+rwx "$1"
    others_may "$2" && refuses "$2" || result=1
    chmod "$mode" "$1"
    return $result
}

prove_sandbox() {
    local pid where
    pid=$(property MainPID)
    promise "it runs without root" grep -qE '^Uid:\s+[1-9]' /proc/"$pid"/status
    promise "it has no capability" grep -qE '^CapEff:\s+0+$' /proc/"$pid"/status
    promise "its system calls are filtered" grep -qE '^Seccomp:\s+2' /proc/"$pid"/status
    promise "its memory is kept out of swap" grep -qE '^VmLck:\s+[1-9]' /proc/"$pid"/status
    promise "in the sandbox the camera can be opened" try ": < $camera"
    for where in /dev/vda /dev/console /dev/kmsg; do
        promise "in the sandbox $where cannot be opened, only for the sandbox" only_sandbox_refuses $where ": > $where"
    done
    # shellcheck disable=SC2016 # expanded in the sandbox
    promise "in the sandbox the state folder can be written" try 'touch $STATE_DIRECTORY/x'
    mkdir -p /srv/open /var/open
    for where in /srv/open /var/open /etc /usr /var/lib /home /root /tmp /var/tmp /dev/shm /run /; do
        promise "in the sandbox $where cannot be written, only for the sandbox" \
            only_sandbox_refuses $where "touch ${where%/}/x"
        rm -f "${where%/}/x"
    done
    promise "in the sandbox no program gains privileges" refuses 'mount -t tmpfs none /mnt'
    [ -n "$short" ] && return
    mkdir -p /run/systemd/system/lectern.service.d
    printf '[Service]\nDeviceAllow=\n' > /run/systemd/system/lectern.service.d/test.conf
    systemctl daemon-reload
    mark
    systemctl restart lectern
    promise "without its DeviceAllow it cannot open the camera" state 120 camera_lost
    rm -r /run/systemd/system/lectern.service.d
    systemctl daemon-reload
    mark
    systemctl restart lectern
    promise "with it, it watches again" state 240 watching
}

prove_camera() {
    mark
    pull_camera
    promise "a camera pulled out is lost" state 60 camera_lost
    promise "the journal has it with its message id and state" journal_has LECTERN_STATE=camera_lost _SYSTEMD_UNIT=lectern.service
    promise "the service stays up" runs
    promise "the status line says it" within 60 status_says '^camera lost'
    # Until it is back for longer than any retry.
    sleep 5
    plug_camera
    promise "a camera put back is watched within 10 s" state 10 watching
    promise "the journal has that it is back" within 60 journal_has LECTERN_STATE=watching _SYSTEMD_UNIT=lectern.service
    promise "its faces are counted" received 240 '"faces":[1-9]'
}

prove_restarts() {
    local pid
    pid=$(property MainPID)
    mark
    kill -9 "$pid"
    promise "after kill -9 the broker says offline" state 60 offline
    promise "and it is back by itself" state 240 watching
    promise "and counts" received 240 '"faces":[1-9]'
    pid=$(property MainPID)
    mark
    kill -STOP "$pid"
    promise "a daemon that makes no progress is killed by the watchdog" within 180 journal_has _PID=1 UNIT=lectern.service UNIT_RESULT=watchdog
    promise "and is back by itself" state 240 watching
    promise "no core was dumped" [ -z "$(find / -xdev -name 'core*' -size +100k -newer /run/payload/settings -type f 2> /dev/null)" ]
}

prove_broker() {
    local outage=120
    [ -z "$short" ] || outage=25
    mark
    stop_broker
    promise "the journal has that the broker is lost" within 120 journal_has LECTERN_STATE=broker_lost
    promise "the status line says it" within 120 status_says 'broker away, minutes wait$'
    lectern check --only broker > /run/check.log
    promise "check: the broker is down, and what to do" grep -q '^failed *broker.*check mqtt.url' /run/check.log
    sleep $outage
    mark
    start_broker
    promise "minutes of an outage of $outage s arrive, marked as such" received 240 '"replayed":true'
    promise "and then new ones" received 240 '"replayed":false'
    promise "no minute is missing" has_no_gaps
}

# Within each boot each `seq` is the one before plus one; a repeat is none.
has_no_gaps() {
    grep -o '"boot":"[^"]*","seq":[0-9]*' $messages | uniq | tr -d '"' | tr ',' ':' |
        awk -F: '{ if ($2 in last && $4 != last[$2] + 1) exit 1; last[$2] = $4 }'
}

prove_reload() {
    mark
    printf '[window]\nseconds = 7\n' > /etc/lectern/lectern.d/60-bad.toml
    promise "a reload with a bad configuration fails" refuses_reload
    promise "and the daemon goes on" runs
    # Past its own check, straight to the daemon.
    systemctl kill --signal=HUP --kill-who=main lectern
    promise "the daemon refuses it too, and says where" within 60 journal '60-bad.toml:2.*must divide 3600'
    printf '[window]\nseconds = 12\n' > /etc/lectern/lectern.d/60-bad.toml
    promise "a reload with a good one succeeds" systemctl reload lectern
    promise "and is in use" received 240 '"seconds":12,'
    mark
    # As a configuration it is good; what it names is no camera.
    printf '[camera]\ndevice = "/dev/null"\n[window]\nseconds = 15\n' > /etc/lectern/lectern.d/60-bad.toml
    systemctl reload lectern
    promise "one that the camera refuses is given up" within 120 journal_has LECTERN_STATE=reload_refused
    promise "and the old one goes on" received 240 '"seconds":12,"frames_expected":[0-9]*,"frames":[1-9]'
    # The sandbox of systemd 252 shows a reload no credentials, which this one needs.
    install -D -m 0600 /dev/null /etc/credstore/lectern.mqtt-client-key
    : > /etc/lectern/device.pem
    printf '[mqtt]\nurl = "mqtts://127.0.0.1:8883"\nclient_cert = "/etc/lectern/device.pem"\n' > /etc/lectern/lectern.d/60-bad.toml
    promise "a reload may need a key that is a credential" systemctl reload lectern
    rm /etc/lectern/lectern.d/60-bad.toml /etc/credstore/lectern.mqtt-client-key
    systemctl reload lectern
}
refuses_reload() { ! systemctl reload lectern 2> /dev/null; }

prove_upgrade() {
    local pid
    pid=$(property MainPID)
    state 240 watching
    mark
    promise "an upgrade installs" dpkg -i newer.deb
    promise "the counted part of the minute is published" received 120 '"partial":true'
    promise "and it watches again, in a new process" state 240 watching
    promise "which is another" [ "$pid" != "$(property MainPID)" ]
    promise "the configuration is kept" grep -q '^basis = "a test' /etc/lectern/lectern.toml
    promise "no minute is missing" has_no_gaps
}

prove_plug_in() {
    systemctl stop lectern
    pull_camera
    plug_camera
    promise "a camera that is plugged in starts the service" within 120 runs
    promise "and is watched" state 240 watching
    systemctl disable --quiet --now lectern
    pull_camera
    plug_camera
    sleep 3
    promise "but not where the service is disabled" not_running
    systemctl enable --quiet --now lectern
}

prove_disk() {
    mkdir -p /run/full
    mount -t tmpfs -o size=200k none /run/full
    LECTERN_SPOOL_DIRECTORY=/run/full lectern check --only disk > /run/check.log
    promise "check: the disk is full, and what to do" grep -q '^failed *disk.*make room' /run/check.log
    umount /run/full
}

# The sizes that the configuration has by default, from a webcam that draws a test picture. An emulated processor looks seldom.
prove_large_picture() {
    systemctl stop lectern
    pull_camera
    printf '[analysis]\nrate_hz = 0.5\n[window]\nseconds = 10\nallow_short = true\n' > /etc/lectern/lectern.d/50-test.toml
    # A camera that is plugged in starts the daemon, and then `check` would not get it.
    systemctl -q --runtime mask lectern
    modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0
    udevadm settle
    lectern check --only camera > /run/check.log
    promise "check: a webcam gives 1920 x 1080" grep -q '^ok *camera.*YUYV.* gives 1920 x 1080' /run/check.log
    systemctl -q --runtime unmask lectern
    mark
    systemctl start lectern
    promise "the large picture is watched" state 120 watching
    promise "a minute of it arrives" received 120 '"frames":[1-9]'
    sleep 90 # what a few windows and their delivery touch counts as well
    tell_memory
    promise "in 45 MB" within_memory 45000
}
within_memory() { [ "$(awk '/^VmHWM/ { print $2 }' "/proc/$(property MainPID)/status")" -lt "$1" ]; }

# Of this run of the daemon, and of all of them.
tell_memory() {
    local pid
    pid=$(property MainPID)
    echo "  - memory: $(grep -E '^(VmHWM|VmRSS|VmLck)' "/proc/$pid/status" | tr -s '\t ' ' ' | paste -sd ' ')"
    echo "  - memory of its control group at most: $(cat "/sys/fs/cgroup$(property ControlGroup)/memory.peak") bytes"
}

prove_removal() {
    mark
    promise "the package is purged" dpkg -P lectern
    promise "its last state is offline" state 60 offline
    promise "nothing of it is left" nothing_left
    promise "nothing runs" not_running
}
nothing_left() {
    local left
    left=$(find / -xdev \( -path /run/payload -o -path /proc -o -path /var/lib/dpkg/info/lectern.list \) -prune -o \
        -iname '*lectern*' -print)
    [ -z "$left" ] || { echo "  - ${left//$'\n'/$'\n  - '}"; return 1; }
}

# ---- the machine -----------------------------------------------------------------------------------------

ip link set lo up
date -s 2026-11-23T10:15:00Z > /dev/null
printf 'listener 1883 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location /run/\n' \
    > /run/mosquitto.conf
start_broker
: > $messages
# A lasting session, so that nothing is missed while the broker starts again.
mosquitto_sub -h 127.0.0.1 -q 1 -c -i test -v -t 'lectern/#' >> $messages 2> /dev/null &
tcpdump -q -i lo -U -w /var/capture.pcap 2> /dev/null &
capture=$!
mark
promise "the camera is there" plug_camera
promise "it gives pictures, and one is kept to be searched for" keep_frame
echo "  - $(uname -srm), $(systemctl --version | head -n 1)"
prove_installation
prove_counting
if [ -z "$large" ]; then
    prove_sandbox
    prove_camera
    prove_restarts
    prove_broker
    prove_reload
    [ -n "$short" ] || prove_disk
    prove_upgrade
    prove_plug_in
fi
promise "nothing panicked" [ -z "$(journalctl -q -u lectern -o cat | grep panicked)" ]
promise "the sandbox lets it see its processor" [ -z "$(journalctl -q -u lectern -o cat | grep cpuinfo)" ]
promise "the journal holds no counts" [ -z "$(journalctl -q -u lectern -o cat | grep -E 'neutral|happy|faces":')" ]
tell_memory
[ -n "$short" ] || prove_large_picture
journalctl -q -u lectern -o short-monotonic > /run/journal.log
prove_removal
put_decoys
# What lies in memory alone is searched too.
tar -cf /var/memory.tar --exclude=/run/payload --exclude=/run/log /run /tmp /dev/shm 2> /dev/null
journalctl --sync
kill $capture
sleep 1
echo "lectern appliance test: end of the search area" > /var/mark
sync
if [ $failures -eq 0 ]; then
    echo "all promises hold"
else
    echo "promises are broken: $failures; the daemon said:"
    tail -n 150 /run/journal.log
    echo "the subscriber received:"
    tail -n 60 $messages
fi
echo "the end"
