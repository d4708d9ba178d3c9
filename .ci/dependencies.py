#!/usr/bin/env python3
"""Holds the dependencies to deny.toml, without cargo-deny, which takes longer to build than Lectern itself.

    .ci/dependencies.py            licences, bans and sources of every package for the targets that deny.toml names

It reads the parts of deny.toml that the project uses, as cargo-deny does, and refuses a key that it does not know. Beside
that no lock file may hold a patch that is used by nothing. (What the advisory database knows is not asked: it is not part of any
package registry.) Exit code 1 if anything is wrong.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tomllib

KEYS = {"graph": {"targets"}, "licenses": {"allow"}, "bans": {"wildcards", "multiple-versions"},
        "sources": {"unknown-registry", "unknown-git"}}


def unknown_keys(deny):
    """Keys that this script would not heed, and values that it does not know."""
    for section, table in deny.items():
        for key in table:
            if key not in KEYS.get(section, set()):
                yield f"deny.toml: {section}.{key} is not known to .ci/dependencies.py"
    wanted = {("bans", "wildcards"): "deny", ("bans", "multiple-versions"): "allow",
              ("sources", "unknown-registry"): "deny", ("sources", "unknown-git"): "deny"}
    for (section, key), value in wanted.items():
        if deny.get(section, {}).get(key) != value:
            yield f"deny.toml: {section}.{key} is to be \"{value}\""


def allows(expression, allowed):
    """Whether an SPDX expression can be met by the allowed licences alone. `/` is the old form of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    # An exception belongs to its licence.
    while "WITH" in tokens:
        at = tokens.index("WITH")
        tokens[at - 1:at + 2] = [" ".join(tokens[at - 1:at + 2])]

    def either():
        met = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met |= both()
        return met

    def both():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met &= one()
        return met

    def one():
        token = tokens.pop(0)
        if token != "(":
            return token in allowed
        met = either()
        if not tokens or tokens.pop(0) != ")":
            raise ValueError(expression)
        return met

    try:
        met = either()
    except (IndexError, ValueError):
        return False
    return met and not tokens


def faults(metadata, deny):
    """What is wrong with the packages of `cargo metadata`'s answer."""
    allowed, root = set(deny["licenses"]["allow"]), metadata["workspace_root"] + os.sep
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    for package in metadata["packages"]:
        if package["id"] not in used:
            continue
        name = f"{package['name']} {package['version']}"
        source, own = package["source"], package["source"] is None
        if own and not package["manifest_path"].startswith(root):
            yield f"{name}: comes from a folder outside the repository"
        if not own and not (re.match(r"(registry|sparse)\+", source) and source.rstrip("/").endswith("crates.io-index")):
            yield f"{name}: comes from {source}"
        # A crate of the repository that is not published has its licence.
        if not (own and package["publish"] == [] and package["license"] is None):
            if not package["license"]:
                yield f"{name}: names no licence"
            elif not allows(package["license"], allowed):
                yield f"{name}: {package['license']} is not allowed"
        for needed in package["dependencies"] if own else []:
            if needed["req"] == "*" and not needed.get("path"):
                yield f"{name}: takes any version of {needed['name']}"


def unused_patches(path):
    with open(path, "rb") as file:
        for patch in tomllib.load(file).get("patch", {}).get("unused", []):
            yield f"{path}: the patch of {patch['name']} {patch['version']} is used by nothing"


def main():
    with open("deny.toml", "rb") as file:
        deny = tomllib.load(file)
    found, packages = list(unknown_keys(deny)), set()
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for target in deny["graph"]["targets"]:
        command += ["--filter-platform", target]
    # A manifest of its own has a lock file of its own.
    for lock in ["Cargo.lock", *sorted(glob.glob("cross/*/Cargo.lock"))]:
        manifest = os.path.join(os.path.dirname(lock), "Cargo.toml")
        said = subprocess.run([*command, "--manifest-path", manifest], stdout=subprocess.PIPE, check=True).stdout
        metadata = json.loads(said)
        packages |= {(package["name"], package["version"]) for package in metadata["packages"]}
        found += faults(metadata, deny)
        found += unused_patches(lock)
    for fault in found:
        print(fault)
    print(f"{len(packages)} packages: licences, bans and sources as in deny.toml, and no patch without use"
          if not found else f"{len(found)} faults")
    sys.exit(1 if found or not packages else 0)


if __name__ == "__main__":
    main()
