#!/usr/bin/env python3
"""Drives the dashboard through failures and compares sums: what was published, in InfluxDB and in SQLite, kind by kind.

    python3 examples/dashboard/prove.py [--rooms 20] [--seconds 40] [--folder F] [--lectern PROGRAM]

Needs what start.mjs needs, mosquitto-clients and paho-mqtt 2.1.0; with --lectern also ffmpeg: two of the rooms are then the
real program in front of a recording, and are killed and started again. Meanwhile the broker and the store are killed (SIGKILL)
and minutes are published a second time. Exit code 1 unless all sums are equal and no repeat counts.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from minutes import NUMBERS  # noqa: E402

MQTT, STORE, PAGE = 28830, 28086, 28800
WINDOW = 2


def ask(query):
    body = urllib.parse.urlencode({"db": "lectern", "q": query}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{STORE}/query", body, timeout=20) as answer:
        series = json.load(answer)["results"][0].get("series")
    return dict(zip(series[0]["columns"], series[0]["values"][0])) if series else {}


def listens(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def unique(path, wanted=""):
    """The records in lines of `TOPIC JSON`, each once; how many lines there were."""
    found, lines = {}, 0
    # Somebody may be writing the last line.
    whole, _, _ = (path.read_text() if path.exists() else "").rpartition("\n")
    for line in whole.splitlines():
        topic, brace, rest = line.partition("{")
        if not brace:  # mosquitto_sub's own, while there is no broker
            continue
        record = json.loads(brace + rest)
        if wanted in topic and "seq" in record:
            lines += 1
            known = found.setdefault((record["device"], record["boot"], record["seq"]), record)
            assert known == record, f"a repeat with another content: {line}"
    return found, lines


class Account:
    """What was published so far, and what each subscriber has of it."""

    def __init__(self, proof):
        published, _ = unique(proof / "ledger")
        # Of the real devices nobody but the broker keeps the account.
        self.arrived, _ = unique(proof / "seen", "/real/")
        self.published = published | self.arrived
        with sqlite3.connect(f"file:{proof}/minutes.db?mode=ro", uri=True) as table:
            names = ", ".join(f"SUM({name})" for name in NUMBERS)
            self.counted, *kept = table.execute(f"SELECT COUNT(*), {names} FROM minutes").fetchone()
        self.sqlite = dict(zip(NUMBERS, kept))
        names = ", ".join(f"SUM({name}) AS {name}" for name in NUMBERS)
        self.stored = ask(f"SELECT COUNT(seq) AS records, {names} FROM lectern_minute")

    def sums(self):
        return {name: sum(record[name] for record in self.published.values()) for name in NUMBERS}

    def equal(self):
        """Whether all three agree, kind by kind."""
        stored = {name: self.stored.get(name) for name in NUMBERS}
        return len(self.published) == self.counted == self.stored.get("records") and self.sums() == self.sqlite == stored


@contextlib.contextmanager
def stopped(*processes):
    """Holds processes still, and lets them go on whatever happens meanwhile."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def settle(proof, seconds):
    """The account when all three agree, or when nothing has arrived for so many seconds."""
    before = None
    while True:
        account = Account(proof)
        now = (len(account.published), account.counted, account.stored.get("records"))
        if now != before:
            before, limit = now, time.monotonic() + seconds
        if account.equal() or time.monotonic() > limit:
            return account
        time.sleep(0.2)


class Devices:
    """The real program, in front of a recording."""

    def __init__(self, program, folder, count):
        self.program, self.folder, self.running = program, folder, {}
        if count:
            recording = folder / "lecture.mkv"
            portrait = HERE.parent.parent / "tests/fixtures/portrait.png"
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-loop", "1", "-framerate", "10", "-i", portrait, "-t", "10", "-vf",
                            "noise=alls=12:allf=t", "-pix_fmt", "yuv420p", recording], check=True)
        for number in range(count):
            place = folder / f"real{number}"
            place.mkdir()
            (place / "lectern.toml").write_text(
                f'[device]\nid = "real{number}"\nsite = "north"\nbuilding = "real"\nroom = "{number}"\n[deployment]\nbasis = "test"\n'
                f'[camera]\ndevice = "file:{recording}"\n[window]\nseconds = {WINDOW}\n[mqtt]\nurl = "mqtt://127.0.0.1:{MQTT}"\n'
                f'[spool]\ndirectory = "{place}/state"\n')
            self.start(place)

    def start(self, place):
        with open(place / "log", "a") as log:
            self.running[place] = subprocess.Popen([self.program, "run", "--config", place / "lectern.toml"], stderr=log,
                                                   env=os.environ | {"RUNTIME_DIRECTORY": str(place / "run")})

    def crash(self):
        for place, process in list(self.running.items()):
            process.kill()
            process.wait()
            self.start(place)

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for place, process in self.running.items():
            assert process.wait(30) == 0, (place / "log").read_text()[-2000:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=40, help="how long it goes on, at least 30")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path.home() / ".cache/lectern-dashboard-proof")
    parser.add_argument("--lectern", help="the real program, for two of the rooms")
    options = parser.parse_args()
    folder = options.folder.resolve()
    real = 2 if options.lectern else 0
    for name in ["mosquitto", "influxdb", "proof", "node-red/context", "node-red/flows.json"]:  # Node-RED's packages stay
        subprocess.run(["rm", "-rf", folder / name], check=True)
    proof = folder / "proof"
    proof.mkdir(parents=True)
    started = []

    def start(*command, output):
        with open(proof / output, "a") as file:
            started.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT))
        return started[-1]

    def pid(name):
        return json.loads((folder / "processes.json").read_text())[name]

    devices = None
    try:
        whole = start("node", HERE / "start.mjs", "--rooms", str(options.rooms - real), "--history", "0.1", "--window", str(WINDOW),
                      "--folder", folder, "--mqtt-port", str(MQTT), "--store-port", str(STORE), "--page-port", str(PAGE),
                      "--ledger", proof / "ledger", output="start.log")
        limit = time.monotonic() + 300

        def until(holds):
            while not holds():
                assert whole.poll() is None and time.monotonic() < limit, (proof / "start.log").read_text()
                time.sleep(0.2)

        until(lambda: listens(MQTT))
        # Before the rooms begin; both with a session that the broker keeps.
        subscriber = start(sys.executable, HERE.parent / "subscriber.py", proof / "minutes.db", "127.0.0.1", str(MQTT), output="subscriber.log")
        seen = proof / "seen"

        def watch():
            return start("mosquitto_sub", "-p", str(MQTT), "-c", "-i", "proof", "-q", "1", "-t", "lectern/v1/+/+/+/+/minute", "-F", "%t %p", output="seen")

        watch()
        until(lambda: "open http" in (proof / "start.log").read_text())
        devices = Devices(options.lectern, proof, real)
        step = options.seconds / 5
        time.sleep(step)

        # What a broker has accepted and neither delivered nor saved dies with it: nothing is under way when it is killed.
        for _ in range(20):
            with stopped(pid("rooms"), *(process.pid for process in devices.running.values())):
                if arrived := settle(proof, 5).equal():
                    os.kill(pid("mosquitto"), signal.SIGUSR1)  # saves the sessions, as it does by itself every 10 s
                    time.sleep(1.5)
                    os.kill(pid("mosquitto"), signal.SIGKILL)
                    break
            time.sleep(0.3)
        assert arrived, "what is published does not arrive"
        print("the broker was killed", flush=True)
        time.sleep(step)
        os.kill(pid("influxd"), signal.SIGKILL)
        print("the store was killed", flush=True)
        time.sleep(step)
        devices.crash()
        print(f"{real} devices were killed", flush=True)
        again = [line for line in seen.read_text().splitlines() if "{" in line][-60::3]
        for line in again:
            topic, _, text = line.partition(" ")
            subprocess.run(["mosquitto_pub", "-p", str(MQTT), "-q", "1", "-t", topic, "-m", text], check=True)
        print(f"{len(again)} minutes were published again", flush=True)
        time.sleep(step)
        os.kill(pid("mosquitto"), signal.SIGTERM)
        print("the broker was stopped", flush=True)
        time.sleep(step)
        os.kill(pid("rooms"), signal.SIGUSR2)
        devices.stop()

        account = settle(proof, 60)
        published, arrived, sqlite, stored, sums = account.published, account.arrived, account.sqlite, account.stored, account.sums()
        print(f"{'':<16} {'published':>10} {'SQLite':>10} {'InfluxDB':>10}")
        print(f"{'records':<16} {len(published):>10} {account.counted:>10} {stored.get('records', 0):>10}")
        for name in NUMBERS:
            print(f"{name:<16} {sums[name]:>10} {sqlite[name]:>10} {stored.get(name, 0):>10}")
        repeats = (proof / "subscriber.log").read_text().count("came again")
        print(f"{repeats} repeats came, none counts")
        # Of the real ones nobody but the broker kept the account: none may be missing.
        for device in {name for name, _, _ in arrived}:
            numbers = sorted(seq for name, _, seq in arrived if name == device)
            assert numbers == list(range(len(numbers))), f"{device}: a number is missing in {numbers}"
        assert len({name for name, _, _ in arrived}) == real
        assert len({name for name, _, _ in published}) == options.rooms
        assert repeats >= len(again) and subscriber.poll() is None and len(published) > options.rooms * options.seconds / WINDOW / 2
        assert account.equal(), "the sums differ"
        print("all sums are equal")
    finally:
        for process in (*(devices.running.values() if devices else ()), *reversed(started)):
            process.terminate()
        for process in (*(devices.running.values() if devices else ()), *started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    main()
