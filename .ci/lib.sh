# What the steps of continuous integration share. A step, .ci/steps/NAME, begins with
#
#   . "$(dirname "$0")/../lib.sh"
#
# and then runs in the repository's root. It passes with exit code 0, is skipped with 77 (see `skip`), fails otherwise. A step
# installs what it needs, and makes what an earlier step would have made: each can be run alone in a fresh clone.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p target/ci

if ! command -v cargo > /dev/null && [ -f "$HOME/.cargo/env" ]; then
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
fi
export PATH=$PATH:$PWD/target/tools/bin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive
# Nothing is edited here.
export CARGO_INCREMENTAL=0
if [ -z "${LECTERN_DATA:-}" ] && [ -d ../shared/data ]; then
    LECTERN_DATA=$(cd ../shared/data && pwd)
    export LECTERN_DATA
fi

# not_run CHECK: REASON: a part of this step does not run here. It is listed beside the step; the rest of the step goes on.
not_run() {
    echo "not run: $*"
    # Where .ci/run collects what was left out.
    [ -z "${CI_NOT_RUN:-}" ] || echo "$*" >> "$CI_NOT_RUN"
}

# skip REASON: ends a step of which nothing can run here.
skip() {
    not_run "$*"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Steps that run beside one another wait for apt's lock, also where the README's commands call apt.
[ -e target/ci/apt.conf ] || echo 'DPkg::Lock::Timeout "600";' > target/ci/apt.conf
export APT_CONFIG=$PWD/target/ci/apt.conf

# apt's lists of packages, fetched once in an hour.
package_lists() {
    command -v apt-get > /dev/null || skip "it needs a system with apt"
    (
        # Its timeout is not for the lock of the lists.
        flock 9
        [ -n "$(find target/ci/package-lists -mmin -60 2> /dev/null)" ] || { as_root apt-get update -qq && touch target/ci/package-lists; }
    ) 9> target/ci/apt.lock
}

# packages NAME…: installs those Debian packages that are not there.
packages() {
    local name missing=()
    for name in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}\n' "$name" 2> /dev/null | grep -qx installed || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    package_lists
    as_root apt-get install -y -qq "${missing[@]}" > /dev/null
}

on_debian_amd64() {
    [ "$(uname -m)" = x86_64 ] && [ "$(. /etc/os-release && echo "$ID")" = debian ]
}

# The commands of the README's first block, which runs the main job and the tests: one a line.
readme_commands() {
    awk '/^```/ { if (inside) exit; inside = 1; next } inside' README.md
}

# What a build needs; the README's commands install it too.
build_packages() { packages build-essential libclang-dev; }

# The program, as the main job and the tests use it.
program() {
    build_packages
    cargo build --locked --quiet --bin lectern
}

# The program as it is shipped for arm64.
# shellcheck disable=SC2034 # steps use it
packaged=target/aarch64-unknown-linux-gnu/release/lectern

# Prints the name of the package for arm64, which the step `package` makes.
package() {
    local parts="src crates systemd cross/*.sh cross/pages Cargo.toml Cargo.lock models/manifest.toml models/*.onnx"
    # shellcheck disable=SC2086 # several
    if ! [ -e target/ci/package ] || ! [ -e "$(cat target/ci/package)" ] ||
        [ -n "$(find $parts -newer target/ci/package -print -quit)" ]; then
        .ci/steps/package >&2
    fi
    cat target/ci/package
}

# python_with NAME REQUIREMENT…: a virtual environment target/NAME with these packages; prints its interpreter.
python_with() {
    local folder=target/$1 wanted
    shift
    packages python3-venv
    wanted=$(printf '%s\n' "$@")
    if [ "$(cat "$folder/wanted" 2> /dev/null)" != "$wanted" ]; then
        python3 -m venv "$folder" >&2
        "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
        echo "$wanted" > "$folder/wanted"
    fi
    echo "$folder/bin/python"
}

# node_packages FOLDER PACKAGE@VERSION…: these packages of npm in target/FOLDER.
node_packages() {
    local folder=target/$1 wanted
    shift
    command -v npm > /dev/null || packages nodejs npm
    wanted=$(printf '%s\n' "$@")
    if [ "$(cat "$folder/wanted" 2> /dev/null)" != "$wanted" ]; then
        mkdir -p "$folder"
        echo '{"private":true}' > "$folder/package.json"
        npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$@" >&2
        echo "$wanted" > "$folder/wanted"
    fi
}
