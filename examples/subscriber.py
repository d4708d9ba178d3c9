#!/usr/bin/env python3
"""Keeps each minute once in SQLite, and tells of repeats, gaps and boots (needs paho-mqtt 2.1.0).

    python3 examples/subscriber.py minutes.db [HOST [PORT [ROOT]]]      then: python3 examples/minutes.py report minutes.db

The environment may name MQTT_CA (with TLS), MQTT_USER and MQTT_PASSWORD.
"""

import json
import os
import sys

import paho.mqtt.client as mqtt

from minutes import NO_RECORD, keep, open_table

database, host, port, root = (sys.argv[1:] + ["127.0.0.1", "1883", "lectern/v1"][len(sys.argv) - 2:])[:4]
table, gaps = open_table(database), {}
SEEN = "SELECT COUNT(*), MAX(seq) + 1 - COUNT(*) FROM minutes WHERE device = ? AND boot = ?"


def on_message(client, userdata, message):
    """paho sends the PUBACK when this returns: a record that was not committed before a crash comes again."""
    try:
        record, new = json.loads(message.payload), keep(table, message.topic, message.payload)
    except NO_RECORD as error:  # nothing of Lectern's; without a PUBACK it would come for ever
        return print(f"{message.topic}: no record: {error!r}", flush=True)
    if new is None:
        return None
    device, name = record["device"], (record["device"], record["boot"])
    records, missing = table.execute(SEEN, name).fetchone()
    if not new:
        print(f"{device}: {record['seq']} came again and counts once", flush=True)
    elif records == 1:
        print(f"{device}: boot {record['boot']} begins", flush=True)
    if missing != gaps.get(name, 0):
        print(f"{device}: {missing} of boot {record['boot']} are under way or lost", flush=True)
    gaps[name] = missing


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"minutes-{database}".replace("/", "-"), clean_session=False)
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe(f"{root}/+/+/+/+/minute", qos=1)
if "MQTT_CA" in os.environ:
    client.tls_set(os.environ["MQTT_CA"])
if "MQTT_USER" in os.environ:
    client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))
client.connect_async(host, int(port))
client.loop_forever(retry_first_connection=True)
