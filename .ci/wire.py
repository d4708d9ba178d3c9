#!/usr/bin/env python3
"""Checks what others read of Lectern's messages, with the program beside it: the JSON Schema, the examples in the AsyncAPI
document, Home Assistant's templates (rendered by Jinja, as it does), and the files for Telegraf and Grafana.

    .ci/wire.py       (needs jsonschema, jinja2, pyyaml; target/debug/lectern)
"""

import json
import pathlib
import subprocess
import sys
import time
import tomllib

import jinja2
import jsonschema
import yaml

sys.path.insert(0, "examples")
from minutes import KINDS, NUMBERS  # noqa: E402

NOW = 1_790_000_000


def text(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def undescribed(schema, path):
    """Every property of an object that has no description."""
    for name, part in schema.get("properties", {}).items():
        if not part.get("description"):
            yield [*path, name]
        yield from undescribed(part, [*path, name])
    for deeper in ("items", "additionalProperties"):
        if isinstance(schema.get(deeper), dict):
            yield from undescribed(schema[deeper], path)


def check_schema():
    schema = json.loads(subprocess.run(["target/debug/lectern", "schema"], stdout=subprocess.PIPE, check=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, payload in schema["$defs"].items():
        missing = list(undescribed(payload, [name]))
        assert not missing, f"without a description: {missing}"
    validator = jsonschema.Draft202012Validator(schema)
    document = yaml.safe_load(pathlib.Path("docs/wire/asyncapi.yaml").read_text())
    shown = 0
    for message in document["components"]["messages"].values():
        for example in message.get("examples", []):
            validator.validate(example["payload"])
            shown += 1
    announcement = json.loads(pathlib.Path("docs/wire/discovery.json").read_text())
    validator.validate(announcement)
    print(f"JSON Schema: valid, every field described, {shown} examples and an announcement conform")
    return announcement


def check_templates(announcement):
    environment = jinja2.Environment()
    environment.globals["now"] = lambda: NOW
    environment.globals["as_timestamp"] = lambda value: value if isinstance(value, (int, float)) else time.mktime(
        time.strptime(value, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone

    def rendered(template, message):
        return environment.from_string(template).render(value_json=message).strip()

    record = {"seq": 7, "start": text(NOW - 60), "clock_synced": True, "replayed": False, **dict.fromkeys(NUMBERS, 0), "faces": 42}
    test = {"schema": 1, "device": "r101-cam1", "check": True}
    cases = [
        ("of now", {}, "42"),
        ("replayed", {"replayed": True}, "None"),
        ("late, as after a dead connection", {"start": text(NOW - 600)}, "None"),
        ("of a clock that is not set", {"start": "1970-01-01T00:00:00Z", "clock_synced": False}, "42"),
        ("replayed, of a clock that is not set", {"clock_synced": False, "replayed": True}, "None"),
    ]
    sensors = announcement["cmps"]
    counts = [name for name in sensors if sensors[name].get("ent_cat") != "diagnostic"]
    assert set(counts) == {"frames", "no_face", "uncertain", "faces", *KINDS}
    for name in counts:
        for words, change, wanted in cases:
            said = rendered(sensors[name]["val_tpl"], record | {name: 42} | change)
            assert said == wanted, f"{name} of a record {words}: {said}"
        # Home Assistant ignores an empty value.
        assert rendered(sensors[name]["val_tpl"], test) == "", name
    for template, offline, watching in [
        (announcement["avty"][0]["val_tpl"], "offline", "online"),
        # Offline is availability, and no state.
        (sensors["state"]["val_tpl"], "", "watching"),
        (sensors["camera"]["val_tpl"], "OFF", "OFF"),
    ]:
        assert rendered(template, {"state": "offline"}) == offline
        assert rendered(template, {"state": "watching"}) == watching
        assert rendered(template, test) == "", template
    assert rendered(sensors["camera"]["val_tpl"], {"state": "camera_lost"}) == "ON"
    assert [rendered(sensors["clock"]["val_tpl"], {"clock_synced": synced}) for synced in (True, False)] == ["OFF", "ON"]
    for name in ("spooled", "dropped"):
        assert (rendered(sensors[name]["val_tpl"], {name: 3}), rendered(sensors[name]["val_tpl"], test)) == ("3", "")
    assert "offline" not in sensors["state"]["ops"]
    print(f"Home Assistant's templates: {len(counts)} counts, {len(cases) + 1} messages each")


def check_files():
    telegraf = tomllib.loads(pathlib.Path("examples/dashboard/telegraf.conf").read_text())
    fields = telegraf["inputs"]["mqtt_consumer"][0]["json_v2"][0]["object"][0]["fields"]
    assert set(fields) == {"seq", *NUMBERS, "clock_synced", "partial", "replayed"}, fields
    # Starlark is Python where it can be.
    compile(telegraf["processors"]["starlark"][0]["source"], "telegraf.conf", "exec")
    grafana = json.loads(pathlib.Path("examples/dashboard/grafana.json").read_text())
    assert all(f'"{kind}"' in grafana["panels"][0]["targets"][0]["query"] for kind in KINDS)
    print("Telegraf and Grafana: they parse and name every count")


if __name__ == "__main__":
    check_templates(check_schema())
    check_files()
