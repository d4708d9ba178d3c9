#!/usr/bin/env python3
"""Drives a real Home Assistant beside a real broker and two real devices, and reads its recorder (SQLite): every entity is
there with its unit and class, comes back after each restart without a restart of the device, is unavailable while the
device is away, and no count of a replayed minute is filed as one of now.

    .ci/home_assistant.py FOLDER HASS LECTERN

needs mosquitto, socat and paho-mqtt. FOLDER is made anew. HASS is the program of homeassistant 2025.4.4 (Python 3.13), to
which the configuration below belongs; it fetches what else it needs from PyPI at its first start.
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zlib

import paho.mqtt.client as mqtt

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from minutes import KINDS  # noqa: E402

FOLDER, HASS, LECTERN = (pathlib.Path(argument).absolute() for argument in sys.argv[1:4])
BROKER, RELAY, PAGE = 28833, 28834, 28123
WINDOW = 5  # seconds; sensors expire after three
PATIENCE = 120
NOTHING = ("unknown", "unavailable")
COUNTS = ["frames", "no_face", "uncertain", "faces", *KINDS]
DEVICES = ("cam1", "cam2")
began = time.time()


def say(words):
    print(f"{time.time() - began:5.0f} s  {words}", flush=True)


def until(what, condition, patience=PATIENCE):
    limit = time.time() + patience
    while not (found := condition()):
        assert time.time() < limit, f"not within {patience} s: {what}"
        time.sleep(0.3)
    return found


class Process:
    """A program that can be ended and started again; whole groups, for socat has a child for each connection."""

    def __init__(self, name, *command, env=None):
        self.name, self.command, self.env = name, command, os.environ | (env or {})
        self.start()

    def start(self):
        with open(FOLDER / f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.env, start_new_session=True)

    def stop(self, how=signal.SIGTERM):
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            pass
        self.process.wait(60)


def png(path, gray):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([gray]) * 400) * 400
    header = struct.pack(">IIBBBBB", 400, 400, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def camera():
    """Stills of which each is one frame: more and more faces from window to window, so that counts differ."""
    stills = FOLDER / "stills"
    stills.mkdir()
    png(FOLDER / "wall.png", 128)
    portrait = ROOT / "tests/fixtures/portrait.png"
    for number in range(99):
        block, place = divmod(number, 11)
        (stills / f"{number:03}.png").symlink_to(portrait if place <= block else FOLDER / "wall.png")
    return stills


def device(name, stills, port):
    place = FOLDER / name
    place.mkdir()
    (place / "lectern.toml").write_text(
        f'[device]\nid = "{name}"\nsite = "north"\nbuilding = "main"\nroom = "101"\n[deployment]\nbasis = "test"\n[camera]\n'
        f'device = "file:{stills}"\n[window]\nseconds = {WINDOW}\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\ndiscovery = true\n'
        f'[spool]\ndirectory = "{place}/state"\n')
    return Process(name, LECTERN, "run", "--config", place / "lectern.toml", env={"RUNTIME_DIRECTORY": str(place / "run")})


def home():
    place = FOLDER / "home"
    (place / ".storage").mkdir(parents=True)
    (place / "configuration.yaml").write_text(
        f"homeassistant:\n  name: Campus\n  time_zone: UTC\nhttp:\n  server_host: 127.0.0.1\n  server_port: {PAGE}\n"
        "recorder:\n  commit_interval: 1\nlogger:\n  default: warning\n")

    def store(name, version, minor, data):
        text = json.dumps({"version": version, "minor_version": minor, "key": name, "data": data})
        (place / ".storage" / name).write_text(text)

    then = "2026-01-01T00:00:00+00:00"
    store("onboarding", 4, 1, {"done": ["user", "core_config", "analytics", "integration"]})
    store("core.config_entries", 1, 5, {"entries": [{
        "created_at": then, "modified_at": then, "data": {"broker": "127.0.0.1", "port": BROKER}, "disabled_by": None,
        "discovery_keys": {}, "domain": "mqtt", "entry_id": "lectern", "version": 1, "minor_version": 2, "options": {},
        "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user", "subentries": [],
        "title": "broker", "unique_id": None}]})
    return Process("hass", HASS, "-c", place, "--log-no-color")


class Ear:
    """What is published, with the time at which it came."""

    def __init__(self):
        self.minutes, self.states, self.births = [], {}, 0
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.on_connect = lambda *_: client.subscribe("#", 1)
        client.on_message = self.hear
        client.reconnect_delay_set(0.1, 0.2)
        until("the broker", lambda: connected(client))
        client.loop_start()

    def hear(self, _client, _, message):
        if message.topic == "homeassistant/status":
            self.births += message.payload == b"online"
        elif message.topic.endswith("/minute"):
            self.minutes.append((time.time(), json.loads(message.payload)))
        elif message.topic.endswith("/status"):
            payload = json.loads(message.payload)
            self.states[payload["device"]] = payload

    def last(self, name):
        return max((at for at, minute in self.minutes if minute["device"] == name), default=0)


def connected(client):
    try:
        client.connect("127.0.0.1", BROKER)
        return True
    except OSError:
        return False


def entity(name, field):
    words = {"frames": "frames_analysed", "no_face": "frames_without_a_face", "uncertain": "faces_uncertain"}.get(field, field)
    return f"sensor.lectern_{name}_101_main_north_{words}"


def rows():
    """The recorder's states of our entities in order: entity, state, time, attributes."""
    database = FOLDER / "home/home-assistant_v2.db"
    if not database.exists():
        return []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        try:
            return [
                (name, state, at, json.loads(attributes or "{}"))
                for name, state, at, attributes in connection.execute(
                    "SELECT m.entity_id, s.state, s.last_updated_ts, a.shared_attrs FROM states s"
                    " JOIN states_meta m USING (metadata_id) LEFT JOIN state_attributes a USING (attributes_id)"
                    " WHERE m.entity_id LIKE '%sensor.lectern%' ORDER BY s.state_id")
            ]
        except sqlite3.OperationalError:  # its first seconds
            return []


def now(name):
    """What Home Assistant shows of a device."""
    shown = {row[0]: row[1] for row in rows()}
    return {field: shown.get(entity(name, field), "none") for field in [*COUNTS, "state"]}


def all_back(*names, since):
    """Each count is a number that was filed after this, and the state is `watching`."""

    def back():
        filed = {}
        for name, state, at, _ in rows():
            if at is not None and at >= since:
                filed[name] = state
        return all(
            filed.get(entity(name, "faces"), "none") not in (*NOTHING, "none")
            and all(state not in (*NOTHING, "none") for state in now(name).values())
            and now(name)["state"] == "watching"
            for name in names
        )

    until(f"all entities of {names} are back, {[now(name) for name in names]}", back)


def all_away(name):
    until(f"{name} is unavailable, {now(name)}", lambda: set(now(name).values()) == {"unavailable"})


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "mosquitto.conf").write_text(f"listener {BROKER} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    running = []

    def run(process):
        running.append(process)
        return process

    try:
        broker = run(Process("mosquitto", program, "-c", FOLDER / "mosquitto.conf"))
        ear = Ear()
        # cam2 has a network of its own that can fail.
        relay = run(Process("relay", "socat", f"TCP-LISTEN:{RELAY},bind=127.0.0.1,reuseaddr,fork", f"TCP:127.0.0.1:{BROKER}"))
        stills = camera()
        devices = {"cam1": run(device("cam1", stills, BROKER)), "cam2": run(device("cam2", stills, RELAY))}
        hass = run(home())
        until("Home Assistant is up", lambda: ear.births, 420)
        prove(broker, relay, devices, hass, ear)
    except AssertionError:
        for log in sorted(FOLDER.glob("*.log")):
            print(f"== {log.name}\n{log.read_text()[-1500:]}", file=sys.stderr)
        raise
    finally:
        for process in reversed(running):
            process.stop(signal.SIGKILL)


def prove(broker, relay, devices, hass, ear):
    since = time.time()
    say("Home Assistant is up")
    all_back(*DEVICES, since=since)
    check_attributes()
    say(f"the announcement is taken: {len(COUNTS) + 5} entities a device, with units and classes")

    since = time.time()
    broker.stop(signal.SIGKILL)
    time.sleep(2)
    broker.start()
    all_back(*DEVICES, since=since)
    say("the broker was killed and forgot everything: all entities are back")

    births, since = ear.births, time.time()
    hass.stop()
    hass.start()
    until("Home Assistant is up", lambda: ear.births > births, 300)
    all_back(*DEVICES, since=since)
    say("Home Assistant was restarted: all entities are back")

    births, since = ear.births, time.time()
    hass.stop()
    broker.stop(signal.SIGKILL)
    broker.start()
    for name in DEVICES:
        until(f"{name} is back", lambda name=name: ear.last(name) > since)
    hass.start()
    until("Home Assistant is up", lambda: ear.births > births, 300)
    all_back(*DEVICES, since=since)
    say("the broker forgot everything while Home Assistant was away: all entities are back")

    for how in (signal.SIGTERM, signal.SIGKILL):
        devices["cam1"].stop(how)
        all_away("cam1")
        assert "unavailable" not in now("cam2").values(), now("cam2")
        since = time.time()
        devices["cam1"].start()
        all_back("cam1", since=since)
        say(f"cam1 was ended by {how.name}: unavailable, and back")

    # An outage of one device's network, with a backlog.
    relay.stop(signal.SIGKILL)
    all_away("cam2")
    time.sleep(5 * WINDOW)
    assert set(now("cam2").values()) == {"unavailable"} and now("cam1")["state"] == "watching"
    since = time.time()
    relay.start()
    until("a backlog comes", lambda: any(at > since and minute["replayed"] for at, minute in ear.minutes))
    all_back("cam2", since=since)
    time.sleep(2 * WINDOW)
    check_values(ear)


def check_attributes():
    attributes = {row[0]: row[3] for row in rows() if row[1] not in NOTHING}
    for name in DEVICES:
        for field in COUNTS:
            told = attributes[entity(name, field)]
            unit = "frames" if field in ("frames", "no_face") else "faces"
            assert told["unit_of_measurement"] == unit and told["state_class"] == "measurement", told
        told = attributes[entity(name, "state")]
        # The recorder leaves out the list of options.
        assert told["device_class"] == "enum", told
        for field, states in [("camera", ["off"]), ("clock", ["on", "off"])]:
            shown = f"binary_sensor.lectern_{name}_101_main_north_{field}"
            until(f"{shown} is {states}", lambda: any(row[0] == shown and row[1] in states for row in rows()))
        for field in ("waiting", "dropped"):
            shown = f"sensor.lectern_{name}_101_main_north_records_{field}"
            until(f"{shown} is a number", lambda: any(row[0] == shown and row[1].isdecimal() for row in rows()))


def check_values(ear):
    """Every number is the count of a minute that had just come, and none lies where only replayed minutes came."""
    filed = rows()
    numbers = wrong = 0
    replayed = [(at, minute) for at, minute in ear.minutes if minute["replayed"]]
    for name in DEVICES:
        lives = [(at, minute) for at, minute in ear.minutes if minute["device"] == name and not minute["replayed"]]
        late = [at for at, minute in replayed if minute["device"] == name]
        for field in COUNTS:
            for shown, state, at, _ in filed:
                if shown != entity(name, field) or state in NOTHING:
                    continue
                numbers += 1
                # A value expires after three windows, of which Home Assistant counts anew once the broker is back; at its own start it
                # then restores the value for as long again.
                near = [minute for came, minute in lives if came - 0.5 <= at <= came + 7 * WINDOW]
                seen = any(float(state) == minute[field] for minute in near)
                # A number in the seconds of the backlog, with no minute of now since its first one came.
                began_late = [came for came in late if came <= at <= came + 2]
                only_late = began_late and not any(began_late[0] - WINDOW <= came <= at + 0.1 for came, _ in lives)
                if not seen or only_late:
                    wrong += 1
                    print(f"{shown} is {state} at {at:.1f}, and no minute of now says so", file=sys.stderr)
    waits = len({(minute["device"], minute["boot"], minute["seq"]) for _, minute in replayed})
    unknown = sum(1 for shown, state, _, _ in filed if state == "unknown")
    assert numbers > 2 * len(COUNTS) and waits >= 4, f"only {waits} minutes came late"
    assert not wrong, f"{wrong} of {numbers} states are not what was seen"
    say(f"recorder: {numbers} numbers, each of a minute that had just come; 0 of the {waits} minutes that came late"
        f" ({unknown} states unknown)")


if __name__ == "__main__":
    main()
