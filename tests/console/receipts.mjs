// The console's receipt check against `ovir-verify`: node receipts.mjs OVIR OVIR_VERIFY FOLDER
// Both must say the same of a receipt, and of the same receipt with one bit changed, wherever that
// bit is. OVIR_SEED replays a choice of bits.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { checkReceipt, choicesFault } from '../../gateway/console/page/receipt_check.mjs';
import { readReceipt } from '../../gateway/console/page/receipt.mjs';
import { ed25519 } from '../../gateway/console/page/noble.mjs';

const [ovir, verifier, folder] = process.argv.slice(2);
const file = `${folder}/story.receipt`;
const environment = { ...process.env, OVIR_HOME: `${folder}/home` };
const changes = 160;

execFileSync(ovir, ['run', '-p', 'Once upon a time there was a little fox who wanted to see the sea', '-n', '40', '--stages', '3', '--no-cache', '--receipt', file], { env: environment, stdio: 'pipe' });
const good = new Uint8Array(readFileSync(file));

const here = (bytes) => {
  try { return checkReceipt(bytes).fault === null; } catch (error) {
    assert.equal(error.constructor.name, 'Malformed', error.stack);
    return false;
  }
};
const there = (bytes) => {
  writeFileSync(`${folder}/changed.receipt`, bytes);
  return spawnSync(verifier, [`${folder}/changed.receipt`, '--any-signer']).status === 0;
};

const whole = checkReceipt(good);
assert.equal(whole.fault, null, JSON.stringify(whole.fault));
assert.equal(whole.stages.length, 3);
assert.ok(there(good));

let state = BigInt(process.env.OVIR_SEED ?? 20251121);
console.log(`seed ${state}`);
const below = (most) => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(most));
};
for (let i = 0; i < changes; ++i) {
  const changed = good.slice();
  const at = below(changed.length);
  changed[at] ^= 1 << below(8);
  assert.equal(here(changed), false, `byte ${at} changed, and the page accepts it`);
  if (i % 16 === 0) { assert.equal(there(changed), false, `byte ${at} changed, and ovir-verify accepts it`); }
}
for (const wrong of [good.slice(0, -8), Uint8Array.of(...good, 0, 0, 0, 0, 0, 0, 0, 0), new Uint8Array(24), new Uint8Array()]) {
  assert.equal(here(wrong), false);
}

// Of a request with penalties, biases and a least length: each bit of what says so.
execFileSync(ovir, ['run', '-p', 'Once upon a time', '-n', '12', '--no-cache', '--presence-penalty', '0.5', '--frequency-penalty', '-0.25', '--min-tokens', '9', '--logit-bias', '31=4.5', '--logit-bias', '7=-100', '--receipt', file], { env: environment, stdio: 'pipe' });
const ruled = new Uint8Array(readFileSync(file));
assert.ok(here(ruled), JSON.stringify(checkReceipt(ruled).fault));
assert.ok(there(ruled));
const { further } = readReceipt(ruled).asked;
assert.equal(further.length, 5);
const rulesAt = Buffer.from(ruled).indexOf(Buffer.from(new BigUint64Array(further).buffer));
assert.ok(rulesAt > 0);
for (let bit = 0; bit < 64 * 5; ++bit) {
  const changed = ruled.slice();
  changed[rulesAt + (bit >> 3)] ^= 1 << (bit & 7);
  assert.equal(here(changed), false, `bit ${bit} of the further numbers changed, and the page accepts it`);
  if (bit % 40 === 0) { assert.equal(there(changed), false, `bit ${bit} changed, and ovir-verify accepts it`); }
}

// A unit that another computed: a receipt that cites one, and each bit of the citation.
const cited = new Uint8Array(readFileSync(new URL('../fuzz/corpus/receipt/cited', import.meta.url)));
assert.ok(here(cited), JSON.stringify(checkReceipt(cited).fault));
const [word] = readReceipt(cited).stages[0].statements[0].cited;
const citedAt = Buffer.from(cited).indexOf(Buffer.from(word.author)) - 4;
for (let bit = 0; bit < 8 * 132; bit += 3) {
  const changed = cited.slice();
  changed[citedAt + (bit >> 3)] ^= 1 << (bit & 7);
  assert.equal(here(changed), false, `bit ${bit} of a citation changed, and the page accepts it`);
}

// Signatures that mean nothing by themselves: another key signs the same bytes.
const forger = ed25519.utils.randomSecretKey();
const r = readReceipt(good);
const swapped = good.slice();
const place = Buffer.from(good).indexOf(Buffer.from(r.lead.node));
swapped.set(ed25519.getPublicKey(forger), place);
assert.equal(here(swapped), false);

// A lead that tells another token than its last stage signed, or asks for choices where tokens are drawn.
const first = r.asked.prompt.length - 1;
const told = (change) => { const other = structuredClone(r); change(other); return choicesFault(other, first); };
assert.ok(r.stages.at(-1).statements.some((s) => s.choices.length > 0), 'a greedy receipt without choices');
assert.equal(told(() => {}), null);
assert.match(told((o) => { o.output[7] += 1; }).what, /its last stage chose/);
assert.match(told((o) => { o.asked.temperature[3] = 63; }).what, /want a draw/);
console.log(`ok: ${changes} changes of ${good.length} bytes are found`);
