// From a room's minutes to what the page draws: sums in bins, and what is to be noticed. Counts are added first and divided last.
const KINDS = ['neutral', ...['surprise', 'fear', 'disgust', 'happy', 'sad', 'angry'].flatMap((e) => [`${e}_weak`, `${e}_strong`])];
const { place, from, to } = msg.asked;
const room = (flow.get('rooms') || {})[place];
const series = msg.payload && msg.payload.results && msg.payload.results[0] && msg.payload.results[0].series;
const columns = series ? series[0].columns : [];
const at = Object.fromEntries(columns.map((name, i) => [name, i]));
const rows = series ? series[0].values : [];

// At most 340 bins, so 5 minutes of a day and 30 of a week; shorter ones where the windows themselves are.
const shortest = rows.length ? Math.max(1, Math.min(...rows.slice(0, 50).map((row) => row[at.seconds]).filter((s) => s > 0))) : 60;
const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 240].find((step) => (to - from) / (60000 * step) <= 340 && 60 * step >= shortest) || 360;
const width = shortest >= 60 ? 60000 * minutes : 1000 * Math.max(shortest, 5);
const bins = new Map();
const boots = new Map();
let late = 0, partial = 0, unsynced = 0;
const sums = {};
for (const row of rows) {
    const get = (name) => row[at[name]];
    const begin = Math.floor(get('time') / width) * width;
    let bin = bins.get(begin);
    if (!bin) bins.set(begin, bin = { t: begin, records: 0, frames: 0, expected: 0, no_face: 0, uncertain: 0, kinds: KINDS.map(() => 0), late: 0 });
    bin.records += 1;
    bin.frames += get('frames'); bin.expected += get('frames_expected');
    bin.no_face += get('no_face'); bin.uncertain += get('uncertain');
    KINDS.forEach((kind, i) => { bin.kinds[i] += get(kind); });
    for (const name of ['seconds', 'frames', 'frames_expected', 'no_face', 'uncertain', 'faces', ...KINDS]) sums[name] = (sums[name] || 0) + get(name);
    if (get('replayed')) { late += 1; bin.late += 1; }
    if (get('partial')) partial += 1;
    if (!get('clock_synced')) unsynced += 1;
    if (!boots.has(get('boot'))) boots.set(get('boot'), []);
    boots.get(get('boot')).push([get('seq'), get('time')]);
}
const gaps = [], restarts = [];
for (const [boot, seqs] of boots) {
    seqs.sort((a, b) => a[0] - b[0]);
    // The first boot of the stretch may have begun before it.
    if (seqs[0][0] === 0 && (boots.size > 1 || seqs[0][1] > from)) restarts.push({ t: seqs[0][1], boot });
    else if (boots.size > 1 && seqs[0][1] > Math.min(...rows.map((row) => row[at.time]))) restarts.push({ t: seqs[0][1], boot });
    for (let i = 1; i < seqs.length; i += 1) {
        const missing = seqs[i][0] - seqs[i - 1][0] - 1;
        if (missing > 0) gaps.push({ t: seqs[i - 1][1], until: seqs[i][1], missing, from: seqs[i - 1][0] + 1, to: seqs[i][0] - 1 });
    }
}
restarts.sort((a, b) => a.t - b.t);
msg.topic = 'room';
msg.payload = {
    place, from, to, width, kinds: KINDS, bins: [...bins.values()].sort((a, b) => a.t - b.t), sums, records: rows.length,
    late, partial, unsynced, gaps, restarts, repeats: room ? room.repeats : 0,
    failed: msg.statusCode === 200 ? null : 'the store does not answer',
};
delete msg.asked;
return msg;
