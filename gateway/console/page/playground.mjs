// Asks for an answer and shows which path computed each of its tokens.
import { byId, el, facts, rows, say, show } from './dom.mjs';
import { fetchReceipt, judge, stageRows } from './receipts.mjs';
import { ask, eventsOf, look } from './source.mjs';
import { clear, showVerdict } from './verdict.mjs';
import * as words from './words.mjs';

const COLOURS = 6;
let running = null; // {abort, request, tokens, paths, transcript}

/// The index of the path that computed token `i`; null: nobody has said yet.
const pathOf = (paths, i) => {
  const at = paths.findLastIndex((p) => p.from <= i);
  return at < 0 ? null : at;
};

const colour = () => {
  const { tokens, paths, kept } = running;
  tokens.forEach((span, i) => {
    const at = pathOf(paths, i);
    span.className = kept ? 'kept' : at === null ? '' : `path${at % COLOURS}`;
  });
  const legend = paths.map((p, i) => el('li', {}, el('span', { class: `path${i % COLOURS}` }, `from token ${p.from}`), ' ', words.path(p.path)));
  if (kept) { legend.unshift(el('li', {}, el('span', { class: 'kept' }, 'all of it'), ' was kept from the same question before')); }
  show('legend', ...legend);
};

/// News of the requests under way: who computes this one.
export const take = (kind, data) => {
  const job = kind === 'jobs' && running && data.jobs?.find((j) => j.request === running.job);
  if (job && JSON.stringify(job.paths) !== JSON.stringify(running.paths)) {
    running.paths = job.paths;
    colour();
  }
};

const showEnd = async (transcript) => {
  const list = [['Request', el('code', {}, running.request)], ['Transcript', el('code', {}, transcript ?? 'none')]];
  try {
    const { job } = await look(`jobs/${running.job}`);
    running.paths = job.paths;
    running.kept = job.answer_reused === true;
    colour();
    const u = job.units;
    if (u) {
      list.push(['Cache hits', u.needed === u.computed ? 'none: everything was computed'
        : `${u.memory + u.disk + u.peer} of ${u.needed} units: ${u.memory} from memory, ${u.disk} from disk, ${u.peer} from other nodes`]);
    }
    list.push(['Recoveries', job.recoveries ?? 0]);
    if (job.timing) {
      list.push(['Speed', `${job.timing.decode_tps.toFixed(1)} tokens/s, the first after ${words.ms(job.timing.ttft_ms)}`]);
    }
  } catch (error) {
    list.push(['Path', `not told: ${error.message}`]);
  }
  list.push(['Receipt', el('a', { href: '#receipts', id: 'to-receipt' }, 'look for it')]);
  facts('answer-facts', list);
  byId('to-receipt').addEventListener('click', () => { byId('receipt-id').value = running.request; });
};

/// Checks the answer's receipt in this browser, and that it is of this answer.
const checkHere = async () => {
  const { request, transcript } = running;
  say('answer-verdict', 'checks');
  show('answer-stages');
  try {
    const { text, kind, found } = judge(await fetchReceipt(request), request);
    if (found && !found.fault && found.transcript !== transcript) {
      say('answer-verdict', `The receipt is of another answer, whose transcript is ${found.transcript}.`, 'bad');
      return;
    }
    say('answer-verdict', text, kind);
    if (!found) { return; }
    rows('answer-stages', stageRows(found));
  } catch (error) {
    say('answer-verdict', `No receipt of this answer: ${error.message}`, 'warn');
  }
};

const verify = async () => {
  clear();
  await Promise.all([checkHere(), showVerdict(running.request)]);
};

const run = async () => {
  running = { abort: new AbortController(), request: '', tokens: [], paths: [], kept: false };
  const prompt = byId('prompt').value;
  show('answer', el('span', { class: 'asked' }, prompt));
  show('legend');
  show('answer-facts');
  show('answer-stages');
  say('answer-verdict', '');
  clear();
  say('answer-state', 'asks');
  byId('verify').disabled = true;
  byId('stop').disabled = false;
  byId('ask-button').disabled = true;
  const began = performance.now();
  let transcript = null;
  try {
    const response = await ask('/v1/completions', {
      method: 'POST', signal: running.abort.signal, headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        model: byId('model').value, prompt, stream: true, max_tokens: byId('tokens').valueAsNumber,
        temperature: byId('temperature').valueAsNumber, seed: byId('seed').valueAsNumber, receipt: true,
      }),
    });
    running.request = response.headers.get('X-OVIR-Request');
    running.job = response.headers.get('X-OVIR-Job');
    for await (const event of eventsOf(response)) {
      if (event.data === '[DONE]') { break; }
      const data = JSON.parse(event.data);
      if (data.error) { throw new Error(data.error.message); }
      const choice = data.choices?.[0];
      transcript = choice?.ovir?.transcript ?? transcript;
      if (choice && !choice.finish_reason) {
        const span = el('span', {}, choice.text);
        running.tokens.push(span);
        byId('answer').append(span);
        colour();
        say('answer-state', `${running.tokens.length} tokens`);
      } else if (choice?.text) {
        byId('answer').append(choice.text);
      }
    }
    running.transcript = transcript;
    byId('verify').disabled = false;
    await showEnd(transcript);
    say('answer-state', `${running.tokens.length} tokens in ${words.ms(performance.now() - began)}`, 'good');
  } catch (error) {
    say('answer-state', running.abort.signal.aborted ? 'stopped' : `no answer: ${error.message}`, 'bad');
  }
  byId('stop').disabled = true;
  byId('ask-button').disabled = false;
};

export const begin = () => {
  byId('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    run();
  });
  byId('stop').addEventListener('click', () => running?.abort.abort());
  byId('verify').addEventListener('click', verify);
};

export const connect = async () => {
  try {
    const { data } = await (await ask('/v1/models')).json();
    show('model', ...data.map((m) => el('option', { value: m.id }, m.id)));
  } catch (error) {
    say('answer-state', `no models: ${error.message}`, 'bad');
  }
};
