#!/usr/bin/env python3
"""Keeps each minute once in SQLite, and prints repeats, gaps and boots (needs paho-mqtt 2.1.0).

    python3 examples/subscriber.py minutes.db broker.example 8883     then: python3 examples/minutes.py report minutes.db

The environment may name MQTT_CA (with TLS), MQTT_USER and MQTT_PASSWORD.
"""

import argparse
import json
import os
import sys

import paho.mqtt.client as mqtt

from minutes import MISSING, NO_RECORD, keep, open_table

# Trying again does not help until somebody corrects them.
REFUSED = ("Bad user name or password", "Not authorized", "Client identifier not valid", "Unsupported protocol version")


class Subscriber:
    def __init__(self, arguments):
        self.arguments, self.table, self.gaps, self.failed = arguments, open_table(arguments.database), {}, False
        name = f"minutes-{arguments.database}".replace("/", "-")
        # A fixed id and a session that the broker keeps: what arrives meanwhile is delivered later.
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self.client.on_connect, self.client.on_connect_fail = self.on_connect, self.on_connect_fail
        self.client.on_subscribe, self.client.on_message = self.on_subscribe, self.on_message
        self.client.on_disconnect = self.on_disconnect
        if "MQTT_CA" in os.environ:
            self.client.tls_set(os.environ["MQTT_CA"])
        if "MQTT_USER" in os.environ:
            self.client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))

    def run(self):
        self.client.connect_async(self.arguments.host, self.arguments.port)
        self.client.loop_forever(retry_first_connection=True)
        return 1 if self.failed else 0

    def warn(self, what):
        print(f"{self.arguments.host}:{self.arguments.port}: {what}", file=sys.stderr, flush=True)

    def give_up(self, what):
        self.failed = True
        self.warn(what)
        self.client.disconnect()

    def on_connect(self, client, userdata, flags, reason, properties):
        if str(reason) in REFUSED:
            self.give_up(f"refused: {reason}; check MQTT_USER, MQTT_PASSWORD and the broker's access rules")
        elif reason.is_failure:
            self.warn(f"refused: {reason}; trying again")
        else:
            client.subscribe(f"{self.arguments.root}/+/+/+/+/minute", qos=1)

    def on_connect_fail(self, client, userdata):
        self.warn(f"no connection: {sys.exc_info()[1] or 'it ended'}; trying again; check the address, the port and MQTT_CA")

    def on_disconnect(self, client, userdata, flags, reason, properties):
        if reason.is_failure and not self.failed:
            self.warn(f"connection lost: {reason}; trying again")

    def on_subscribe(self, client, userdata, mid, reasons, properties):
        if any(reason.is_failure for reason in reasons):
            self.give_up(f"may not subscribe to {self.arguments.root}/…/minute: check the broker's access rules")

    def on_message(self, client, userdata, message):
        """paho sends the PUBACK when this returns: a record that was not committed before a crash comes again."""
        try:
            record, new = json.loads(message.payload), keep(self.table, message.topic, message.payload)
        except NO_RECORD as error:  # nothing of Lectern's; without a PUBACK it would come for ever
            return print(f"{message.topic}: no record: {error!r}", flush=True)
        if new is None:
            return None
        device, boot = name = record["device"], record["boot"]
        count = "SELECT COUNT(*) FROM minutes WHERE device = ? AND boot = ?"
        if not new:
            print(f"{device}: {record['seq']} came again and counts once", flush=True)
        elif self.table.execute(count, name).fetchone() == (1,):
            print(f"{device}: boot {boot} begins here with {record['seq']}", flush=True)
        missing = self.table.execute(f"SELECT {MISSING} FROM minutes WHERE device = ? AND boot = ?", name).fetchone()[0]
        if missing != self.gaps.get(name, 0):
            print(f"{device}: {missing} of boot {boot} are under way or lost", flush=True)
        self.gaps[name] = missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="the SQLite file; it is made if it is not there")
    parser.add_argument("host", nargs="?", default="127.0.0.1", help="the broker (default: 127.0.0.1)")
    parser.add_argument("port", nargs="?", default=1883, type=int, help="its port (default: 1883; with TLS mostly 8883)")
    parser.add_argument("root", nargs="?", default="lectern/v1", help="mqtt.root of the devices (default: lectern/v1)")
    sys.exit(Subscriber(parser.parse_args()).run())


if __name__ == "__main__":
    main()
