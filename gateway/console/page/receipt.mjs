// Reads receipts (docs/formats/receipt.md): a Cap'n Proto message of one segment, whose objects lie
// in the one order in which they are written. Whatever lies elsewhere, is left over, or is not zero
// where nothing belongs is refused, so a receipt has one encoding here as it has everywhere.

const WORD = 8;
const LIMITS = {
  receiptBytes: 64 << 20, layers: 1024, stages: 256, windows: 32768, context: 1 << 20,
  software: 128, constraint: 64 << 10, profile: 64, stops: 64, stopBytes: 4096, senders: 64, vocabulary: 1 << 22,
  biases: 1024,
};
export const WINDOW = 32;

export class Malformed extends Error {}
const refuse = (what) => { throw new Malformed(what); };
const must = (good, what) => { if (!good) { refuse(what); } };

/// Walks over the objects in the order in which they were written.
class Walk {
  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
    this.words = bytes.byteLength / WORD;
    this.next = 0; // the first word nobody has claimed
  }

  claim(words) {
    const at = this.next;
    must(at + words <= this.words, 'the receipt is cut short');
    this.next += words;
    return at;
  }

  /// Low and high half of the pointer in word `at`, whose target must be what comes next.
  target(at, kind) {
    const low = this.view.getInt32(at * WORD, true);
    const high = this.view.getUint32(at * WORD + 4, true);
    must((low & 3) === kind, 'a pointer of the receipt is of another kind');
    must(at + 1 + (low >> 2) === this.next, 'an object of the receipt lies where it does not belong');
    return high;
  }

  struct(at, data, pointers) {
    const high = this.target(at, 0);
    must((high & 0xffff) === data && high >>> 16 === pointers, 'an object of the receipt has another size');
    return this.claim(data + pointers);
  }

  /// Bytes, padded with zeros to whole words.
  data(at, most, what) {
    const high = this.target(at, 1);
    must((high & 7) === 2, `${what} is no list of bytes`);
    const size = high >>> 3;
    must(size <= most, `${what} has ${size} bytes, at most ${most} are allowed`);
    const words = Math.ceil(size / WORD);
    const first = this.claim(words) * WORD;
    this.zeros(first + size, words * WORD - size);
    return this.bytes.slice(first, first + size);
  }

  exactly(at, size, what) {
    const value = this.data(at, size, what);
    must(value.length === size, `${what} has ${value.length} bytes instead of ${size}`);
    return value;
  }

  numbers(at, most, what) {
    const high = this.target(at, 1);
    must((high & 7) === 4, `${what} are no list of numbers`);
    const count = high >>> 3;
    must(count <= most, `${what} are ${count}, at most ${most} are allowed`);
    const words = Math.ceil(count / 2);
    const first = this.claim(words) * WORD;
    this.zeros(first + count * 4, words * WORD - count * 4);
    return Uint32Array.from({ length: count }, (_, i) => this.view.getUint32(first + i * 4, true));
  }

  /// Words of 64 bits.
  wide(at, most, what) {
    const high = this.target(at, 1);
    must((high & 7) === 5, `${what} are no list of wide numbers`);
    const count = high >>> 3;
    must(count <= most, `${what} are ${count}, at most ${most} are allowed`);
    const first = this.claim(count);
    return Array.from({ length: count }, (_, i) => this.u64(first + i, 0));
  }

  /// A list of objects; the place of each.
  structs(at, data, pointers, most, what) {
    const high = this.target(at, 1);
    must((high & 7) === 7, `${what} are no list of objects`);
    const words = high >>> 3;
    const tag = this.claim(1);
    const count = this.view.getInt32(tag * WORD, true) >> 2;
    const shape = this.view.getUint32(tag * WORD + 4, true);
    must((this.view.getInt32(tag * WORD, true) & 3) === 0 && (shape & 0xffff) === data &&
         shape >>> 16 === pointers, `${what} are of another size`);
    must(count >= 0 && count <= most, `${what} are ${count}, at most ${most} are allowed`);
    must(count * (data + pointers) === words, `${what} say two lengths`);
    const first = this.claim(words);
    return Array.from({ length: count }, (_, i) => first + i * (data + pointers));
  }

  /// Of lists; the word of each.
  pointers(at, most, what) {
    const high = this.target(at, 1);
    must((high & 7) === 6, `${what} are no list of lists`);
    const count = high >>> 3;
    must(count <= most, `${what} are ${count}, at most ${most} are allowed`);
    const first = this.claim(count);
    return Array.from({ length: count }, (_, i) => first + i);
  }

  zeros(from, count) {
    for (let i = from; i < from + count; ++i) {
      must(this.bytes[i] === 0, 'the receipt has something where nothing belongs');
    }
  }

  u8(at, byte) { return this.view.getUint8(at * WORD + byte); }
  u16(at, byte) { return this.view.getUint16(at * WORD + byte, true); }
  u32(at, byte) { return this.view.getUint32(at * WORD + byte, true); }
  u64(at, byte) { return this.view.getBigUint64(at * WORD + byte, true); }
  f32(at, byte) { return this.bytes.slice(at * WORD + byte, at * WORD + byte + 4); }
  f64(at, byte) { return this.bytes.slice(at * WORD + byte, at * WORD + byte + 8); }
}

const readSigner = (walk, at, lead) => {
  const signer = {
    first: walk.u32(at, 0),
    last: walk.u32(at, 4),
    node: walk.exactly(at + 1, 32, "a signer's key"),
    software: walk.data(at + 2, LIMITS.software, "a signer's program"),
  };
  must(signer.software.every((c) => c >= 32 && c <= 126), "a signer's program is not printable");
  must(lead ? signer.first === 0 && signer.last === 0
            : signer.first < signer.last && signer.last <= LIMITS.layers,
       `a signer for layers [${signer.first}, ${signer.last})`);
  return signer;
};

const digestsOf = (bytes, what) => {
  must(bytes.length % 32 === 0, `${what} are no digests`);
  return Array.from({ length: bytes.length / 32 }, (_, i) => bytes.slice(i * 32, i * 32 + 32));
};

const readCommitment = (walk, at) => {
  return {
    window: walk.u32(at, 0), windows: walk.u32(at, 4), statements: walk.u32(at, 8), stepUs: walk.u32(at, 12),
    deadline: walk.u64(at, 16), proof: walk.exactly(at + 3, 64, 'a signature'),
  };
};

/// Tokens of 32 bits, as many as rows of logits or none.
const tokensIn = (bytes, what) => {
  must(bytes.length % 4 === 0, `${what} are no tokens`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tokens = Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
  must(tokens.every((id) => id < LIMITS.vocabulary), `${what} have an id that no vocabulary has`);
  return tokens;
};

/// Of units that another computed: layer, author, binding and signature.
const CITATION = 132;
const citationsIn = (bytes) => {
  must(bytes.length % CITATION === 0, 'citations of another size');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / CITATION }, (_, i) => {
    const at = i * CITATION;
    return {
      layer: view.getUint32(at, true), author: bytes.subarray(at + 4, at + 36),
      binding: bytes.subarray(at + 36, at + 68), proof: bytes.subarray(at + 68, at + CITATION),
    };
  });
};

/// Of each step: positions of the window so far, when they came, when they were sent on.
const HANDOVER = 12;
const handoversIn = (bytes) => {
  must(bytes.length % HANDOVER === 0, 'steps of another size');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / HANDOVER }, (_, i) => [0, 4, 8]
    .map((field) => view.getUint32(i * HANDOVER + field, true)));
};

/// The bytes of K and V are written behind those of the units, then citations, choices behind those of the logits.
const readStatement = (walk, at) => {
  walk.zeros(at * WORD + 12, 4);
  const statement = {
    window: walk.u32(at, 0), positions: walk.u32(at, 4), firstDraw: walk.u32(at, 8),
    computeUs: walk.u64(at, 16), elapsedUs: walk.u64(at, 24),
    input: walk.exactly(at + 4, 32, 'an input'),
    units: digestsOf(walk.data(at + 5, 32 * LIMITS.layers, 'units'), 'units'),
    kv: digestsOf(walk.data(at + 10, 32 * LIMITS.layers, 'K and V'), 'K and V'),
    cited: citationsIn(walk.data(at + 11, CITATION * LIMITS.layers, 'citations')),
    logits: digestsOf(walk.data(at + 6, 32 * WINDOW, 'logits'), 'logits'),
    choices: tokensIn(walk.data(at + 9, 4 * WINDOW, 'choices'), 'choices'),
    handovers: handoversIn(walk.data(at + 12, HANDOVER * WINDOW, 'steps')),
    proof: walk.exactly(at + 7, 64, 'a signature'),
    received: walk.exactly(at + 8, 64, 'a signature of a link'),
  };
  must(statement.kv.length === statement.units.length,
       `K and V of ${statement.kv.length} layers for ${statement.units.length} units`);
  let last = [0, 0, 0];
  for (const h of statement.handovers) {
    must(h[0] > last[0] && h[0] <= statement.positions && h[1] >= last[1] && h[2] >= last[2] && h[2] >= h[1],
         'steps out of order');
    last = h;
  }
  must(statement.window < LIMITS.windows && statement.positions > 0 && statement.positions <= WINDOW &&
       statement.firstDraw <= LIMITS.context, `a statement about window ${statement.window}`);
  return statement;
};

const readStage = (walk, at) => ({
  signer: readSigner(walk, walk.struct(at, 1, 2), false),
  commitments: walk.structs(at + 1, 3, 1, LIMITS.windows, 'commitments').map((a) => readCommitment(walk, a)),
  statements: walk.structs(at + 2, 4, 9, LIMITS.windows, 'statements')
    .map((a) => readStatement(walk, a)),
  senders: walk.structs(at + 3, 1, 2, LIMITS.senders, 'senders').map((a) => {
    const lead = walk.u32(a, 0) === 0 && walk.u32(a, 4) === 0;
    return readSigner(walk, a, lead);
  }),
});

/// What else decides how tokens are drawn: presence and frequency penalty, least tokens, biases by token.
const RANGES = { penalty: 2, bias: 100, further: 3 };
const readFurther = (walk, at, constraint) => {
  const words = walk.wide(at, RANGES.further + LIMITS.biases, 'further numbers');
  const float = (bits) => new Float32Array(new Uint32Array([Number(bits)]).buffer)[0];
  const within = (value, most) => value >= -most && value <= most;
  must(words.length >= RANGES.further && words.slice(0, 3).every((w) => w >> 32n === 0n),
       'further numbers of a receipt that are none');
  const [presence, frequency] = [float(words[0]), float(words[1])];
  must(within(presence, RANGES.penalty) && within(frequency, RANGES.penalty),
       `penalties of ${presence} and ${frequency}`);
  must(words[2] <= BigInt(LIMITS.context) && (words[2] === 0n || constraint.length === 0),
       `an answer of at least ${words[2]} tokens`);
  let last = -1n;
  for (const word of words.slice(3)) {
    const token = word & 0xffffffffn;
    const bias = float(word >> 32n);
    must(token > last && token < BigInt(LIMITS.vocabulary) && bias !== 0 && within(bias, RANGES.bias),
         `a bias of ${bias} for token ${token}`);
    last = token;
  }
  must(presence !== 0 || frequency !== 0 || words[2] !== 0n || words.length > 3,
       'further numbers of a receipt, none of which is set');
  return words;
};

/// The constraint, alone or with further numbers, is written first.
const readRules = (walk, at, kind) => {
  must(kind <= 1, `a receipt whose rules of sampling are of kind ${kind}`);
  if (kind === 0) { return { constraint: walk.data(at, LIMITS.constraint, 'a constraint'), further: [] }; }
  const rules = walk.struct(at, 0, 2);
  const constraint = walk.data(rules, LIMITS.constraint, 'a constraint');
  return { constraint, further: readFurther(walk, rules + 1, constraint) };
};

const readAsked = (walk, at) => {
  walk.zeros(at * WORD + 46, 2);
  const { constraint, further } = readRules(walk, at + 11, walk.u16(at, 44));
  const asked = {
    request: walk.u64(at, 0), layers: walk.u32(at, 8), maxTokens: walk.u32(at, 12),
    temperature: walk.f32(at, 16), topK: walk.u32(at, 20), topP: walk.f64(at, 24),
    minP: walk.f64(at, 32), repeatPenalty: walk.f32(at, 40), seed: walk.u64(at, 48), constraint, further,
    profile: walk.data(at + 7, LIMITS.profile, 'a profile'),
    model: walk.exactly(at + 8, 32, 'a model'),
    prompt: walk.numbers(at + 9, LIMITS.context, 'prompt tokens'),
  };
  asked.stop = walk.pointers(at + 10, LIMITS.stops, 'stop strings')
    .map((a) => walk.data(a, LIMITS.stopBytes, 'a stop string'));
  must(asked.prompt.length > 0 && asked.layers > 0 && asked.layers <= LIMITS.layers,
       `a receipt of ${asked.prompt.length} prompt tokens for a model of ${asked.layers} layers`);
  return asked;
};

/// The receipt in `bytes` (Uint8Array). Throws `Malformed` with a sentence.
export const readReceipt = (bytes) => {
  must(bytes.length >= 16 && bytes.length <= LIMITS.receiptBytes && bytes.length % WORD === 0,
       `a file of ${bytes.length} bytes is no receipt`);
  const head = new DataView(bytes.buffer, bytes.byteOffset, WORD);
  must(head.getUint32(0, true) === 0 && head.getUint32(4, true) * WORD + WORD === bytes.length,
       'these bytes are no receipt; give a file written by ovir run --receipt');
  const walk = new Walk(bytes.subarray(WORD));
  const at = walk.struct(walk.claim(1), 5, 7);
  const magic = String.fromCharCode(...bytes.slice(16, 24));
  must(magic === 'OVIRRCPT', magic === 'OVIRCMPT'
    ? 'this is a compact receipt; ovir-verify checks those' : 'these bytes are no receipt');
  const version = walk.u16(at, 8);
  must(version === 1, `a receipt of version ${version}; this page reads version 1`);
  walk.zeros(at * WORD + 11, 1);
  const receipt = {
    end: walk.u8(at, 10), positions: walk.u32(at, 12), firstTokenUs: walk.u64(at, 16),
    prefillUs: walk.u64(at, 24), decodeUs: walk.u64(at, 32),
    asked: readAsked(walk, walk.struct(at + 5, 7, 5)),
    output: walk.numbers(at + 6, LIMITS.context + 1, 'output tokens'),
    transcript: walk.exactly(at + 7, 32, 'a transcript digest'),
    lead: readSigner(walk, walk.struct(at + 8, 1, 2), true),
    stages: walk.structs(at + 9, 0, 4, LIMITS.stages, 'stages').map((a) => readStage(walk, a)),
    order: walk.exactly(at + 10, 64, 'a signature'),
    closing: walk.exactly(at + 11, 64, 'a signature'),
  };
  must(walk.next === walk.words, 'the receipt has something behind its end');
  must(receipt.end <= 2, `a receipt that ends in way ${receipt.end}`);
  const tokens = receipt.asked.prompt.length + receipt.output.length;
  must(receipt.positions > 0 && receipt.positions <= tokens && tokens <= LIMITS.context + 1 &&
       receipt.stages.length > 0, `a receipt of ${tokens} tokens and ${receipt.positions} positions`);
  must([...receipt.asked.prompt, ...receipt.output].every((id) => id < LIMITS.vocabulary),
       'a receipt with an id that no vocabulary has');
  return receipt;
};
