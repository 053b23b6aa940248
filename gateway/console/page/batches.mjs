// Files of requests, and batches that ask them: what there is, begun, ended, fetched and deleted.
import { byId, el, rows, say, show } from './dom.mjs';
import { ask } from './source.mjs';
import * as words from './words.mjs';

const EVERY = 1000;
const MOST = 50; // of each list
let timer = 0;
let looking = false;

const when = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString() : '');
const isOver = (batch) => !['validating', 'in_progress', 'cancelling'].includes(batch.status);
const json = async (path, options) => (await ask(path, options)).json();

/// Does something that may be refused, says so, and looks again.
const act = async (what, doing) => {
  say('batches-state', `${what} …`);
  try {
    await doing();
    say('batches-state', `${what}: done`, 'good');
  } catch (error) {
    say('batches-state', `${what}: ${error.message}`, 'bad');
  }
  await look();
};

const save = async (id, name) => {
  const url = URL.createObjectURL(await (await ask(`/v1/files/${id}/content`)).blob());
  const link = el('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};

const button = (text, of, doing) => {
  const made = el('button', { type: 'button', 'aria-label': `${text} ${of}` }, text);
  made.addEventListener('click', () => act(`${text} ${of}`, doing));
  return made;
};

const fault = (batch) => {
  const [first] = batch.errors?.data ?? [];
  return first ? ` (${first.line ? `line ${first.line}: ` : ''}${first.message})` : '';
};

const batchRow = (batch) => {
  const counts = batch.request_counts;
  const actions = [];
  if (batch.output_file_id) { actions.push(button('Answers', batch.id, () => save(batch.output_file_id, `${batch.id}_output.jsonl`))); }
  if (batch.error_file_id) { actions.push(button('Errors', batch.id, () => save(batch.error_file_id, `${batch.id}_error.jsonl`))); }
  if (!isOver(batch)) { actions.push(button('Cancel', batch.id, () => ask(`/v1/batches/${batch.id}/cancel`, { method: 'POST' }))); }
  const progress = el('progress', { max: Math.max(counts.total, 1), value: counts.completed + counts.failed, 'aria-label': `lines of ${batch.id} that are done` });
  return [el('code', {}, batch.id), `${batch.status}${fault(batch)}`,
    el('span', {}, progress, ` ${counts.completed} answered, ${counts.failed} failed, of ${counts.total}`),
    batch.endpoint, when(batch.created_at), el('span', { class: 'actions' }, ...actions)];
};

const fileRow = (file) => [el('code', {}, file.id), file.filename, words.bytes(file.bytes), file.purpose, when(file.expires_at),
  el('span', { class: 'actions' }, button('Fetch', file.filename, () => save(file.id, file.filename)),
    button('Delete', file.filename, () => ask(`/v1/files/${file.id}`, { method: 'DELETE' })))];

/// Draws anew only what changed, so that a button under a finger or a focus stays.
const draw = (id, list, row) => {
  const told = JSON.stringify(list);
  if (byId(id).dataset.told !== told) {
    const held = document.activeElement?.getAttribute('aria-label');
    rows(id, list.map(row));
    byId(id).dataset.told = told;
    if (held) { byId(id).querySelector(`[aria-label="${CSS.escape(held)}"]`)?.focus(); }
  }
};

const look = async () => {
  if (looking) { return; }
  looking = true;
  try {
    const [batches, files] = await Promise.all([json(`/v1/batches?limit=${MOST}`), json(`/v1/files?limit=${MOST}`)]);
    draw('batch-rows', batches.data, batchRow);
    draw('file-rows', files.data, fileRow);
    show('batches-more', batches.has_more || files.has_more ? `Only the latest ${MOST} are shown.` : '');
  } catch (error) {
    say('batches-state', `No batches: ${error.message}`, 'bad');
  }
  looking = false;
};

const beginBatch = async (file, endpoint) => {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', file);
  const { id } = await json('/v1/files', { method: 'POST', body: form });
  await json('/v1/batches', {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ input_file_id: id, endpoint, completion_window: '24h' }),
  });
};

export const begin = () => {
  byId('batch-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const [file] = byId('batch-file').files;
    if (!file) {
      say('batches-state', 'Choose a file with a request in each line.', 'warn');
      return;
    }
    act(`A batch of ${file.name}`, () => beginBatch(file, byId('batch-endpoint').value));
  });
};

export const enter = () => {
  clearInterval(timer);
  say('batches-state', '');
  look();
  timer = setInterval(look, EVERY);
};
export const leave = () => clearInterval(timer);
