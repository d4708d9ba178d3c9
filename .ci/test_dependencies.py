#!/usr/bin/env python3
"""What dependencies.py promises, on small answers of cargo."""

import os
import tempfile
import tomllib
import unittest

from dependencies import allows, faults, unknown_keys, unused_patches

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "deny.toml"), "rb") as own:
    DENY = tomllib.load(own)


def package(**fields):
    return {"id": "x", "name": "x", "version": "1.0.0", "source": "registry+https://index.invalid/crates.io-index",
            "license": "MIT", "publish": None, "manifest_path": "/r/x/Cargo.toml", "dependencies": []} | fields


def found(**fields):
    metadata = {"workspace_root": "/r", "resolve": {"nodes": [{"id": "x"}]}, "packages": [package(**fields)]}
    return list(faults(metadata, DENY))


class Dependencies(unittest.TestCase):
    def test_a_licence_is_met_by_what_is_allowed(self):
        allowed = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Zlib"}
        for good in ("MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Zlib", "MIT AND Zlib",
                     "Apache-2.0 WITH LLVM-exception OR GPL-2.0"):
            self.assertTrue(allows(good, allowed), good)
        for bad in ("GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT Zlib", "", "Apache-2.0 WITH Other", "MIT AND (GPL-3.0 OR LGPL-3.0)"):
            self.assertFalse(allows(bad, allowed), bad)

    def test_each_fault_is_found(self):
        self.assertEqual(found(), [])
        self.assertEqual(found(source=None, manifest_path="/r/Cargo.toml"), [])
        for wrong in ({"license": "GPL-3.0-only"}, {"license": None}, {"source": "git+https://elsewhere.invalid/x"},
                      {"source": "registry+https://elsewhere.invalid/index"}, {"source": None, "manifest_path": "/s/Cargo.toml"},
                      {"source": None, "dependencies": [{"name": "y", "req": "*"}]}):
            self.assertEqual(len(found(**wrong)), 1, wrong)

    def test_what_deny_toml_says_is_known_here(self):
        self.assertEqual(list(unknown_keys(DENY)), [])
        self.assertEqual(len(list(unknown_keys(DENY | {"advisories": {"yanked": "deny"}}))), 1)
        self.assertEqual(len(list(unknown_keys(DENY | {"bans": DENY["bans"] | {"wildcards": "allow"}}))), 1)

    def test_a_patch_without_use_is_found(self):
        with tempfile.NamedTemporaryFile("w", suffix=".lock") as file:
            file.write("version = 4\n[[patch.unused]]\nname = \"x\"\nversion = \"1.0.0\"\n")
            file.flush()
            self.assertEqual(len(list(unused_patches(file.name))), 1)


if __name__ == "__main__":
    unittest.main()
