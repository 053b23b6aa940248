// What the node finds of an answer: who computed it, who audited which windows, what was reused.
import { el, facts, rows, say, show } from './dom.mjs';
import { ask } from './source.mjs';
import * as words from './words.mjs';

const KINDS = { wrong: 'bad', convicted: 'bad', disputed: 'bad', strangers: 'warn', unaudited: 'warn', audited_in_part: 'good', audited: 'good' };
const called = (who) => who.name ?? `${words.short(who.node)}…`;

/// 0–3, 7
const ranges = (list) => {
  const parts = [];
  for (const n of list) {
    const last = parts.at(-1);
    if (last && last[1] + 1 === n) { last[1] = n; } else { parts.push([n, n]); }
  }
  return parts.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(', ');
};

const audited = (stage) => {
  if (stage.convicted) { return ['convicted', 'bad']; }
  if (stage.wrong > 0) { return [`${stage.wrong} of ${stage.windows} windows came out otherwise`, 'bad']; }
  return [`${stage.right} of ${stage.windows} windows audited`, stage.right > 0 ? 'good' : 'warn'];
};

const chain = (found) => found.stages.map((stage) => {
  const [text, kind] = audited(stage);
  return el('li', {}, el('strong', {}, called(stage)), el('span', {}, `layers ${words.layers(stage)}`), el('span', { class: kind }, text));
});

const auditRows = (found) => found.audits.flatMap((audit) => {
  const groups = new Map();
  for (const { stage, window, finding } of audit.findings) {
    const key = `${stage} ${finding}`;
    groups.set(key, { stage, finding, windows: [...(groups.get(key)?.windows ?? []), window] });
  }
  return [...groups.values()].map(({ stage, finding, windows }) => [
    called(audit), words.layers(found.stages[stage]), ranges(windows), finding, audit.kernels, new Date(1000 * audit.time).toLocaleString(),
  ]);
});

const reused = (found) => found.stages.flatMap((stage) => stage.reused.map((r) => `${r.units} units of layers ${words.layers(stage)}, computed by ${called(r)}`));

const timing = ({ first_token_ms: first, prefill_ms: prefill, decode_ms: decode, slack_ms: slack }) => {
  const claimed = `first token after ${words.ms(first)}, ${words.ms(prefill + decode)} in all, as its lead says`;
  return slack === null ? claimed : `${claimed}; the deadline left ${words.ms(slack)}`;
};

export const clear = () => {
  say('answer-audited', '');
  show('answer-chain');
  show('answer-audits');
  show('answer-checked');
};

/// Asks the node and shows it. Whatever goes wrong is said.
export const showVerdict = async (id) => {
  let found;
  try {
    found = await (await ask(`/v1/receipts/${id}/verdict`)).json();
  } catch (error) {
    say('answer-audited', `Who audited it is not told: ${error.message}`, 'warn');
    return;
  }
  say('answer-audited', `This node says: ${found.text}`, KINDS[found.verdict] ?? 'warn');
  show('answer-chain', ...chain(found));
  rows('answer-audits', auditRows(found));
  const gaps = found.stages.filter((s) => s.unaudited.length > 0).map((s) => `layers ${words.layers(s)}: windows ${ranges(s.unaudited)}`);
  facts('answer-checked', [
    ['Driven by', called(found.lead)],
    ['Reused', reused(found).join('; ') || 'nothing of others'],
    ['Unaudited', gaps.length === 0 ? 'nothing' : `${gaps.join('; ')}: ${found.unaudited}`],
    ...found.rejected.map((r) => ['Does not count', r.what]),
    ['Timing', timing(found.timing)],
  ]);
};
