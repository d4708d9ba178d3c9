// What the page shows of all rooms: where they are and whether they are watched. No expression: rooms are not compared by what was seen.
const rooms = flow.get('rooms') || {};
const now = Date.now();
const missingIn = (ranges) => ranges.slice(1).reduce((sum, range, i) => sum + range[0] - ranges[i][1] - 1, 0);

const DAY = 86400000;

const list = Object.values(rooms).map(({ place, status, last, boots, repeats, late, gap, lost }) => {
    const [site, building, room, device] = place.split('/');
    const seconds = last ? last.seconds || 60 : 60;
    // Three windows and a little: a device that watches and sends nothing.
    const silent = !last || now - last.end > 3000 * Math.max(seconds, 5) + 5000;
    const state = !status ? 'unknown' : status.state === 'watching' && silent ? 'late' : status.state;
    const names = Object.keys(boots);
    // `seq` begins with 0, so that the first numbers may be missing, too; but this page may be younger than the boot.
    const missing = names.reduce((sum, boot) => sum + missingIn(boots[boot].ranges), 0);
    const current = last && boots[last.boot];
    const watched = last && last.frames_expected > 0 ? last.frames / last.frames_expected : 1;
    // What somebody should see to: the room is not watched, or minutes were lost of late.
    const problem = !['watching', 'starting', 'stopping'].includes(state) || (missing > 0 && now - (gap || 0) < DAY) || now - (lost || 0) < DAY ||
        Boolean(status && status.unreadable);
    // What may become one.
    const attention = state !== 'watching' || missing > 0 || watched < 0.5 ||
        Boolean(status && (status.spooled || status.dropped || status.spool === 'memory')) || Boolean(last && !last.clock_synced);
    return {
        place, site, building, room, device, state, level: problem ? 'problem' : attention ? 'attention' : 'ok',
        since: status && status.since, version: status && status.version,
        last: last && { start: last.start, end: last.end, frames: last.frames, expected: last.frames_expected, no_face: last.no_face },
        waiting: status ? status.spooled : 0, dropped: status ? status.dropped : 0, unreadable: status ? status.unreadable : 0,
        memory: Boolean(status) && status.spool === 'memory',
        unsynced: Boolean(last) && !last.clock_synced,
        missing, repeats,
        boots: names.length, booted: current && names.length > 1 ? current.since : null,
        arriving: Boolean(late) && now - late.arrived < 60000,
    };
});
// By place, always in the same order.
list.sort((a, b) => a.place.localeCompare(b.place, 'en', { numeric: true }));
msg.topic = 'overview';
msg.payload = { rooms: list, now, waiting: (flow.get('queue') || []).length, store: flow.get('store') !== false, refused: flow.get('refused') || 0 };
return msg;
