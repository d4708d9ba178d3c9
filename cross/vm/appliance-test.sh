#!/bin/bash
# Proves the package as a technician uses it, in a virtual machine with systemd, a broker and a camera:
#
#   cross/vm/appliance-test.sh [OPTIONS]
#
# installs it, sets the basis, and then takes the camera away, kills the daemon, starves the watchdog, stops the
# broker, upgrades, and purges; at the end it searches the whole disk and the network capture for any part of a
# picture. Prints each promise with `ok` or `FAILED`, exits 0 when all hold.
#
#   --arch arm64|amd64   of the guest (default: arm64, the one that is shipped for)
#   --deb FILE           the package (default: made by cross/package.sh)
#   --clip FILE          what the camera sees: any video or picture (default: the public-domain portrait)
#   --short              minutes instead of a quarter of an hour, for continuous integration
#   --large              only installation, counting, and a camera of 1920 x 1080 with its memory
#
# The kernel's virtual camera (vivid) plays the pictures. It needs root, Debian 12, no hardware virtualisation, and
#   apt-get install qemu-system-arm qemu-system-x86 qemu-user-static mmdebstrap kmod cpio e2fsprogs ffmpeg
# beside what cross/package.sh needs.
#
# LECTERN_VM_DIR      where to work (default: target/vm)
# LECTERN_VM_SECONDS  the machine is stopped after so long (default: 3600)
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
invoked=$PWD
cd "$here/../.."
arch=arm64 deb='' clip=tests/fixtures/portrait.png short='' large=''
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "$0: $*" >&2
    exit 1
}

in_caller() { case $1 in /*) echo "$1" ;; *) echo "$invoked/$1" ;; esac; }

while [ $# -gt 0 ]; do
    case $1 in
        --arch) arch=$2; shift ;;
        --deb) deb=$(in_caller "$2"); shift ;;
        --clip) clip=$(in_caller "$2"); shift ;;
        --short) short=yes large='' ;;
        --large) large=yes short='' ;;
        *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
    esac
    shift
done
case $arch in
    arm64) machine=(qemu-system-aarch64 -M "virt,gic-version=2" -cpu cortex-a72) console=ttyAMA0 ;;
    amd64) machine=(qemu-system-x86_64 -M q35 -cpu max) console=ttyS0 ;;
    *) fail "$arch is neither arm64 nor amd64" ;;
esac
for program in "${machine[0]}" mmdebstrap mke2fs ffmpeg dpkg-deb python3; do
    command -v "$program" > /dev/null || fail "$program is missing: see $0 --help"
done
work=${LECTERN_VM_DIR:-target/vm}
mkdir -p "$work"
work=$(cd "$work" && pwd)
[ -n "$deb" ] || deb=$(cross/package.sh "$arch" | tail -n 1)
[ -e "$deb" ] || fail "$deb is missing"
cross/vm/rootfs.sh "$arch" "$work/guest-$arch"

# What the guest gets: the package, a newer version of it, a picture as the camera's pixels, the script.
payload=$work/payload-$arch
rm -rf "$payload" "$work/newer"
mkdir -p "$payload"
cp "$deb" "$payload/lectern.deb"
dpkg-deb --raw-extract "$deb" "$work/newer"
sed -i 's/^Version: .*/&+newer/' "$work/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Znone --build "$work/newer" "$payload/newer.deb" > /dev/null
# With the guest's lines about memory, the figures of "What it takes" in docs/performance.md.
echo "  - bytes: package $(stat -c %s "$deb"), program $(stat -c %s "$work/newer/usr/bin/lectern"); installed:" \
    "$(dpkg-deb --field "$deb" Installed-Size) KiB"
rm -rf "$work/newer"
cp "$here/appliance-guest.sh" "$payload/run.sh"
echo "short=$short large=$large" > "$payload/settings"
# 4 pictures, 720 x 576 YUYV: the size of the virtual camera's loop. A still is shown as it is.
loop=()
case $clip in *.png | *.jpg | *.jpeg) loop=(-loop 1 -framerate 25) ;; esac
ffmpeg -v error -y "${loop[@]}" -i "$clip" -frames:v 4 -pix_fmt yuyv422 -f rawvideo \
    -vf 'scale=720:576:force_original_aspect_ratio=increase,crop=720:576' "$payload/clip.yuv"
[ "$(stat -c %s "$payload/clip.yuv")" -eq $((720 * 576 * 2 * 4)) ] || fail "$clip has fewer than 4 pictures"
tar -C "$payload" -cf "$work/payload-$arch.tar" .
truncate -s %512 "$work/payload-$arch.tar"
# For the frame that the guest keeps for the search.
rm -f "$work/frame-$arch.img"
truncate -s 2M "$work/frame-$arch.img"
# A copy, because it is searched afterwards.
cp --sparse=always "$work/guest-$arch/root.ext4" "$work/disk-$arch.ext4"

# An error of the machine, or its end by the time limit, shows in the promises it has not printed.
# The guest's clock counts its instructions, 2 ns each (half of what a Raspberry Pi 4 does in that time): however slow
# this machine is, in the guest's time nothing takes longer. Where the guest has nothing to do, its time jumps ahead.
timeout "${LECTERN_VM_SECONDS:-3600}" "${machine[@]}" -accel tcg,thread=single,tb-size=256 -smp 1 \
    -icount shift=1,align=off,sleep=off -m 1024 \
    -nodefaults -display none -no-reboot -serial stdio -nic none \
    -kernel "$work/guest-$arch/vmlinuz" -initrd "$work/guest-$arch/initrd.img" \
    -append "console=$console panic=-1 quiet loglevel=3 audit=0 systemd.show_status=0" \
    -drive "file=$work/disk-$arch.ext4,format=raw,if=virtio,cache=unsafe" \
    -drive "file=$work/payload-$arch.tar,format=raw,if=virtio,readonly=on" \
    -drive "file=$work/frame-$arch.img,format=raw,if=virtio" \
    -device virtio-rng-pci < /dev/null 2>&1 |
    stdbuf -oL tr -d '\r' | tee "$work/console-$arch.log" | grep --line-buffered -E '^(ok|FAILED|  - )' || true

code=0
grep -q '^all promises hold$' "$work/console-$arch.log" || code=1
grep -q '^the end$' "$work/console-$arch.log" || { echo "FAILED  the machine reached the end"; code=1; }
if python3 "$here/search.py" "$work/frame-$arch.img" "$work/disk-$arch.ext4"; then
    echo "ok      no part of a picture is on the disk, in the journal, in the spool or in the network capture"
else
    echo "FAILED  no part of a picture is on the disk or in the network capture"
    code=1
fi
[ $code -eq 0 ] || echo "see $work/console-$arch.log" >&2
exit $code
