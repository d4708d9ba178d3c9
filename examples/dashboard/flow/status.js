// Keeps the last status of each device. It is retained, so that it comes again after a restart.
const [site, building, room, device] = msg.topic.split('/').slice(-5);
let status;
try { status = JSON.parse(msg.payload); } catch { status = {}; }
// An empty one is a retained status that somebody took back; the test message of `lectern check` has no state.
if (!status.state) return null;
const rooms = flow.get('rooms') || {};
const place = [site, building, room, device].join('/');
const seen = (rooms[place] ||= { place, boots: {}, repeats: 0 });
// When records were last dropped on the device.
if (seen.status && status.dropped > seen.status.dropped) seen.lost = Date.now();
seen.status = status;
flow.set('rooms', rooms);
return null;
