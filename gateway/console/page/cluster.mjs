// Who is there, who is linked with whom, what runs, and what happened since this page was opened.
import { byId, el, rows, show, svg } from './dom.mjs';
import * as words from './words.mjs';

const EVENTS_MAX = 500;
let members = new Map(); // by key, as last seen
let counts = null;       // restarts by place in the tree
let paths = new Map();   // by request

/// Names of the nodes by key, for the other views.
export const nameOf = (node) => members.get(node)?.name ?? `${words.short(node)}…`;
export const nodes = () => [...members.values()];

const tell = (text, kind = '') => {
  const list = byId('events');
  const now = new Date();
  list.append(el('li', { class: kind }, el('time', { datetime: now.toISOString() }, now.toLocaleTimeString()), text));
  while (list.children.length > EVENTS_MAX) { list.firstChild.remove(); }
  list.scrollTop = list.scrollHeight;
};

const kindOf = (health) => ({ alive: 'good', suspect: 'warn' }[health] ?? 'bad');

const tellMembers = (list) => {
  for (const n of list) {
    const before = members.get(n.node);
    if (!before && members.size > 0) { tell(`${n.name} joined`, 'good'); }
    if (before && before.health !== n.health) { tell(`${n.name} was ${before.health}, is ${n.health}`, kindOf(n.health)); }
    if (before && before.incarnation !== n.incarnation && before.health === n.health) { tell(`${n.name} was started again`, 'warn'); }
    if (before && before.draining !== n.draining) { tell(`${n.name} ${n.draining ? 'drains' : 'drains no more'}`, 'warn'); }
  }
  for (const [key, n] of members) {
    if (!list.some((other) => other.node === key)) { tell(`${n.name} is gone`, 'bad'); }
  }
};

const held = (n) => (n.held.length === 0 ? 'none'
  : n.held.map((h) => `${words.layers(h)} of ${h.model_layers} (${words.short(h.model)})`).join(', '));

const drawLinks = (list) => {
  const others = list.filter((n) => !n.self);
  const self = list.find((n) => n.self);
  const at = (i) => {
    const angle = (2 * Math.PI * i) / Math.max(others.length, 1) - Math.PI / 2;
    return [320 + 235 * Math.cos(angle), 180 + 125 * Math.sin(angle)];
  };
  const node = (n, [x, y]) => svg('g', {}, svg('circle', { class: `node ${n.health}`, cx: x, cy: y, r: 32 }),
    svg('text', { x, y: y + 5, 'text-anchor': 'middle' }, n.name.slice(0, 12)));
  const lines = others.flatMap((n, i) => {
    const [x, y] = at(i);
    return [svg('line', { class: 'link', x1: 320, y1: 180, x2: x, y2: y }),
      svg('text', { x: (320 + x) / 2, y: (180 + y) / 2 - 6, 'text-anchor': 'middle' },
        n.health === 'alive' ? words.ms(n.rtt_ms) : n.health)];
  });
  show('links', ...lines, ...others.map((n, i) => node(n, at(i))), ...(self ? [node(self, [320, 180])] : []));
  show('links-text', others.length === 0 ? `${self?.name ?? 'This node'} is alone.`
    : `Delays as ${self?.name ?? 'this node'} measures them: ${others.map((n) => `${n.name} ${n.health === 'alive' ? words.ms(n.rtt_ms) : n.health}`).join(', ')}.`);
};

const takeNodes = ({ nodes: list }) => {
  if (!list) { return; }
  tellMembers(list);
  members = new Map(list.map((n) => [n.node, n]));
  drawLinks(list);
  rows('nodes', list.map((n) => [
    el('span', { title: n.node }, n.name + (n.self ? ' (this one)' : '')),
    el('span', { class: kindOf(n.health) }, n.draining ? `${n.health}, drains` : n.health),
    n.roles.join(', '), held(n), n.self ? 'none' : words.ms(n.rtt_ms), n.sessions,
    `${words.bytes(n.memory_bytes - n.memory_free)} of ${words.bytes(n.memory_bytes)}`,
  ]));
};

const branch = (child, place, found) => {
  const here = `${place}/${child.name}`;
  found.set(here, { restarts: child.restarts, up: child.up });
  const text = [child.name, ' ', el('span', { class: 'soft' }, child.strategy ?? child.kind)];
  if (child.restarts > 0) { text.push(' ', el('span', { class: 'warn' }, `restarted ${child.restarts} times`)); }
  if (!child.up) { text.push(' ', el('span', { class: 'bad' }, child.state || 'is down')); }
  const below = (child.children ?? []).map((c) => branch(c, here, found));
  return el('li', {}, ...text, ...(below.length > 0 ? [el('ul', {}, ...below)] : []));
};

const takeTree = ({ tree }) => {
  if (!tree) { return; }
  const found = new Map();
  show('tree', el('ul', {}, branch(tree, '', found)));
  for (const [place, now] of counts === null ? [] : found) {
    const before = counts.get(place);
    if (!before) { tell(`${place} was started`); }
    if (now.restarts > (before?.restarts ?? 0)) { tell(`${place} was restarted`, 'warn'); }
  }
  for (const place of counts === null ? [] : counts.keys()) {
    if (!found.has(place)) { tell(`${place} ended`); }
  }
  counts = found;
};

const takeJobs = ({ jobs }) => {
  if (!jobs) { return; }
  for (const job of jobs) {
    const now = words.path(job.path);
    const before = paths.get(job.request);
    if (before !== undefined && before !== now && job.path.length > 0) { tell(`request ${words.short(job.request)} goes on over ${now}`, 'warn'); }
    if (job.path.length > 0) { paths.set(job.request, now); }
  }
  paths = new Map([...paths].filter(([request]) => jobs.some((job) => job.request === request)));
  rows('jobs', jobs.map((job) => [el('code', {}, job.request), job.state, `${job.drawn_count} of ${job.max_tokens}`, words.path(job.path)]));
};

export const take = (kind, data) => ({ nodes: takeNodes, tree: takeTree, jobs: takeJobs }[kind]?.(data));
