// A page asks for one room's minutes between two times (milliseconds). Only what can be a place goes into the query.
const { place, from, to } = msg.payload || {};
const levels = String(place).split('/');
const good = levels.length === 4 && levels.every((level) => /^[A-Za-z0-9._-]{1,64}$/.test(level)) &&
    Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to && to - from <= 32 * 86400000;
if (msg.topic !== 'room' || !good) return null;
const [site, building, room, device] = levels;
const query = `SELECT * FROM lectern_minute WHERE site='${site}' AND building='${building}' AND room='${room}' AND device='${device}' AND time >= ${from}ms AND time < ${to}ms`;
msg.asked = { place, from, to };
msg.payload = `db=lectern&epoch=ms&q=${encodeURIComponent(query)}`;
return msg;
