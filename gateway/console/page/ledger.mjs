// What the ledger says of the members, where this node uses one.
import { el, facts, rows, say, show } from './dom.mjs';
import { look } from './source.mjs';
import { nodes } from './cluster.mjs';
import * as words from './words.mjs';

export const enter = async () => {
  say('ledger-state', 'asks');
  try {
    const head = await look('ledger');
    facts('ledger-head', [
      ['Ledger', el('code', {}, head.ledger)], ['Entries', head.size], ['Root', el('code', {}, head.root)],
      ['Signed by', el('code', {}, head.signatures.map((s) => s.keeper).join(' '))], ['Signed', new Date(Number(head.time) * 1000).toLocaleString()],
    ]);
    const accounts = await Promise.all(nodes().map(async (n) => {
      try { return [n, await look(`ledger?account=${n.node}`)]; } catch (error) { return [n, null, error.message]; }
    }));
    rows('accounts', accounts.map(([n, a, why]) => (a === null ? [n.name, why, '', '', '', '']
      : [n.name, words.credits(a.free), words.credits(a.pending), words.credits(a.stake), words.credits(a.earned), `${(a.reputation_ppm / 1e4).toFixed(1)} %${a.ejected ? ', ejected' : ''}`])));
    say('ledger-state', 'Amounts are credits, by the keepers\' signed word.');
  } catch (error) {
    show('ledger-head');
    show('accounts');
    say('ledger-state', `No ledger: ${error.message}`, 'warn');
  }
};
