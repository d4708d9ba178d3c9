"""Runs the tests of a file without pytest."""

from __future__ import annotations

import sys
import unittest
from typing import Any


def run_all(names: dict[str, Any]) -> None:
    """Call every `test_…` of a module's names; one that raises `unittest.SkipTest` is named with its reason."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    for name, test in list(names.items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
        except unittest.SkipTest as reason:
            print(f"skipped {name}: {reason}", flush=True)
        else:
            print(f"ok {name}", flush=True)
