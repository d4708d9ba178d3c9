#!/usr/bin/env node
// Takes pictures of the dashboard with headless Chromium, for whoever changes the page and wants to look at it:
//
//   node examples/dashboard/pictures.mjs OUT [PAGE-PORT [FOLDER]]
//
// Writes OUT/overview-wide.png, -narrow.png, the same of the rooms with a problem alone, and OUT/room-DEVICE-wide.png, -narrow.png of the
// first room's day, its week and its last lecture, and prints the page's errors. Exit code 1 if a picture lacks what it should show.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [out, port = '18800', folder = join(homedir(), '.cache', 'lectern-dashboard'), ...wanted] = process.argv.slice(2);
if (!out) { console.error('pictures.mjs OUT [PAGE-PORT [FOLDER]]'); process.exit(2); }
const WebSocket = createRequire(join(folder, 'node-red', 'package.json'))('ws');
mkdirSync(out, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), 'lectern-pictures-'));
const sandbox = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = spawn('chromium', ['--headless', '--disable-gpu', '--hide-scrollbars', ...sandbox, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
let failed = false;

try {
    const address = await new Promise((found, lost) => {
        let said = '';
        browser.stderr.on('data', (bytes) => { said += bytes; const at = /ws:\/\/\S+/.exec(said); if (at) found(at[0]); });
        browser.on('exit', () => lost(new Error(`chromium has ended: ${said.slice(-400)}`)));
        browser.on('error', lost);
    });
    const pages = await (await fetch(`http://${new URL(address).host}/json/list`)).json();
    const socket = new WebSocket(pages.find((page) => page.type === 'page').webSocketDebuggerUrl);
    await new Promise((open) => socket.on('open', open));
    const waiting = new Map();
    socket.on('message', (text) => {
        const message = JSON.parse(text);
        if (message.id) waiting.get(message.id)(message.result || message.error);
        if (message.method === 'Runtime.exceptionThrown') { failed = true; console.log('page:', message.params.exceptionDetails.exception?.description || message.params.exceptionDetails.text); }
        if (message.method === 'Runtime.consoleAPICalled' && message.params.type === 'error') console.log('page:', message.params.args.map((arg) => arg.value || arg.description).join(' ').slice(0, 400));
    });
    let id = 0;
    const call = (method, params = {}) => new Promise((done) => { id += 1; waiting.set(id, done); socket.send(JSON.stringify({ id, method, params })); });
    const evaluate = async (expression) => (await call('Runtime.evaluate', { expression, returnByValue: true })).result.value;
    await call('Runtime.enable');
    await call('Page.enable');

    const picture = async (name, width, hash, selector, then = '') => {
        await call('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: false });
        await call('Page.navigate', { url: 'about:blank' });
        await call('Page.navigate', { url: `http://127.0.0.1:${port}/dashboard/rooms#${hash}` });
        let there = false;
        for (let tries = 0; tries < 300 && !there; tries += 1) { await sleep(200); there = await evaluate(`document.querySelector(${JSON.stringify(selector)}) !== null`); }
        if (!there) { failed = true; console.log(`${name}: ${selector} does not come`); }
        if (then) await evaluate(then);
        await sleep(700);
        const height = Math.min(4000, await evaluate('Math.max(document.body.scrollHeight, document.querySelector(".lectern")?.getBoundingClientRect().bottom + 30 || 0)'));
        await call('Emulation.setDeviceMetricsOverride', { width, height: Math.ceil(height), deviceScaleFactor: 1, mobile: false });
        await sleep(400);
        const wider = await evaluate('document.documentElement.scrollWidth - window.innerWidth');
        if (wider > 0) { failed = true; console.log(`${name}: ${wider} pixels wider than the window`); }
        const { data } = await call('Page.captureScreenshot', { format: 'png' });
        writeFileSync(join(out, `${name}.png`), Buffer.from(data, 'base64'));
        console.log(join(out, `${name}.png`));
    };

    const empty = wanted[0] === 'empty';
    await picture('overview-wide', 1280, '', empty ? '.lectern .empty' : '.lectern .room');
    await picture('overview-narrow', 390, '', empty ? '.lectern .empty' : '.lectern .room');
    if (!empty) await picture('problems-wide', 1280, '', '.lectern .room', 'document.querySelector(".lectern .chip.problem")?.click()');
    const first = await evaluate('document.querySelector(".lectern .room")?.click(), location.hash.slice(1)');
    const hashes = wanted.length && !empty ? wanted : ['', '@0@week', '@0@lecture'].map((range) => first + range);
    for (const hash of hashes.filter(Boolean)) {
        const name = `room-${hash.split('/')[3].replaceAll('@', '-')}`;
        await picture(`${name}-wide`, 1280, hash, '.lectern figure, .lectern .empty:not(.asking)', '');
        await picture(`${name}-narrow`, 390, hash, '.lectern figure, .lectern .empty:not(.asking)', '');
    }
    socket.close();
} finally {
    browser.kill();
    await sleep(500);
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
}
process.exit(failed ? 1 : 0);
