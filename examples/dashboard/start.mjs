#!/usr/bin/env node
// Starts a broker, a store, a dashboard and simulated rooms on the loopback, and prints where the page is:
//
//   node examples/dashboard/start.mjs [OPTION VALUE]…
//
//   --rooms N        simulated rooms (20; 0: none, for devices of your own)
//   --folder F       what is installed and stored goes there (~/.cache/lectern-dashboard)
//   --history H      hours of minutes that the simulated rooms deliver at the start, as after an outage (30)
//   --window S       seconds of a simulated window (60)
//   --root R         mqtt.root of the devices (lectern/v1)
//   --mqtt-port P    (18830)    --store-port P (18086)    --page-port P (18800)
//   --ledger FILE    the simulated rooms write down there each minute that they publish
//   --print-flow     prints the flow as Node-RED imports it, and ends
//
// mosquitto and influxd must be installed; Node-RED and its dashboard come from npm into the folder. What ends by itself is
// started again. Ctrl-C ends all; what was stored stays in the folder.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const PACKAGES = ['node-red@4.1.15', '@flowfuse/node-red-dashboard@1.31.0'];

function options(given) {
    const found = {
        rooms: 20, folder: join(homedir(), '.cache', 'lectern-dashboard'), history: 30, window: 60, root: 'lectern/v1',
        'mqtt-port': 18830, 'store-port': 18086, 'page-port': 18800, ledger: '', 'print-flow': false,
    };
    for (let i = 0; i < given.length; i += 1) {
        const name = given[i].replace(/^--/, '');
        if (!(name in found)) fail(`${given[i]} is no option; they stand at the top of ${fileURLToPath(import.meta.url)}`, 2);
        if (typeof found[name] === 'boolean') { found[name] = true; continue; }
        const value = given[(i += 1)];
        if (value === undefined || (typeof found[name] === 'number' && !(Number(value) >= 0))) fail(`--${name} needs a value`, 2);
        found[name] = typeof found[name] === 'number' ? Number(value) : value;
    }
    return found;
}

function fail(words, code = 1) {
    console.error(words);
    process.exit(code);
}

// The flow with its functions and its page, which lie in files of their own.
function flow(settings) {
    const nodes = JSON.parse(readFileSync(join(here, 'flow', 'nodes.json'), 'utf8'));
    for (const node of nodes) {
        for (const [key, value] of Object.entries(node)) {
            if (value && value.file) node[key] = readFileSync(join(here, 'flow', value.file), 'utf8');
        }
        if (node.type === 'mqtt-broker') node.port = String(settings['mqtt-port']);
        if (node.type === 'mqtt in') node.topic = node.topic.replace('lectern/v1', settings.root);
        if (node.url) node.url = node.url.replace('18086', settings['store-port']);
    }
    return JSON.stringify(nodes, null, 1);
}

const settings = options(process.argv.slice(2));
if (settings['print-flow']) {
    process.stdout.write(flow(settings) + '\n');
    process.exit();
}

process.env.PATH += ':/usr/sbin:/sbin';
for (const [program, name] of [['mosquitto', 'mosquitto'], ['influxd', 'influxdb'], ['npm', 'npm']]) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) fail(`${program} is not here: sudo apt-get install ${name}`);
}
const folder = resolve(settings.folder);
const part = (name) => {
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
    return join(folder, name);
};

// From npm, once.
const page = part('node-red');
if (!PACKAGES.every((name) => existsSync(join(page, 'node_modules', name.slice(0, name.lastIndexOf('@')), 'package.json')))) {
    console.log(`installing ${PACKAGES.join(' and ')} into ${page} …`);
    writeFileSync(join(page, 'package.json'), '{"private":true}\n');
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...PACKAGES], { cwd: page, stdio: ['ignore', 'ignore', 'inherit'] });
}

const [broker, store] = [part('mosquitto'), part('influxdb')];
// Sessions outlive a restart, also one by a crash: what came while the dashboard was away is kept.
writeFileSync(join(broker, 'mosquitto.conf'), `listener ${settings['mqtt-port']} 127.0.0.1
allow_anonymous true
persistence true
persistence_location ${broker}/
autosave_interval 10
max_queued_messages 100000
${process.getuid() === 0 ? 'user root\n' : ''}`);
writeFileSync(join(store, 'influxdb.conf'), `reporting-disabled = true
bind-address = "127.0.0.1:${settings['store-port'] + 2}"
[meta]
  dir = "${store}/meta"
[data]
  dir = "${store}/data"
  wal-dir = "${store}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:${settings['store-port']}"
  log-enabled = false
[monitor]
  store-enabled = false
`);
writeFileSync(join(page, 'flows.json'), flow(settings));
writeFileSync(join(page, 'settings.js'), `module.exports = {
    uiHost: '127.0.0.1', uiPort: ${settings['page-port']}, flowFile: 'flows.json', userDir: ${JSON.stringify(page)},
    // Without it the editor is open to everybody on this machine; the page is under /dashboard.
    httpAdminRoot: false,
    // What waits for the store, and which records came, outlives a restart.
    contextStorage: { default: { module: 'localfilesystem', config: { flushInterval: 5 } } },
    credentialSecret: false, editorTheme: { projects: { enabled: false } },
    logging: { console: { level: 'warn' } }, telemetry: { enabled: false },
};
`);

const children = new Map();
let ending = false;
function keep(name, program, parameters, log) {
    const child = spawn(program, parameters, { stdio: ['ignore', log ? 'inherit' : 'ignore', log ? 'inherit' : 'ignore'] });
    children.set(name, child);
    writeFileSync(join(folder, 'processes.json'), JSON.stringify(Object.fromEntries([...children].map(([which, { pid }]) => [which, pid]))));
    child.on('exit', async (code, signal) => {
        if (ending) return;
        console.log(`${name} has ended (${signal || code}); it is started again`);
        await sleep(1500);
        if (!ending) keep(name, program, parameters, log);
    });
    child.on('error', (error) => fail(`${name}: ${error.message}`));
}

async function end() {
    if (ending) return;
    ending = true;
    const alive = [...children.values()].filter((child) => child.exitCode === null && child.signalCode === null);
    const ended = alive.map((child) => new Promise((done) => child.once('exit', done)));
    alive.forEach((child) => child.kill('SIGTERM'));
    await Promise.race([Promise.all(ended), sleep(15000)]);
    alive.forEach((child) => child.kill('SIGKILL'));
    process.exit();
}
process.on('SIGINT', end);
process.on('SIGTERM', end);

async function answers(url, name) {
    for (let tries = 0; tries < 240; tries += 1) {
        const good = await fetch(url, { redirect: 'manual' }).then((answer) => answer.status < 400, () => false);
        if (good) return;
        await sleep(500);
    }
    console.error(`${name} does not answer on ${url}`);
    await end();
}

keep('mosquitto', 'mosquitto', ['-c', join(broker, 'mosquitto.conf')], false);
keep('influxd', 'influxd', ['-config', join(store, 'influxdb.conf')], false);
await answers(`http://127.0.0.1:${settings['store-port']}/ping`, 'influxd');
keep('node-red', process.execPath, [join(page, 'node_modules', 'node-red', 'red.js'), '--settings', join(page, 'settings.js')], true);
const url = `http://127.0.0.1:${settings['page-port']}/dashboard/rooms`;
await answers(url, 'node-red');
if (settings.rooms > 0) {
    const parameters = ['rooms', 'history', 'window', 'root', 'mqtt-port', 'ledger', 'folder'].flatMap((name) => [`--${name}`, String(settings[name])]);
    keep('rooms', process.execPath, [join(here, 'rooms.mjs'), ...parameters], true);
}
console.log(`open ${url}\nCtrl-C ends it`);
