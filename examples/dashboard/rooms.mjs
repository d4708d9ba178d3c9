// Simulated rooms for the dashboard: devices that behave on the wire as Lectern does (docs/mqtt.md), with made-up lectures.
// start.mjs starts it; the options are explained there.
//
// Each room has its own mixture of kinds, which drifts, lectures of 45 minutes with pauses between them, and a lecturer who is
// now and then out of the picture. Some rooms have a mishap, so that the page has something to show.

import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const given = Object.fromEntries(process.argv.slice(2).reduce((pairs, word, i, all) => (i % 2 ? pairs : [...pairs, [word.slice(2), all[i + 1]]]), []));
const mqtt = createRequire(join(given.folder, 'node-red', 'package.json'))('mqtt');
const [count, window, history] = [Number(given.rooms), Number(given.window), Number(given.history)];
const KINDS = ['neutral', ...['surprise', 'fear', 'disgust', 'happy', 'sad', 'angry'].flatMap((e) => [`${e}_weak`, `${e}_strong`])];
// As common as one may expect of a lecture: mostly neutral, some happy, little of the rest.
const COMMON = { neutral: 50, happy_weak: 14, happy_strong: 10, sad_weak: 6, sad_strong: 2, surprise_weak: 5, surprise_strong: 3, angry_weak: 4, angry_strong: 2, fear_weak: 2, fear_strong: 1, disgust_weak: 1.5, disgust_strong: 0.5 };
const text = (time) => new Date(time * 1000).toISOString().replace('.000Z', 'Z');

// Numbers that look random and are the same each time (mulberry32).
function randomFrom(seed) {
    let state = seed;
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

class Room {
    constructor(number) {
        this.number = number;
        this.random = randomFrom(977 * number + 13);
        const floor = 1 + Math.floor((number - 1) / 10);
        this.room = String(100 * floor + ((number - 1) % 10) + 1);
        this.building = number % 3 === 0 ? 'annex' : 'main';
        this.device = `r${this.room}-cam1`;
        this.place = `${given.root}/north/${this.building}/${this.room}/${this.device}`;
        this.taste = Object.fromEntries(KINDS.map((kind) => [kind, COMMON[kind] * (0.4 + 1.6 * this.random())]));
        this.offset = Math.floor(this.random() * 15) * 60;
        [this.seq, this.spool, this.dropped, this.connected, this.publishing] = [0, [], 0, false, false];
        this.boot = randomBytes(16).toString('hex');
        [this.state, this.since] = ['watching', Math.floor(Date.now() / 1000)];
    }

    // The counts of the window that begins there.
    record(start) {
        const expected = 2 * window;
        const hour = Math.floor((start + this.offset) / 3600);
        const minute = ((start + this.offset) % 3600) / 60;
        const busy = randomFrom(hour * 31 + this.number)() < 0.75 && minute < 45;
        const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
        const torn = this.random() < 0.02 ? 1 : 0;
        let [uncertain, noFace] = [0, 0];
        const away = busy ? 0.08 + 0.15 * this.random() : 1;
        const weights = KINDS.map((kind, i) => this.taste[kind] * (1.2 + Math.sin(start / (1900 + 340 * i) + i * 2 + this.number)));
        const all = weights.reduce((sum, weight) => sum + weight, 0);
        for (let frame = 0; frame < expected - torn; frame += 1) {
            if (this.random() < away) { noFace += 1; continue; }
            if (this.random() < 0.06) { uncertain += 1; continue; }
            let left = this.random() * all;
            const kind = KINDS.find((_, i) => (left -= weights[i]) < 0) || 'neutral';
            counts[kind] += 1;
        }
        const faces = KINDS.reduce((sum, kind) => sum + counts[kind], 0);
        const frames = { frames: expected - torn, corrupt: torn, no_face: noFace, uncertain };
        return { schema: 1, device: this.device, boot: this.boot, seq: this.seq++, start: text(start), seconds: window, frames_expected: expected, ...frames, faces, ...counts, clock_synced: true, partial: false };
    }

    // A window has ended: it is published, or waits.
    end(start, change = {}) {
        const record = { ...this.record(start), ...change, replayed: !this.connected };
        if (given.ledger) appendFileSync(given.ledger, `${this.place}/minute ${JSON.stringify(record)}\n`);
        this.spool.push(record);
    }

    status(state = this.state) {
        return JSON.stringify({ schema: 1, device: this.device, state, version: '0.1.0', since: text(this.since), spooled: this.spool.length, dropped: this.dropped, unreadable: 0, spool: 'disk', basis: 'simulated rooms; nobody was watched' });
    }

    enter(state) {
        [this.state, this.since] = [state, Math.floor(Date.now() / 1000)];
        if (this.connected) this.tell();
    }

    tell() { this.told = this.spool.length; this.client.publish(`${this.place}/status`, this.status(), { qos: 1, retain: true }); }

    connect() {
        const will = { topic: `${this.place}/status`, payload: this.status('offline'), qos: 1, retain: true };
        this.client = mqtt.connect(`mqtt://127.0.0.1:${given['mqtt-port']}`, { clientId: this.place.replaceAll('/', ':'), clean: true, keepalive: 30, reconnectPeriod: 500 + Math.floor(2000 * this.random()), queueQoSZero: false, will });
        this.client.on('connect', () => { this.connected = true; this.tell(); this.deliver(); });
        this.client.on('close', () => { this.connected = false; });
        this.client.on('error', () => {});
    }

    // The oldest first, one at a time; only its PUBACK removes it.
    deliver() {
        if (this.publishing || !this.connected || this.held) return;
        if (this.spool.length === 0) {
            if (this.told) this.tell();
            return;
        }
        this.publishing = true;
        this.client.publish(`${this.place}/minute`, JSON.stringify(this.spool[0]), { qos: 1 }, (error) => {
            this.publishing = false;
            if (!error) this.spool.shift();
            if (error) setTimeout(() => this.deliver(), 500); else this.deliver();
        });
    }
}

const rooms = Array.from({ length: count }, (_, i) => new Room(i + 1));
const grid = () => Math.floor(Date.now() / 1000 / window) * window;
let next = grid();
const past = Math.floor((history * 3600) / window);
const back = (minutes) => past - Math.round((minutes * 60) / window);

for (const room of rooms) {
    // Mishaps, if there is a past for them.
    const which = past > 300 && count >= 10 ? (room.number - 1) % 20 : -1;
    for (let i = 0; i < past; i += 1) {
        const start = next - (past - i) * window;
        // Booted three hours ago, after a loss of power of four minutes; its clock was not set at first.
        if (which === 2 && i === back(184)) { room.boot = randomBytes(16).toString('hex'); room.seq = 0; }
        if (which === 2 && i >= back(184) && i < back(180)) continue;
        // Some minutes of this one got lost.
        if (which === 4 && i >= back(95) && i < back(88)) { room.seq += 1; continue; }
        // The camera was pulled out twenty minutes ago.
        const lost = which === 6 && i >= back(20);
        // Switched off an hour ago.
        if (which === 8 && i >= back(60)) break;
        // Says nothing any more, and its broker does not know yet.
        if (which === 11 && i >= back(9)) break;
        const none = lost ? { frames: 0, corrupt: 0, no_face: 0, uncertain: 0, faces: 0, ...Object.fromEntries(KINDS.map((kind) => [kind, 0])) } : {};
        room.end(start, { ...none, ...(which === 2 && i >= back(180) && i < back(178) ? { clock_synced: false } : {}) });
    }
    if (which === 4) room.dropped = 7;
    if (which === 6) room.state = 'camera_lost';
    if (which === 8) room.state = 'offline';
    room.silent = which === 8 || which === 11;
    // Gets its backlog of the last hour rid of two minutes after the others.
    if (which === 13) { room.kept = room.spool.splice(back(60)); setTimeout(() => { room.spool.unshift(...room.kept); room.deliver(); }, 120000); }
    room.connect();
}

const making = setInterval(() => {
    while (next + window <= Date.now() / 1000) {
        for (const room of rooms.filter((one) => !one.silent)) {
            const none = room.state === 'camera_lost' ? { frames: 0, corrupt: 0, no_face: 0, uncertain: 0, faces: 0, ...Object.fromEntries(KINDS.map((kind) => [kind, 0])) } : {};
            room.end(next, none);
            room.deliver();
        }
        next += window;
    }
}, 200);

process.on('SIGTERM', () => process.exit());
// No further minutes: what is left is delivered, and then all is quiet (prove.py).
process.on('SIGUSR2', () => clearInterval(making));
