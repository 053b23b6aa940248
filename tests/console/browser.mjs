// The console in a browser, against three node processes: node browser.mjs OVIR OVIR_VERIFY FOLDER
// Streams an answer, kills a node in the middle of it, sees the kill and the recovery in the page,
// verifies a receipt and finds a changed one; looks at every view in both schemes. Screenshots go to
// FOLDER, or to docs/console with OVIR_SCREENSHOTS=1.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import puppeteer from 'puppeteer-core';
import { faintTexts, unnamedControls } from './pages.mjs';

const [ovir, , folder] = process.argv.slice(2);
const shots = process.env.OVIR_SCREENSHOTS ? 'docs/console' : `${folder}/console`;
mkdirSync(shots, { recursive: true });
const patience = 120_000; // a bound, not an expectation
const children = new Map();
let browser = null;

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});
const until = async (what, act) => {
  for (const end = Date.now() + patience; Date.now() < end;) {
    const value = await act().catch(() => false);
    if (value) { return value; }
    await new Promise((done) => { setTimeout(done, 50); });
  }
  throw new Error(`waited in vain until ${what}`);
};
const ports = await Promise.all(Array.from({ length: 7 }, freePort));
const local = (i) => `127.0.0.1:${ports[i]}`;
const origin = `http://${local(0)}`;
const at = (name, file) => `${folder}/${name}/${file}`;
const shell = (line) => JSON.parse(execFileSync(ovir, ['shell', '--key', at('operator', 'admin.key'), '--connect', local(2), '-e', line, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] }));

/// The reference kernels are slow, so that there is time to kill somebody.
const start = (name) => {
  const child = spawn(ovir, ['node', '-c', at(name, 'node.toml')], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, OVIR_ISA: 'reference' } });
  child.stderr.on('data', (text) => appendFileSync(`${folder}/${name}.log`, text));
  children.set(name, child);
};
const make = (name, listen, shells, layers, more) => {
  execFileSync(ovir, ['init', '--folder', `${folder}/${name}`, '--name', name, '--cluster', 'wood', '--listen', local(listen), '--shells', local(shells), '--admin-key', at('operator', 'admin.key'), ...more], { stdio: 'pipe' });
  const config = at(name, 'node.toml');
  writeFileSync(config, readFileSync(config, 'utf8').replace('path = "embedded"', `path = "embedded"\nlayers = "${layers}"`) + '\n[cache]\nmemory_mib = 64\n\n[limits]\nthreads = 1\n');
};

try {
  make('fox', 1, 2, '0-1', ['--http', local(0)]);
  make('hare', 3, 4, '1-3', ['--http', '', '--join', local(1)]);
  make('owl', 5, 6, '1-3', ['--http', '', '--join', local(1)]);
  ['fox', 'hare', 'owl'].forEach(start);
  await until('three nodes are members', async () => (await (await fetch(`${origin}/v1/cluster/nodes`)).json()).nodes.filter((n) => n.health === 'alive').length === 3);
  await until('the model is complete', async () => (await fetch(`${origin}/ready`)).ok);

  browser = await puppeteer.launch({
    executablePath: process.env.OVIR_CHROMIUM ?? '/usr/bin/chromium', headless: true, userDataDir: `${folder}/profile`, timeout: patience,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  await page.setViewport({ width: 1280, height: 900 });
  const asked = [];
  const complaints = [];
  page.on('request', (request) => asked.push(request.url()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && !message.text().includes('404') && complaints.push(message.text()));
  const text = (id) => page.$eval(`#${id}`, (e) => e.textContent);
  const contains = (id, what) => until(`${id} says ${what}`, async () => what.test(await text(id)));
  const judge = async (view) => {
    assert.deepEqual(await page.evaluate(unnamedControls), [], `controls without a name in ${view}`);
    for (const scheme of ['dark', 'light']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
      const { faint, seen } = await page.evaluate(faintTexts);
      assert.deepEqual(faint, [], `contrast in ${view}, ${scheme}`);
      assert.ok(seen > 10, `${view} has hardly any text`);
      await page.screenshot({ path: `${shots}/${view}-${scheme}.png` });
    }
    console.log(`ok ${view}`);
  };

  // The page, by keyboard alone.
  const reply = await page.goto(`${origin}/console`);
  assert.match(reply.headers()['content-security-policy'], /default-src 'none'/);
  await contains('link', /live/);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  for (let i = 0; i < 20 && (await page.evaluate(() => document.activeElement.hash)) !== '#playground'; ++i) { await page.keyboard.press('Tab'); }
  await page.keyboard.press('Enter');
  await page.waitForSelector('#playground:not([hidden])');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.waitForSelector('#model option');

  // An answer, and a node on its path killed in the middle.
  await page.$eval('#tokens', (e) => { e.value = 200; });
  await page.focus('#ask-button');
  await page.keyboard.press('Enter');
  await until('there are tokens of a known path', () => page.evaluate(() => document.querySelectorAll('#answer .path0').length > 20));
  const { jobs: [job] } = await (await fetch(`${origin}/v1/cluster/jobs`)).json();
  const victim = job.path.at(-1).name;
  assert.notEqual(victim, 'fox');
  children.get(victim).kill('SIGKILL');
  await until('another path goes on', () => page.evaluate(() => document.querySelectorAll('#answer .path1').length > 5));
  await contains('answer-state', /^200 tokens in/);
  const answer = await text('answer');
  assert.match(answer, /^Once upon a time/);
  assert.ok(await page.evaluate(() => [...document.querySelectorAll('#answer span:not(.asked)')].every((s) => s.className !== '')), 'a token without a path');
  assert.match(await text('legend'), new RegExp(victim));
  const told = await page.$$eval('#answer-facts dd', (list) => list.map((e) => e.textContent));
  const alone = JSON.parse(execFileSync(ovir, ['run', '-p', 'Once upon a time', '-n', '200', '--no-cache', '--json'], { env: { ...process.env, OVIR_HOME: `${folder}/home` }, stdio: ['ignore', 'pipe', 'pipe'] }));
  assert.equal(told[1], alone.transcript);
  assert.equal(answer, `Once upon a time${alone.text}`);
  await page.click('#verify');
  await contains('answer-verdict', /^It holds:.*members of this cluster alone/);
  assert.ok((await page.$$('#answer-stages tr')).length > 1);
  // What the node finds: the chain of stages in order, and what none of others computed again.
  await contains('answer-audited', /^This node says: It holds/);
  const chain = await page.$$eval('#answer-chain li', (list) => list.map((e) => e.textContent));
  assert.ok(chain.length > 1 && chain[0].startsWith('foxlayers 0'), `the chain is ${chain}`);
  assert.match(await text('answer-checked'), /Driven byfox/);
  assert.match(await text('answer-checked'), /Unaudited(nothing|layers)/);
  await judge('playground');

  // The same again: nobody computes what is kept.
  await page.click('#ask-button');
  await contains('answer-state', /^200 tokens in/);
  await until('cache hits are marked', () => page.evaluate(() => document.querySelectorAll('#answer .kept').length === 200));
  assert.equal(await text('answer'), answer);
  await page.click('#verify');
  await contains('answer-verdict', /^It holds:/);

  // A batch: begun by a file, followed to its end, its answers told as a program gets them.
  const line = (name, more) => JSON.stringify({ custom_id: name, method: 'POST', url: '/v1/completions', body: { model: 'embedded', prompt: 'Once upon a time', max_tokens: 8, temperature: 0, ...more } });
  writeFileSync(`${folder}/in.jsonl`, [line('a', {}), line('b', { model: 'none' }), line('c', { max_tokens: 9 })].join('\n'));
  await page.click('a[href="#batches"]');
  await (await page.$('#batch-file')).uploadFile(`${folder}/in.jsonl`);
  await page.select('#batch-endpoint', '/v1/completions');
  await page.click('#batch-form button');
  await contains('batches-state', /A batch of in\.jsonl: done/);
  await contains('batch-rows', /completed.*2 answered, 1 failed, of 3/);
  await contains('file-rows', /^(?=.*in\.jsonl)(?=.*batch_output)/s); // in one second in any order
  const { data: [made] } = await (await fetch(`${origin}/v1/batches`)).json();
  const outputs = (await (await fetch(`${origin}/v1/files/${made.output_file_id}/content`)).text()).trim().split('\n').map((one) => JSON.parse(one));
  assert.ok(answer.startsWith(`Once upon a time${outputs.find((one) => one.custom_id === 'a').response.body.choices[0].text}`));
  await judge('batches');
  await page.click('button[aria-label="Delete in.jsonl"]');
  await contains('batches-state', /Delete in\.jsonl: done/);
  await until('the file is gone', async () => !(await (await fetch(`${origin}/v1/files`)).json()).data.some((one) => one.filename === 'in.jsonl'));

  // The kill and its recovery as the cluster's view told them, and the node's return.
  await page.click('a[href="#cluster"]');
  await contains('events', new RegExp(`${victim} was alive, is (suspect|dead)|${victim} is gone`));
  await contains('events', /goes on over/);
  start(victim);
  await contains('events', new RegExp(`${victim} (was started again|joined|was dead, is alive|was suspect, is alive)`));
  await until('its delay is measured', async () => new RegExp(`${victim} [\\d.]+ ms`).test(await text('links-text')));
  assert.match(await text('tree'), /membership/);
  await judge('cluster');

  // Receipts: what members signed, with a bit changed, and of strangers.
  const receipt = `${folder}/members.receipt`;
  shell(`run -n 40 --receipt ${receipt} "Once upon a time there was a hare"`);
  execFileSync(ovir, ['run', '-p', 'Once upon a time', '-n', '8', '--no-cache', '--receipt', `${folder}/stranger.receipt`], { env: { ...process.env, OVIR_HOME: `${folder}/home` }, stdio: 'pipe' });
  const changed = readFileSync(receipt);
  changed[changed.length - 40] ^= 1; // in a signature
  writeFileSync(`${folder}/changed.receipt`, changed);
  await page.click('a[href="#receipts"]');
  const chooser = await page.$('#receipt-file');
  await chooser.uploadFile(`${folder}/changed.receipt`);
  await contains('verdict', /Wrong|belong/);
  await page.screenshot({ path: `${shots}/receipts-changed.png` });
  await chooser.uploadFile(`${folder}/stranger.receipt`);
  await contains('verdict', /holds against itself.*none of the members/);
  await chooser.uploadFile(receipt);
  await contains('verdict', /^It holds:.*members of this cluster alone/);
  await judge('receipts');

  // The other views.
  await page.click('a[href="#ledger"]');
  await contains('ledger-state', /No ledger|Amounts/);
  await judge('ledger');
  await page.click('a[href="#plan"]');
  await contains('plan-state', /Planned/);
  assert.ok((await text('why')).length > 20);
  await judge('plan');
  await page.click('a[href="#history"]');
  await contains('charts', /tokens\/s, at most \d+\.\d in the last \d+ s/);
  await judge('history');

  // Nothing of it came from elsewhere, and nothing was refused by its own policy.
  assert.deepEqual(asked.filter((url) => !url.startsWith(`${origin}/`)), []);
  assert.deepEqual(complaints, []);
  // A page of another origin, and a name that somebody made lead here, see nothing.
  for (const [field, value] of [['Origin', 'http://evil.example'], ['Host', 'evil.example:80']]) {
    const seen = execFileSync('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', `${field}: ${value}`, `${origin}/v1/cluster/nodes`]).toString();
    assert.equal(seen, '403', `${field}: ${value}`);
  }
  console.log(`ok: ${asked.length} requests, all of them to this node`);
} catch (error) {
  for (const name of children.keys()) { console.error(`--- ${name}\n${existsSync(`${folder}/${name}.log`) ? readFileSync(`${folder}/${name}.log`, 'utf8').slice(-2000) : ''}`); }
  throw error;
} finally {
  await browser?.close();
  children.forEach((child) => child.kill('SIGKILL'));
}
