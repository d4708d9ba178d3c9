#!/bin/bash
# Makes a Debian 12 guest with systemd, a broker and the kernel's virtual camera:
#
#   cross/vm/rootfs.sh arm64|amd64 DIR
#
# leaves DIR/vmlinuz, DIR/initrd.img and DIR/root.ext4; does nothing where they are. Needs root, Debian 12 and
#   apt-get install mmdebstrap kmod cpio e2fsprogs     and for arm64 on amd64: qemu-user-static
# The first start of the guest runs /run/payload/run.sh out of the tar file on its second disk, then stops.
set -euo pipefail
case ${1:-} in arm64 | amd64) ;; *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;; esac
arch=$1
dir=$(mkdir -p "$2" && cd "$2" && pwd)
PATH=$PATH:/usr/sbin:/sbin
[ -e "$dir/complete" ] && exit

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Lets this kernel run the programs of the guest while it is made.
enable_foreign_programs() {
    local binfmt=/proc/sys/fs/binfmt_misc
    [ "$(dpkg --print-architecture)" = "$arch" ] && return
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
    [ -e $binfmt/qemu-aarch64 ] && return
    # The line of the Debian package qemu-user-static.
    grep -h "^:qemu-aarch64:" /usr/lib/binfmt.d/*.conf > $binfmt/register
}

# The kernel and busybox of that architecture, unpacked into $dir/packages: not installed, because making an
# initrd under emulation takes longer than everything else. An apt root of its own leaves the system's alone.
fetch_kernel() {
    local apt=$dir/apt kernel package
    mkdir -p "$dir/packages" "$apt"/etc/apt/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
        "$apt"/var/lib/apt/lists/partial "$apt"/var/cache/apt/archives/partial "$apt/var/lib/dpkg"
    : > "$apt/var/lib/dpkg/status"
    echo "deb [$signed] $mirror bookworm main" > "$apt/etc/apt/sources.list"
    cat > "$apt/apt.conf" << END
Dir "$apt/";
Dir::State::status "$apt/var/lib/dpkg/status";
APT::Architecture "$arch";
APT::Architectures {"$arch";};
APT::Sandbox::User "root";
Acquire::Languages "none";
END
    (
        export APT_CONFIG=$apt/apt.conf
        apt-get -qq update
        kernel=$(apt-cache depends "linux-image-$arch" | awk '/Depends: linux-image-/ { print $2; exit }')
        cd "$apt"
        apt-get -qq download "$kernel" busybox-static
    )
    for package in "$apt"/*.deb; do
        dpkg-deb --extract "$package" "$dir/packages"
    done
    version=$(ls "$dir/packages/lib/modules")
    depmod -b "$dir/packages" "$version"
}

make_root() {
    mmdebstrap --quiet --arch="$arch" --variant=minbase --mode=root \
        --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-include=/usr/share/man/man?/lectern*' \
        --include=systemd,systemd-sysv,dbus,udev,kmod,v4l-utils,mosquitto,mosquitto-clients,iproute2,tcpdump \
        bookworm "$dir/root" "deb [$signed] $mirror bookworm main"
}

# The modules that NAME… need, in the order to load them.
modules() {
    local name
    for name in "$@"; do
        modprobe -d "$dir/packages" -S "$version" --show-depends "$name" 2> /dev/null | awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++'
}

make_initrd() {
    local initrd=$dir/initrd module
    rm -rf "$initrd"
    mkdir -p "$initrd"/{bin,modules,proc,sys,dev,mnt}
    cp "$dir/packages/bin/busybox" "$initrd/bin/"
    for module in $(modules virtio_mmio virtio_pci virtio_blk crc32c_generic ext4); do
        cp "$module" "$initrd/modules/"
        basename "$module" >> "$initrd/modules/order"
    done
    cat > "$initrd/init" << 'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
tries=0
until [ -b /dev/vda ] || [ $tries -gt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
mount -t ext4 -o rw,noatime /dev/vda /mnt
umount /proc /sys
mount --move /dev /mnt/dev
exec switch_root /mnt /sbin/init
END
    chmod +x "$initrd/init"
    (cd "$initrd" && find . -print0 | cpio --null --quiet --create --format=newc | gzip -1) > "$dir/initrd.img"
}

make_guest() {
    local root=$dir/root packages=$dir/packages unit
    cp "$packages/boot/vmlinuz-$version" "$dir/vmlinuz"
    # Of the kernel's 400 MB only what the tests load. /lib is a link to /usr/lib.
    modules vivid ext4 autofs4 fuse loop virtio_rng | while read -r module; do
        (cd "$packages" && cp --parents ".${module#"$packages"}" "$root/usr")
    done
    cp "$packages/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$root/usr/lib/modules/$version/"
    depmod -b "$root" "$version"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
    echo classroom > "$root/etc/hostname"
    printf '127.0.0.1 localhost classroom\n' > "$root/etc/hosts"
    : > "$root/etc/machine-id"
    echo '/dev/vda / ext4 rw,noatime 0 0' > "$root/etc/fstab"
    # The journal on disk and not compressed, so that it is searched for pictures too.
    mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nCompress=no\n' > "$root/etc/systemd/journald.conf.d/search.conf"
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
        e2scrub_reap.service getty@tty1.service mosquitto.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    cat > "$root/etc/systemd/system/payload.service" << 'END'
[Unit]
Description=What the test brings
After=basic.target dbus.service systemd-udevd.service
ConditionPathExists=/dev/vdb
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
ExecStart=/bin/sh -c 'mkdir -p /run/payload && cd /run/payload && tar xf /dev/vdb; bash ./run.sh; sync; systemctl poweroff -ff'
[Install]
WantedBy=multi-user.target
END
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf ../payload.service "$root/etc/systemd/system/multi-user.target.wants/payload.service"
    rm -f "$dir/root.ext4"
    mke2fs -q -t ext4 -d "$root" -m 0 "$dir/root.ext4" 700M
}

rm -rf "$dir"/{root,packages,initrd,apt}
mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources)
signed="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
fetch_kernel
enable_foreign_programs
make_root
make_initrd
make_guest
rm -rf "$dir"/{root,packages,initrd,apt}
touch "$dir/complete"
