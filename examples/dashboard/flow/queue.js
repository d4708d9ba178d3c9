// Lines wait here until InfluxDB has taken them: one request at a time, the oldest first, tried again until it succeeds.
// A message with a topic is a line; one with a status code is InfluxDB's answer; any other is the clock.
const queue = flow.get('queue') || [];
const now = Date.now();
// Ten million minutes would be too many for the memory of a small machine.
const MOST = 500000;

if (msg.statusCode !== undefined) {
    const sent = context.get('sent') || 0;
    if (msg.statusCode === 204) {
        queue.splice(0, sent);
        context.set('wait', 0);
    } else if (msg.statusCode === 400) {
        // It refuses these lines for ever; what it could take of them it has taken.
        node.error(`InfluxDB refuses lines: ${JSON.stringify(msg.payload).slice(0, 300)}`);
        queue.splice(0, sent);
        flow.set('refused', (flow.get('refused') || 0) + 1);
    } else {
        // Away, or its database is not there yet: make it, and try again.
        context.set('wait', now + 2000);
        if (msg.statusCode === 404) node.send([null, { payload: 'q=CREATE DATABASE lectern' }]);
    }
    context.set('sent', 0);
    flow.set('store', msg.statusCode === 204);
} else if (msg.topic) {
    queue.push(msg.payload);
    if (queue.length > MOST) { queue.shift(); flow.set('refused', (flow.get('refused') || 0) + 1); }
}
flow.set('queue', queue);

const asked = context.get('asked') || 0;
const busy = (context.get('sent') || 0) > 0 && now - asked < 30000;
// Lines that come one by one go together.
const due = msg.topic ? queue.length >= 1000 : true;
if (busy || !due || queue.length === 0 || now < (context.get('wait') || 0)) return null;
const lines = queue.slice(0, 2000);
context.set('sent', lines.length);
context.set('asked', now);
return [{ payload: lines.join('\n') }, null];
