// Charts of what this node's endpoint answered, second by second, since it began.
import { el, say, show, svg } from './dom.mjs';
import { look } from './source.mjs';

const EVERY = 1000;
const WIDTH = 640;
const HEIGHT = 120;
let timer = 0;

const chart = (title, unit, values) => {
  const most = Math.max(1, ...values);
  const points = values.map((v, i) => `${(i * WIDTH) / Math.max(values.length - 1, 1)},${HEIGHT - 20 - (v * (HEIGHT - 40)) / most}`).join(' ');
  const text = `${title}: now ${(values.at(-1) ?? 0).toFixed(1)} ${unit}, at most ${Math.max(0, ...values).toFixed(1)} in the last ${values.length} s`;
  return el('figure', {}, svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': text },
    svg('line', { class: 'axis', x1: 0, y1: HEIGHT - 20, x2: WIDTH, y2: HEIGHT - 20 }),
    svg('polyline', { class: 'curve', points }), svg('text', { x: 6, y: 16 }, `${most.toFixed(1)} ${unit}`)),
  el('figcaption', {}, text));
};

const draw = async () => {
  try {
    const { columns, samples } = await look('history');
    const at = Object.fromEntries(columns.map((name, i) => [name, i]));
    const rate = (name) => samples.slice(1).map((s, i) => {
      const span = (s[at.at_ms] - samples[i][at.at_ms]) / 1000;
      return span > 0 ? (s[at[name]] - samples[i][at[name]]) / span : 0;
    });
    show('charts', chart('Tokens answered', 'tokens/s', rate('completion_tokens')),
      chart('Tokens asked', 'tokens/s', rate('prompt_tokens')),
      chart('Requests under way', 'requests', samples.slice(1).map((s) => s[at.under_way])),
      chart('Refusals and errors', 'replies/s', rate('errors')));
    say('history-state', `${samples.length} seconds are kept.`);
  } catch (error) {
    say('history-state', `No history: ${error.message}`, 'bad');
  }
};

export const enter = () => {
  clearInterval(timer);
  draw();
  timer = setInterval(draw, EVERY);
};
export const leave = () => clearInterval(timer);
