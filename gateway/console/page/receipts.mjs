// Checks receipts in the browser: of a file, or of a request of this node.
import { byId, el, facts, rows, say, show } from './dom.mjs';
import { ask } from './source.mjs';
import { checkReceipt } from './receipt_check.mjs';
import { nameOf, nodes } from './cluster.mjs';
import * as words from './words.mjs';

export const fetchReceipt = async (id) => {
  const response = await ask(`/v1/receipts/${id}`, { headers: { Accept: 'application/octet-stream' } });
  return new Uint8Array(await response.arrayBuffer());
};

const known = (node) => nodes().some((n) => n.node === node);
const named = (node) => (known(node) ? `${nameOf(node)} (${words.short(node)}…), a member` : `${node}, nobody this node knows`);

/// What a receipt is worth: a sentence, its kind, and what it says; no more than the sentence where it
/// cannot be read.
export const judge = (bytes, from) => {
  let found;
  try {
    found = checkReceipt(bytes);
  } catch (error) {
    return { text: `${from}: ${error.message}`, kind: 'bad' };
  }
  const strangers = [found.lead, ...found.stages.map((s) => s.node)].filter((node) => !known(node));
  if (found.fault) {
    return { text: `Wrong: ${found.fault.what}. Who signed that: ${named(found.fault.signer)}.`, kind: 'bad', found };
  }
  if (strangers.length > 0) {
    return { text: `It holds against itself, and ${new Set(strangers).size} of its signers are none of the members this node knows.`, kind: 'warn', found };
  }
  return { text: 'It holds: every signature, every link and the transcript, by members of this cluster alone.', kind: 'good', found };
};

/// Who computed which layers.
export const stageRows = (found) => found.stages.map((s) => [`${s.first}–${s.last - 1}`, named(s.node), s.windows, s.software]);

const check = (bytes, from) => {
  show('receipt-facts');
  show('receipt-stages');
  const { text, kind, found } = judge(bytes, from);
  say('verdict', text, kind);
  if (!found) { return; }
  facts('receipt-facts', [
    ['Request', el('code', {}, found.request)], ['Transcript', el('code', {}, found.transcript)],
    ['Model', el('code', {}, found.model)], ['Tokens', `${found.prompt} asked, ${found.output} answered`],
    ['Closed by', named(found.lead)],
  ]);
  rows('receipt-stages', stageRows(found));
};

export const begin = () => {
  byId('receipt-file').addEventListener('change', async () => {
    const file = byId('receipt-file').files[0];
    if (file) {
      say('verdict', 'checks');
      check(new Uint8Array(await file.arrayBuffer()), file.name);
    }
  });
  byId('receipt-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const id = byId('receipt-id').value.trim();
    if (!id) {
      say('verdict', 'Name a request, or choose a file.', 'warn');
      return;
    }
    say('verdict', 'fetches');
    try {
      check(await fetchReceipt(id), id);
    } catch (error) {
      say('verdict', `No receipt of ${id} from this node: ${error.message}`, 'warn');
    }
  });
};
