#!/usr/bin/env python3
"""Copies the payloads' JSON Schema into docs/wire/asyncapi.yaml, so that this file can be hosted alone; with --check it only compares."""

import json
import pathlib
import sys

SCHEMA = pathlib.Path("crates/delivery/src/message/payload.schema.json")
DOCUMENT = pathlib.Path("docs/wire/asyncapi.yaml")
MARK = "  # Copied from payload.schema.json by .ci/asyncapi_schemas.py; to the end of the file.\n"

above, mark, _ = DOCUMENT.read_text().partition(MARK)
assert mark, f"{DOCUMENT} has no line: {MARK}"
# JSON is YAML.
schemas = json.dumps(json.loads(SCHEMA.read_text())["$defs"], indent=2, ensure_ascii=False).replace("\n", "\n    ")
whole = f"{above}{MARK}  schemas:\n    {schemas}\n"
if sys.argv[1:] == ["--check"]:
    if DOCUMENT.read_text() != whole:
        sys.exit(f"{DOCUMENT} has another schema than {SCHEMA}: run .ci/asyncapi_schemas.py")
else:
    DOCUMENT.write_text(whole)
