// Takes each message of …/minute: forgets repeats, notes boots and gaps, and hands a line for InfluxDB on.
//
// flow.rooms: place -> { place, status, last, gap, lost, boots: { boot: { since, ranges } }, repeats }
// `ranges` holds the numbers `seq` that came, as [first, last] in ascending order: one range if none is missing.

const KINDS = ['neutral', ...['surprise', 'fear', 'disgust', 'happy', 'sad', 'angry'].flatMap((e) => [`${e}_weak`, `${e}_strong`])];
const INTEGERS = ['seq', 'seconds', 'frames_expected', 'frames', 'corrupt', 'no_face', 'uncertain', 'faces', ...KINDS];
const FLAGS = ['clock_synced', 'partial', 'replayed'];
// A level of a topic as Lectern allows it; none needs to be escaped in a tag.
const LEVEL = /^[A-Za-z0-9._-]{1,64}$/;

// Adds a number to the ranges; false if it is there already.
function add(ranges, seq) {
    // Nearly always it follows the last one.
    let i = ranges.length;
    while (i > 0 && ranges[i - 1][0] > seq) i -= 1;
    const [before, after] = [ranges[i - 1], ranges[i]];
    if (before && before[1] >= seq) return false;
    const [joinsBefore, joinsAfter] = [before && before[1] + 1 === seq, after && after[0] === seq + 1];
    if (joinsBefore && joinsAfter) { before[1] = after[1]; ranges.splice(i, 1); }
    else if (joinsBefore) before[1] = seq;
    else if (joinsAfter) after[0] = seq;
    else ranges.splice(i, 0, [seq, seq]);
    return true;
}

// The last five levels are SITE/BUILDING/ROOM/DEVICE/minute, however many the root has.
const [site, building, room, device] = msg.topic.split('/').slice(-5);
let record;
try { record = JSON.parse(msg.payload); } catch { record = {}; }
// The test message of `lectern check` has no `seq`.
if (record.check) return null;
const good = [site, building, room, device].every((level) => LEVEL.test(level)) && /^[0-9a-f]{32}$/.test(record.boot) &&
    INTEGERS.every((name) => Number.isSafeInteger(record[name])) && FLAGS.every((name) => typeof record[name] === 'boolean') &&
    Number.isFinite(Date.parse(record.start));
if (!good) { node.warn(`${msg.topic}: no record of Lectern`); return null; }

const rooms = flow.get('rooms') || {};
const place = [site, building, room, device].join('/');
const seen = (rooms[place] ||= { place, boots: {}, repeats: 0 });
const boot = (seen.boots[record.boot] ||= { since: record.start, ranges: [] });
const before = boot.ranges.length ? boot.ranges[boot.ranges.length - 1][1] : record.seq;
const isNew = add(boot.ranges, record.seq);
if (isNew) {
    // When numbers were last found to be missing: a loss of last month is no problem of today.
    if (record.seq > before + 1) seen.gap = Date.now();
    const end = Date.parse(record.start) + 1000 * record.seconds;
    if (!seen.last || end >= seen.last.end) {
        const { start, seconds, frames, frames_expected, no_face, clock_synced } = record;
        seen.last = { boot: record.boot, start, seconds, end, frames, frames_expected, no_face, clock_synced, arrived: Date.now() };
    }
    seen.late = record.replayed ? { start: record.start, arrived: Date.now() } : seen.late;
} else {
    seen.repeats += 1;
}
// Boots whose last record is long past say nothing more of today.
const names = Object.keys(seen.boots);
if (names.length > 16) delete seen.boots[names[0]];
flow.set('rooms', rooms);
if (!isNew) return null;

// One point is named by its tags and its time. `seq` in the nanoseconds of `start` makes (device, boot, seq) that name: a repeat
// overwrites its point with the same values, and two records with the same `start` (after a step of the clock) are two points.
const time = BigInt(Date.parse(record.start)) * 1000000n + BigInt(record.seq % 1e9);
const fields = [...INTEGERS.map((name) => `${name}=${record[name]}i`), ...FLAGS.map((name) => `${name}=${record[name]}`)];
const tags = `site=${site},building=${building},room=${room},device=${device},boot=${record.boot}`;
msg.payload = `lectern_minute,${tags} ${fields.join(',')} ${time}`;
return msg;
