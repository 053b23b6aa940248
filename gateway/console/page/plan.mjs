// How the planner cuts a model for the nodes that are alive, and why.
import { byId, el, facts, rows, say, show } from './dom.mjs';
import { look } from './source.mjs';
import { nameOf } from './cluster.mjs';
import * as words from './words.mjs';

const rate = (value) => (value === null || value === undefined ? 'unknown' : `${Number(value).toFixed(1)} tokens/s`);

export const enter = async () => {
  const model = byId('plan-model').value;
  const context = byId('plan-context').valueAsNumber || 0;
  say('plan-state', 'plans');
  try {
    const plan = await look(`plan?context=${context}${model ? `&model=${model}` : ''}`);
    show('why', Array.isArray(plan.why) ? plan.why.join(' ') : String(plan.why ?? ''));
    rows('plan-stages', plan.stages.map((s) => [nameOf(s.node), words.layers(s), words.bytes(s.weight_bytes), words.bytes(s.kv_bytes), `${words.bytes(s.memory_bytes)} of ${words.bytes(s.memory_limit_bytes)}`, words.ms(s.decode_ms)]));
    facts('plan-speed', [
      ['One request', rate(plan.speed.decode_tps)], ['Together', rate(plan.speed.together_tps)],
      ['Prompts', rate(plan.speed.prefill_tps)], ['Measured', plan.measured ? rate(plan.measured.decode_tps) : 'nothing yet'],
    ]);
    say('plan-state', `Planned for ${plan.context} positions.`);
  } catch (error) {
    show('why');
    show('plan-stages');
    show('plan-speed');
    say('plan-state', `No plan: ${error.message}`, 'bad');
  }
};

export const begin = () => {
  byId('plan-form').addEventListener('submit', (event) => {
    event.preventDefault();
    enter();
  });
};

export const connect = async () => {
  try {
    const { models } = await look('models');
    show('plan-model', ...models.filter((m) => m.name !== null).map((m) => el('option', { value: m.model }, m.name)));
  } catch { /* the view says so itself when it is opened */ }
};
