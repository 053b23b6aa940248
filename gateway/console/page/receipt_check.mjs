// Tier T0 in the browser: checks a receipt against itself, without the model, in the order of
// docs/formats/receipt.md, "What is checked". The first thing that fails is told, and who signed it.
import { blake3, ed25519 } from './noble.mjs';
import { readReceipt, WINDOW } from './receipt.mjs';

const text = new TextEncoder();

/// H(domain; fields): BLAKE3 in key-derivation mode over the fields, one after the other.
class Hash {
  constructor(domain) { this.state = blake3.create({ context: text.encode(domain) }); }
  add(bytes) { this.state.update(bytes); return this; }
  u32(...values) {
    const bytes = new DataView(new ArrayBuffer(4 * values.length));
    values.forEach((v, i) => bytes.setUint32(4 * i, v, true));
    return this.add(new Uint8Array(bytes.buffer));
  }
  u64(value) {
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setBigUint64(0, BigInt(value), true);
    return this.add(new Uint8Array(bytes.buffer));
  }
  text(bytes) { return this.u64(bytes.length).add(bytes); }
  ids(ids) { return this.u32(ids.length).chunks(ids); }
  chunks(ids) {
    for (let i = 0; i < ids.length; i += 4096) { this.u32(...ids.subarray(i, i + 4096)); }
    return this;
  }
  signer(by) { return this.u32(by.first, by.last).add(by.node).text(by.software); }
  terms(t) { return this.u64(t.request).add(t.content).add(t.model).text(t.profile).u32(t.layers); }
  end() { return this.state.digest(); }
}

const H = (domain) => new Hash(domain);
export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

/// The left part holds the largest power of two of leaves below their number (RFC 9162).
const treeRoot = (leaves, domain) => {
  if (leaves.length === 0) { return H(`${domain}/empty`).end(); }
  if (leaves.length === 1) { return leaves[0]; }
  const left = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return H(`${domain}/node`).add(treeRoot(leaves.slice(0, left), domain))
    .add(treeRoot(leaves.slice(left), domain)).end();
};
const evidenceTree = (leaves) => treeRoot(leaves, 'ovir/evidence/v1');

/// A tree that grows at its end; `roots[n]` is that over the first n leaves.
class GrowingTree {
  constructor() { this.parts = []; this.roots = [evidenceTree([])]; }
  add(leaf) {
    let part = { leaves: 1, root: leaf };
    while (this.parts.length > 0 && this.parts.at(-1).leaves === part.leaves) {
      const left = this.parts.pop();
      part = { leaves: 2 * part.leaves, root: H('ovir/evidence/v1/node').add(left.root).add(part.root).end() };
    }
    this.parts.push(part);
    this.roots.push(this.parts.reduceRight((right, left) => (right === null ? left.root
      : H('ovir/evidence/v1/node').add(left.root).add(right).end()), null));
  }
}

const signedDigest = (what, proof) => H('ovir/evidence/v1/signed').add(what).add(proof).end();

const verify = (by, domain, what, proof) => verifyAs(by, `${domain}/signature`, what, proof);

const verifyAs = (by, domain, what, proof) => {
  const message = H(domain).add(what).end();
  try {
    return ed25519.verify(proof, message, by.node, { zip215: false });
  } catch {
    return false; // no point of the curve, or a scalar too large
  }
};

const drawsRoot = (s) => evidenceTree(s.logits.map((d, i) => (i < s.choices.length
  ? H('ovir/statement/v1/choice').u32(s.firstDraw + i).add(d).u32(s.choices[i]).end()
  : H('ovir/statement/v1/draw').u32(s.firstDraw + i).add(d).end())));

const commitmentDigest = (terms, by, c, history) => H('ovir/commitment/v1').terms(terms).signer(by)
  .u32(c.window, c.windows, c.statements).add(history).u64(c.deadline).u32(c.stepUs).end();

const statementDigest = (committed, s, by, history) => {
  const units = evidenceTree([
    ...s.units.map((d, i) => H('ovir/statement/v1/unit').u32(s.window, by.first + i, s.positions)
      .add(d).add(s.kv[i]).end()),
    ...s.cited.map((c) => H('ovir/statement/v1/cited').u32(c.layer).add(c.author).add(c.binding)
      .add(c.proof).end()),
  ]);
  const input = s.handovers.reduce((state, h) => state.u32(...h), H('ovir/statement/v1/input')
    .add(s.input).add(s.received).u32(s.handovers.length)).end();
  return H('ovir/statement/v1').add(committed).u32(s.window, s.positions).add(input)
    .u32(s.units.length, s.cited.length).add(units).u32(s.firstDraw, s.logits.length).add(drawsRoot(s)).add(history)
    .u64(s.computeUs).u64(s.elapsedUs).end();
};

const termsOf = (a) => {
  const content = H('ovir/request/v1').text(a.profile).add(a.model).u32(a.layers, a.prompt.length)
    .chunks(a.prompt).add(a.temperature).u32(a.topK).add(a.topP).add(a.minP).add(a.repeatPenalty)
    .u64(a.seed).u32(a.maxTokens, a.stop.length);
  a.stop.forEach((s) => content.text(s));
  if (a.constraint.length > 0 || a.further.length > 0) { content.text(a.constraint); }
  if (a.further.length > 0) {
    content.u32(a.further.length);
    a.further.forEach((word) => content.u64(word));
  }
  return { request: a.request, content: content.end(), model: a.model, profile: a.profile, layers: a.layers };
};

/// The first window of which a unit is said to be another's that did not sign it.
const voidCitation = (stage, terms) => {
  const first = stage.signer.first;
  const earlier = stage.statements.length === 0 ? [] : stage.statements[0].units.map(() => new Uint8Array(32));
  for (const s of stage.statements) {
    for (const c of s.cited) {
      const at = c.layer - first;
      const claim = H('ovir/unit/v1/claim').add(terms.model).text(terms.profile).u32(c.layer, s.window)
        .add(at === 0 ? s.input : s.units[at - 1]).add(earlier[at]).add(s.units[at]).add(s.kv[at]).end();
      const what = H('ovir/unit/v1/authored').add(claim).add(c.binding).end();
      if (!verifyAs({ node: c.author }, 'ovir/unit/v1/author', what, c.proof)) { return s.window; }
    }
    earlier.forEach((_, i) => { earlier[i] = H('ovir/unit/v1/earlier').add(earlier[i]).add(s.kv[i]).end(); });
  }
  return null;
};

const layers = (stage) => `layers [${stage.signer.first}, ${stage.signer.last})`;
const byStage = (stage, window, what) => ({ what, signer: hex(stage.signer.node), window });
const byLead = (r, what) => ({ what, signer: hex(r.lead.node) });

/// Order and shape of what one stage signed.
const formFault = (stage, modelLayers) => {
  let next = 0;
  for (const c of stage.commitments) {
    if (c.window !== next || c.windows === 0 || c.statements > c.window) {
      return byStage(stage, next, `a commitment to window ${c.window} where window ${next} was next`);
    }
    next += c.windows;
  }
  const committed = next;
  next = 0;
  for (const s of stage.statements) {
    const first = s.window * WINDOW;
    const ends = stage.signer.last === modelLayers;
    const placed = s.logits.length === 0 ? s.firstDraw === 0
      : ends && s.firstDraw >= first && s.firstDraw + s.logits.length <= first + s.positions;
    const chosen = s.choices.length === 0 || s.choices.length === s.logits.length;
    const last = s === stage.statements.at(-1);
    if (s.window !== next) { return byStage(stage, next, `window ${s.window} is stated where ${next} was next`); }
    if (s.window >= committed) { return byStage(stage, s.window, 'no commitment was made before it'); }
    let unit = stage.signer.first;
    const citable = s.cited.every((c) => {
      const fits = c.layer >= unit && c.layer < stage.signer.last && c.author.some((b) => b !== 0) &&
        !same(c.author, stage.signer.node) && s.positions === WINDOW && s.logits.length === 0;
      unit = c.layer + 1;
      return fits;
    });
    if (s.units.length !== stage.signer.last - stage.signer.first || !citable || !placed || !chosen || (!last && s.positions !== WINDOW)) {
      return byStage(stage, s.window, `what ${layers(stage)} state of window ${s.window} has the wrong shape`);
    }
    ++next;
  }
  if (stage.commitments.length > 0 && stage.commitments.at(-1).window >= next) {
    return byStage(stage, next, 'a commitment to it is there, but no statement');
  }
  return null;
};

/// Checks every signature of a stage in order; its last signed statement in `out.last`.
const stageFault = (stage, terms, modelLayers, out) => {
  const fault = formFault(stage, modelLayers);
  if (fault) { return fault; }
  const history = new GrowingTree();
  let stated = 0;
  let wrong = null;
  for (const c of stage.commitments) {
    if (c.statements >= history.roots.length) {
      return byStage(stage, c.window, 'a commitment builds on statements that are not there');
    }
    const what = commitmentDigest(terms, stage.signer, c, history.roots[c.statements]);
    if (!wrong && !verify(stage.signer, 'ovir/commitment/v1', what, c.proof)) {
      wrong = byStage(stage, c.window, `the commitment of ${layers(stage)} to window ${c.window} is not what its signer signed`);
    }
    const committed = signedDigest(what, c.proof);
    for (; stated < stage.statements.length && stage.statements[stated].window < c.window + c.windows; ++stated) {
      const s = stage.statements[stated];
      const digest = statementDigest(committed, s, stage.signer, history.roots.at(-1));
      if (!wrong && !verify(stage.signer, 'ovir/statement/v1', digest, s.proof)) {
        wrong = byStage(stage, s.window, `the statement of ${layers(stage)} about window ${s.window} is not what its signer signed`);
      }
      history.add(out.last = signedDigest(digest, s.proof));
    }
  }
  const cited = wrong ? null : voidCitation(stage, terms);
  return cited === null ? wrong
    : byStage(stage, cited, `${layers(stage)} show no word of another for units of window ${cited} that they say are its`);
};

const closingDigest = (r, terms, last) => {
  const output = H('ovir/closing/v1/output').ids(r.output).end();
  const h = H('ovir/closing/v1').terms(terms).u32(r.output.length).add(output).u32(r.end, r.positions)
    .add(r.transcript).u64(r.firstTokenUs).u64(r.prefillUs).u64(r.decodeUs).signer(r.lead).u32(r.stages.length);
  r.stages.forEach((stage, i) => {
    h.signer(stage.signer).add(last[i]).u32(stage.senders.length);
    stage.senders.forEach((by) => h.signer(by));
  });
  return h.end();
};

const PROFILE = 'exact-1/7c004b2d';

const windowsOf = (positions) => Math.ceil(positions / WINDOW);
const positionsOf = (window, positions) => Math.min(WINDOW, positions - window * WINDOW);
const tokensOf = (r) => Uint32Array.of(...r.asked.prompt, ...r.output);

const shapeFault = (r) => {
  if (new TextDecoder().decode(r.asked.profile) !== PROFILE) {
    return byLead(r, 'the profile is none that this page knows');
  }
  let next = 0;
  for (const stage of r.stages) {
    if (stage.signer.first !== next) { return byLead(r, `the stages do not tile the model: ${layers(stage)} where layer ${next} was next`); }
    next = stage.signer.last;
  }
  if (next !== r.asked.layers) { return byLead(r, `the stages end at layer ${next}, the model at ${r.asked.layers}`); }
  const tokens = r.asked.prompt.length + r.output.length;
  const cancelled = r.end === 2;
  const drawnFrom = r.output.length === 0 ? (cancelled ? 0 : tokens) : tokens - 1;
  const possible = cancelled ? r.positions >= drawnFrom && r.positions <= tokens : r.positions === drawnFrom;
  if (!possible) { return byLead(r, `${r.positions} positions cannot be what ${r.asked.prompt.length} tokens in and ${r.output.length} out take`); }
  if (r.output.length > r.asked.maxTokens) { return byLead(r, `${r.output.length} tokens were drawn, ${r.asked.maxTokens} were asked for at most`); }
  const windows = windowsOf(r.positions);
  for (const stage of r.stages) {
    if (stage.statements.length !== windows) { return byLead(r, `${layers(stage)} state ${stage.statements.length} windows, ${r.positions} positions are ${windows}`); }
  }
  const rest = positionsOf(windows - 1, r.positions);
  const odd = r.stages.filter((stage) => stage.statements.at(-1).positions !== rest);
  const what = `the last of ${r.positions} positions is not the last that is stated`;
  if (odd.length === r.stages.length) { return byLead(r, `${what}, say all of its stages`); }
  return odd.length > 0 ? byStage(odd[0], windows - 1, what) : null;
};

/// From boundary to boundary: what a stage took in is what the one before signed that it sent.
const chainFault = (r, terms) => {
  const tokens = tokensOf(r);
  for (let w = 0; w < windowsOf(r.positions); ++w) {
    const ids = tokens.subarray(w * WINDOW, w * WINDOW + positionsOf(w, r.positions));
    let sent = H('ovir/statement/v1/tokens').u32(w).ids(ids).end();
    let before = r.lead;
    for (const stage of r.stages) {
      const s = stage.statements[w];
      const isSender = (by) => by.last === before.last && verify(by, 'ovir/link/v1',
        H('ovir/link/v1').terms(terms).signer(by).u32(s.window, s.positions).add(s.input).end(), s.received);
      const sender = [before, ...stage.senders].find(isSender);
      if (!sender) { return byStage(stage, w, `${layers(stage)} show no valid signature of who sent them the input of window ${w}`); }
      if (!same(s.input, sent)) {
        return { what: `what was sent to ${layers(stage)} as input of window ${w} is not what is stated`, signer: hex(sender.node), window: w };
      }
      sent = stage.signer.last === r.asked.layers ? drawsRoot(s) : s.units.at(-1);
      before = stage.signer;
    }
  }
  return null;
};

const float = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);

/// What the last stage says it told its lead is what the lead tells, and it is asked for that only where
/// the highest logit is what follows.
export const choicesFault = (r, first) => {
  const highest = float(r.asked.temperature) === 0 && float(r.asked.repeatPenalty) === 1 &&
    r.asked.constraint.length === 0 && r.asked.further.length === 0;
  let at = 0;
  for (const s of r.stages.at(-1).statements) {
    for (let i = 0; i < s.logits.length; ++i, ++at) {
      if (i >= s.choices.length) { continue; }
      const where = first + at + 1;
      if (!highest) { return byLead(r, `the token of position ${where} was chosen by the last stage, where the sampling parameters want a draw`); }
      if (at < r.output.length && r.output[at] !== s.choices[i]) {
        return byLead(r, `the token of position ${where} is ${r.output[at]}, its last stage chose ${s.choices[i]}`);
      }
    }
  }
  return null;
};

const drawsFault = (r) => {
  const first = r.asked.prompt.length - 1;
  let next = first;
  for (const s of r.stages.at(-1).statements) {
    for (let i = 0; i < s.logits.length; ++i, ++next) {
      if (s.firstDraw + i !== next) { return byLead(r, `logits of position ${s.firstDraw + i} are stated where ${next} was next`); }
    }
  }
  const most = r.end === 2 ? r.positions - first : r.output.length;
  const count = next - first;
  return count < r.output.length || count > most
    ? byLead(r, `${count} rows of logits are stated for ${r.output.length} tokens`) : choicesFault(r, first);
};

const transcriptOf = (r) => {
  const units = [];
  for (let w = 0; w < windowsOf(r.positions); ++w) {
    for (const stage of r.stages) {
      const s = stage.statements[w];
      s.units.forEach((d, i) => {
        const layer = stage.signer.first + i;
        if (layer + 1 < r.asked.layers) {
          units.push(H('ovir/transcript/v1/unit').u32(w, layer, s.positions).add(d).end());
        }
      });
    }
  }
  const stated = r.stages.at(-1).statements.flatMap((s) => s.logits).slice(0, r.output.length);
  const draws = stated.map((d, i) => H('ovir/transcript/v1/draw').u32(r.asked.prompt.length - 1 + i).add(d).end());
  const tokens = H('ovir/transcript/v1/tokens').ids(tokensOf(r)).end();
  const tree = (leaves) => treeRoot(leaves, 'ovir/transcript/v1');
  return H('ovir/transcript/v1/root').text(r.asked.profile).u32(r.asked.layers - 1, r.positions, units.length)
    .add(tree(units)).u32(draws.length).add(tree(draws)).add(tokens).end();
};

const findFault = (r) => {
  const terms = termsOf(r.asked);
  if (!verify(r.lead, 'ovir/order/v1', H('ovir/order/v1').terms(terms).signer(r.lead).end(), r.order)) {
    return byLead(r, 'what was asked is not what the lead signed');
  }
  const last = [];
  let fault = null;
  for (const stage of r.stages) {
    const out = { last: null };
    // Of one that states nothing, nothing is by its key: whoever wrote the receipt left it out.
    const wrong = stageFault(stage, terms, r.asked.layers, out) ??
      (stage.statements.length === 0 ? byLead(r, `${layers(stage)} state nothing`) : null);
    fault = fault ?? wrong;
    if (out.last) { last.push(out.last); }
  }
  const closed = last.length === r.stages.length &&
    verify(r.lead, 'ovir/closing/v1', closingDigest(r, terms, last), r.closing);
  if (fault) {
    // Who closes a receipt has checked every signature in it.
    return closed ? { ...fault, signer: hex(r.lead.node) } : fault;
  }
  if (!closed) { return byLead(r, 'the answer is not what the lead signed'); }
  const wrong = shapeFault(r) ?? chainFault(r, terms) ?? drawsFault(r);
  if (wrong) { return wrong; }
  const root = transcriptOf(r);
  return same(root, r.transcript) ? null
    : byLead(r, `the transcript stated is ${hex(r.transcript)}, the statements give ${hex(root)}`);
};

/// What a receipt says, and what is wrong with it: null where it holds against itself. Whose
/// signatures count is not for it to say.
export const checkReceipt = (bytes) => {
  const r = readReceipt(bytes);
  return {
    fault: findFault(r),
    request: r.asked.request.toString(16).padStart(16, '0'),
    model: hex(r.asked.model),
    transcript: hex(r.transcript),
    prompt: r.asked.prompt.length,
    output: r.output.length,
    positions: r.positions,
    lead: hex(r.lead.node),
    stages: r.stages.map((s) => ({
      node: hex(s.signer.node), first: s.signer.first, last: s.signer.last,
      software: new TextDecoder().decode(s.signer.software), windows: s.statements.length,
      replaced: s.senders.length,
    })),
  };
};
