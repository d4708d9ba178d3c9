#!/usr/bin/env python3
"""Keeps each minute once, and adds a stretch of time up: an example for dashboards, with Python's standard library alone.

    mosquitto_sub ... -t 'lectern/v1/+/+/+/+/minute' -F '%t %p' | python3 examples/minutes.py store minutes.db
    python3 examples/minutes.py report minutes.db [--from 2026-11-23T00:00:00Z] [--to 2026-11-30T00:00:00Z]

`store` reads lines of `TOPIC JSON`, or of JSON alone, and puts each record into an SQLite table whose primary key is
(device, boot, seq): a record that comes again is dropped. `report` prints one line a device, its shares, and the gaps.
"""

import argparse
import json
import sqlite3
import sys

KINDS = ["neutral"] + [
    f"{emotion}_{intensity}"
    for emotion in ("surprise", "fear", "disgust", "happy", "sad", "angry")
    for intensity in ("weak", "strong")
]
NUMBERS = ["seconds", "frames_expected", "frames", "corrupt", "no_face", "uncertain", "faces", *KINDS]

# Records of one boot that are missing between those that came. What was before the first one is not known to have been missed: a
# collector may have been set up in the middle of a boot.
MISSING = "MAX(seq) - MIN(seq) + 1 - COUNT(*)"

# What a message that is none of Lectern's raises. Not OperationalError: what a full disk refuses must not be acknowledged.
NO_RECORD = (ValueError, KeyError, TypeError, OverflowError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


def open_table(path):
    table = sqlite3.connect(path)
    columns = ", ".join(f"{name} INTEGER NOT NULL" for name in NUMBERS)
    table.execute(
        "CREATE TABLE IF NOT EXISTS minutes (device TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL, "
        f"place TEXT, start TEXT NOT NULL, {columns}, clock_synced INTEGER NOT NULL, partial INTEGER NOT NULL, "
        "PRIMARY KEY (device, boot, seq))"
    )
    return table


def keep(table, topic, text):
    """Puts a record into the table: True if it is new, False if it was known, None if the message is no record."""
    record = json.loads(text)
    if "seq" not in record:  # a status, or a test message
        return None
    # .../SITE/BUILDING/ROOM/DEVICE/minute, counted from the end, for the root may have any number of levels.
    levels = topic.split("/")
    place = "/".join(levels[-5:-2]) if len(levels) >= 6 else None
    names = ["device", "boot", "seq", "start", *NUMBERS, "clock_synced", "partial"]
    values = [record[name] for name in names] + [place]
    marks = ", ".join("?" * len(values))
    with table:  # commits
        new = table.execute(f"INSERT OR IGNORE INTO minutes ({', '.join(names)}, place) VALUES ({marks})", values).rowcount
    return new == 1


def store(table, lines):
    answers = []
    for line in lines:
        topic, brace, rest = line.partition("{")
        try:
            if brace:
                answers.append(keep(table, topic.strip(), brace + rest))
        except NO_RECORD as error:
            print(f"no record: {error!r}", file=sys.stderr)
    print(f"{answers.count(True)} new records, {answers.count(False)} that were known", file=sys.stderr)


def report(table, begin, end):
    sums = ", ".join(f"SUM({name})" for name in NUMBERS)
    # Times are written alike, so that they sort as text.
    # Two rooms may have devices of the same name.
    name = "COALESCE(place || '/', '') || device"
    query = f"SELECT {name}, COUNT(*), {sums} FROM minutes WHERE start >= ? AND start < ? GROUP BY 1 ORDER BY 1"
    for device, records, *values in table.execute(query, (begin, end)):
        total = dict(zip(NUMBERS, values))
        print(f"{device}: {records} records, {total['seconds'] / 3600:.2f} hours, {total['faces']} faces in "
              f"{total['frames']} frames ({total['frames_expected']} expected)")
        for kind in KINDS:
            if total[kind]:
                of_faces, of_frames = total[kind] / total["faces"], total[kind] / total["frames"]
                print(f"  {kind:<16} {of_faces:7.1%} of the faces, {of_frames:7.1%} of the frames")
    gaps = f"SELECT device, boot, {MISSING} AS missing FROM minutes GROUP BY 1, 2 HAVING missing > 0"
    for device, boot, missing in table.execute(gaps):
        print(f"{device}: {missing} records are missing in boot {boot}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["store", "report"])
    parser.add_argument("database")
    parser.add_argument("--from", dest="begin", default="0", help="first start that counts, in UTC")
    parser.add_argument("--to", dest="end", default="9999", help="first start that no longer counts")
    arguments = parser.parse_args()
    table = open_table(arguments.database)
    if arguments.what == "store":
        store(table, sys.stdin)
    else:
        report(table, arguments.begin, arguments.end)


if __name__ == "__main__":
    main()
