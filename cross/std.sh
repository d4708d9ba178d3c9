#!/bin/bash
# Gives rustc an aarch64 standard library where rustup's server is out of reach:
#
#   cross/std.sh DIR        (default: target/cross)
#
# prints the folder to put first on PATH, so that `cargo build --target aarch64-unknown-linux-gnu` works. The
# library is built once, in about a minute, from Debian's rust-src of exactly rustc's version; a second call
# returns at once. On an ordinary machine `rustup target add aarch64-unknown-linux-gnu` does the same.
#
# It needs Debian 12's apt with its sources in /etc/apt/sources.list.d/debian.sources, gcc-aarch64-linux-gnu and
# libc6-dev-arm64-cross. The system's own apt and ~/.rustup are left as they are.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;; esac
cd "$(dirname "$(readlink -f "$0")")/.."
dir=${1:-target/cross}
dir=$(mkdir -p "$dir" && cd "$dir" && pwd)
target=aarch64-unknown-linux-gnu

exec 9> "$dir/lock" # two builds at once wait for each other
flock 9
version=$(rustc --version | cut -d' ' -f2)
toolchain=$dir/toolchain-$version
if [ -e "$toolchain/complete" ]; then
    echo "$toolchain/bin"
    exit
fi

fail() {
    echo "$0: $*" >&2
    exit 1
}

# rust-src of this version into $dir/src, through an apt root of its own.
fetch_source() {
    local apt=$dir/apt list=/etc/apt/sources.list.d/debian.sources mirror package
    [ -e $list ] || fail "$list is missing: this recipe is for Debian 12; elsewhere use rustup target add $target"
    mirror=$(awk '/^URIs:/ { print $2; exit }' $list)
    mkdir -p "$apt"/etc/apt/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
        "$apt"/var/lib/apt/lists/partial "$apt"/var/cache/apt/archives/partial "$apt/var/lib/dpkg" "$dir/src"
    : > "$apt/var/lib/dpkg/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" \
        > "$apt/etc/apt/sources.list"
    cat > "$apt/apt.conf" << END
Dir "$apt/";
Dir::State::status "$apt/var/lib/dpkg/status";
Acquire::Languages "none";
APT::Sandbox::User "root";
END
    APT_CONFIG=$apt/apt.conf apt-get -qq update
    package=$(APT_CONFIG=$apt/apt.conf apt-cache madison rust-src |
        awk -v v="$version" 'index($3, v) == 1 { print $1 "=" $3; exit }')
    [ -n "$package" ] || fail "Debian has no rust-src $version: use that toolchain which it has, or rustup target add $target"
    (cd "$dir/src" && APT_CONFIG=$apt/apt.conf apt-get -qq download "$package")
    dpkg-deb --extract "$dir"/src/rust-src_*.deb "$dir/src"
    rm "$dir"/src/rust-src_*.deb
}

# A copy of the toolchain by hard links, with the library's source and, at the end, its rlibs.
build_library() {
    local crate=$dir/empty built=$dir/build lib=$toolchain/lib/rustlib/$target/lib sysroot
    sysroot=$(readlink -f "$(rustc --print sysroot)")
    rm -rf "$toolchain" "$built"
    cp -al "$sysroot" "$toolchain" 2> /dev/null || { rm -rf "$toolchain"; cp -a "$sysroot" "$toolchain"; }
    mkdir -p "$toolchain/lib/rustlib/src" "$lib" "$crate/src"
    ln -sfn "$dir/src/usr/src/rustc-$version" "$toolchain/lib/rustlib/src/rust"
    # `[workspace]`, so that cargo does not take it for a part of what lies around it.
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' > "$crate/Cargo.toml"
    : > "$crate/src/lib.rs"
    # As Rust's own build has it: with bitcode, for profiles with lto, and one crate that aborts, for those with panic.
    cat > "$dir/rustc" << 'END'
#!/bin/sh
rustc=$1
shift
case " $* " in *" --crate-name panic_abort "*) set -- "$@" -C panic=abort ;; esac
case " $* " in *" --crate-name "*) set -- "$@" -C embed-bitcode=yes ;; esac
exec "$rustc" "$@"
END
    chmod +x "$dir/rustc"
    # build-std is an unstable option; what it builds is the stable library.
    (cd "$crate" && PATH=$toolchain/bin:$PATH RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=$dir/rustc \
        CARGO_TARGET_DIR=$built CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        cargo build --release --target $target -Zbuild-std=std,panic_unwind,panic_abort,proc_macro,test)
    find "$built/$target/release/deps" -name 'lib*.rlib' ! -name 'libempty*' -exec cp {} "$lib" \;
    [ -n "$(ls "$lib"/libstd-*.rlib)" ] || fail "cargo built no libstd"
    rm -rf "$built" "$crate"
    touch "$toolchain/complete"
}

{
    [ -d "$dir/src/usr/src/rustc-$version" ] || fetch_source
    build_library
} >&2
echo "$toolchain/bin"
