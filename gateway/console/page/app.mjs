// The console: views behind a list of links, and the node's news to whoever shows them.
import { byId, el, show } from './dom.mjs';
import { apiKey, follow, look } from './source.mjs';
import * as batches from './batches.mjs';
import * as cluster from './cluster.mjs';
import * as history from './history.mjs';
import * as ledger from './ledger.mjs';
import * as plan from './plan.mjs';
import * as playground from './playground.mjs';
import * as receipts from './receipts.mjs';

const views = { cluster, playground, batches, receipts, ledger, plan, history };
let following = null;

const open = () => {
  const wanted = location.hash.slice(1);
  const name = Object.hasOwn(views, wanted) ? wanted : 'cluster';
  for (const [other, view] of Object.entries(views)) {
    const section = byId(other);
    if (other !== name && !section.hidden) { view.leave?.(); }
    section.hidden = other !== name;
  }
  for (const link of byId('views').querySelectorAll('a')) {
    if (link.hash === `#${name}`) { link.setAttribute('aria-current', 'page'); } else { link.removeAttribute('aria-current'); }
  }
  document.title = `${byId(`${name}-title`).textContent} · OVIR console`;
  views[name].enter?.();
};

const connect = () => {
  following?.abort();
  following = new AbortController();
  look('version').then((v) => show('whoami', `${v.name} in ${v.cluster}, version ${v.version}`)).catch(() => {});
  follow(following.signal, (kind, data) => {
    for (const view of Object.values(views)) { view.take?.(kind, data); }
  }, (text, lost) => {
    show('link', text);
    byId('link').className = lost ? 'lost' : '';
  });
  playground.connect();
  plan.connect();
};

show('views', ...Object.keys(views).map((name) => el('li', {},
  el('a', { href: `#${name}` }, byId(`${name}-title`).textContent))));
for (const view of Object.values(views)) { view.begin?.(); }
byId('key').value = apiKey.get();
byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  apiKey.set(byId('key').value.trim());
  connect();
  open();
});
window.addEventListener('hashchange', () => {
  open();
  byId('main').focus();
});
connect();
open();
