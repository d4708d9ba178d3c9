#!/bin/bash
# Proves the camera code against the kernel's own virtual camera (vivid) in a small virtual machine:
#
#   cross/vm/camera-test.sh
#
# prints each promise with `ok` or `FAILED` and exits 0 when all hold. It needs Debian 12 on amd64 and
#   apt-get install qemu-system-x86 kmod cpio binutils v4l-utils mosquitto mosquitto-clients
# beside what the build needs. The kernel and busybox come by `apt-get download`, so no root is needed and nothing
# is installed. The machine has no network and no disk, and needs no hardware virtualisation.
#
# LECTERN_VM_DIR      where to work (default: target/vm)
# LECTERN_VM_SECONDS  the machine is stopped after so long (default: 900)
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
work=$(mkdir -p "${LECTERN_VM_DIR:-target/vm}" && cd "${LECTERN_VM_DIR:-target/vm}" && pwd)
limit=${LECTERN_VM_SECONDS:-900}
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Packages into $work/packages, unpacked; the kernel's name is in what linux-image-amd64 depends on.
fetch() {
    local kernel
    kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$kernel" ] || fail "apt knows no linux-image-amd64: run apt-get update"
    [ -e "$work/packages/$kernel" ] && return
    rm -rf "$work/packages"
    mkdir -p "$work/packages/root"
    (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download "$kernel" busybox-static)
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$work/packages/root"
        rm "$package"
    done
    touch "$work/packages/$kernel"
}

# install_program FILE NAME: into the machine's /bin, with the shared libraries it names.
install_program() {
    strip -o "$work/initrd/bin/$2" "$1"
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$work/initrd$library" ] || cp --dereference --parents "$library" "$work/initrd"
    done
}

build_initrd() {
    local root=$work/packages/root version module
    version=$(ls "$root/lib/modules")
    rm -rf "$work/initrd"
    mkdir -p "$work"/initrd/{bin,dev,etc,proc,run,sys,tmp}
    echo 'root:x:0:0:root:/:/bin/sh' > "$work/initrd/etc/passwd"
    cp "$root/bin/busybox" "$work/initrd/bin/"
    cp "$here/guest.sh" "$work/initrd/init"
    chmod +x "$work/initrd/init"
    install_program "$lectern" lectern
    install_program "$tests" camera-tests
    for program in v4l2-ctl mosquitto mosquitto_sub; do
        install_program "$(command -v $program)" $program
    done
    depmod -b "$root" "$version"
    modprobe -d "$root" -S "$version" --show-depends vivid | awk '$1 == "insmod" { print $2 }' |
        while read -r module; do
            (cd "$root" && cp --parents "${module#"$root"/}" "$work/initrd")
        done
    cp "$root/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$work/initrd/lib/modules/$version/"
    depmod -b "$work/initrd" "$version"
    (cd "$work/initrd" && find . -print0 | cpio --null --quiet --create --format=newc) > "$work/initrd.cpio"
    cp "$root/boot/vmlinuz-$version" "$work/vmlinuz"
}

boot() {
    # An error of the machine, or its end by the time limit, shows in the promises it has not printed.
    nice timeout "$limit" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -nodefaults -display none -no-reboot -serial stdio \
        -kernel "$work/vmlinuz" -initrd "$work/initrd.cpio" \
        -append "console=ttyS0 panic=-1 quiet loglevel=3" < /dev/null 2>&1 |
        tr -d '\r' | tee "$work/console.log" | grep --line-buffered -E '^(ok|FAILED|  - )' || true
}

[ "$(dpkg --print-architecture)" = amd64 ] || fail "this machine is not amd64"
for program in qemu-system-x86_64 depmod modprobe cpio strip v4l2-ctl mosquitto mosquitto_sub; do
    command -v $program > /dev/null || fail "$program is missing: see the list of packages at the top of this file"
done
cargo build --bin lectern
lectern=$(cargo build --bin lectern --message-format=json 2> /dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
tests=$(cargo test --test camera --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/camera-[^"]*\)".*/\1/p' | tail -n 1)
if ! [ -x "$lectern" ] || ! [ -x "$tests" ]; then fail "cargo did not build lectern and tests/camera.rs"; fi
fetch
build_initrd
boot
if grep -q '^all promises hold$' "$work/console.log"; then
    exit 0
fi
grep -q '^promises are broken' "$work/console.log" || echo "FAILED  the machine reached the end within $limit s"
echo "see $work/console.log" >&2
exit 1
