// Validates an AsyncAPI document: asyncapi.mjs FOLDER-WITH-THE-PARSER FILE. Exit code 1 if anything is wrong with it.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [folder, file] = process.argv.slice(2);
const { Parser, fromFile } = createRequire(resolve(folder, 'package.json'))('@asyncapi/parser');
const { document, diagnostics } = await fromFile(new Parser(), file).parse();
// 0 is an error, 1 a warning; below are hints, such as that there is a newer version.
const wrong = diagnostics.filter(({ severity }) => severity <= 1);
for (const { code, path, message } of wrong) console.log(`${file}: ${path.join('.')}: ${message} (${code})`);
if (!document || wrong.length > 0) process.exit(1);
const channels = document.channels().all();
console.log(`${file}: ${channels.length} channels, ${document.allMessages().all().length} messages, valid`);
