// The client of bench/deadlines_kept: URL MODEL LOAD SECONDS SEED FILE TICKS PROCESS...
//
// It measures what a request takes alone, and the capacity; then it asks at LOAD % of it. It writes
// a line of each request into FILE. The exit code is 0 if every goal is reached.
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';

const [url, model, loadText, secondsText, seedText, file, ticksText, ...processes] =
  process.argv.slice(2);
const [load, seconds, seed, ticks] = [loadText, secondsText, seedText, ticksText].map(Number);

const promptRange = [8, 64];
const answerRange = [8, 40];
const factorRange = [0.5, 16];
const unstreamed = 0.2; // of the requests
const aloneRounds = 7;
const aloneTriesMax = 200;
const clients = 8; // without pause, for the capacity
const capacityMs = 10_000;
const warmUp = 0.25; // of the time in which requests count
const patienceMs = 60_000; // beyond a deadline
const missedMost = 0.01; // of those accepted
const refusedSoonMs = 10;
const refusedLeast = 0.95; // of the refusals, soon and with the predicted time
const failuresShown = 5;

const now = () => performance.now();
const until = (time) => new Promise((done) => setTimeout(done, time - now()));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;

// Numbers from 0 to 1 that follow from the seed (mulberry32).
function numbers(from) {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const draw = numbers(seed);
const between = ([least, most]) => least + Math.floor(draw() * (most - least + 1));
const promptOf = (length) => Array.from({ length }, () => between([3, 252]));

// Connections take turns, so that none is idle until the gateway closes it.
const agent = new http.Agent({ keepAlive: true, scheduling: 'fifo' });
function ask(fields, patience = patienceMs) {
  const body = JSON.stringify({ model, temperature: 0, speculate: false, ...fields });
  return new Promise((done) => {
    const asked = now();
    const end = (status, text) => done({ asked, status, text, took: now() - asked });
    const request = http.request(`${url}/v1/completions`, {
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(patience),
    });
    request.on('error', (error) => end(0, error.message));
    request.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => end(answer.statusCode, text));
      answer.on('error', (error) => end(0, error.message));
    });
    request.end(body);
  });
}
// The whole answer of a request that nothing stops.
async function answer(prompt, tokens) {
  const { status, text, took } = await ask({ prompt: promptOf(prompt), max_tokens: tokens });
  if (status !== 200) throw new Error(`${status}: ${text}`);
  return { took, tokens: JSON.parse(text).usage.completion_tokens };
}

// Processor time so far, in seconds, of the nodes and of this client.
function processorTimes() {
  const times = processes.map((id) => {
    const fields = readFileSync(`/proc/${id}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticks;
  });
  const { user, system } = process.cpuUsage();
  return [...times, (user + system) / 1e6];
}
function meter() {
  const began = now();
  const before = processorTimes();
  return () => processorTimes().map((time, i) => (time - before[i]) / ((now() - began) / 1000));
}

// What requests take alone, in milliseconds: a + b for each token of the prompt + c for each of the
// answer, from the four corners. A model of random weights may end an answer early; such ones are
// left out.
async function measureAlone() {
  const corners = [];
  for (const prompt of promptRange) {
    for (const tokens of answerRange) corners.push({ prompt, tokens, times: [] });
  }
  let tries = 0;
  for (let round = -1; round < aloneRounds; round += 1) {
    for (const { prompt, tokens, times } of corners) {
      for (;;) {
        tries += 1;
        if (tries > aloneTriesMax) throw new Error('nearly all answers end early');
        const one = await answer(prompt, tokens);
        if (one.tokens !== tokens) continue;
        if (round >= 0) times.push(one.took); // the first round starts things
        break;
      }
    }
  }
  const [[p0, p1], [n0, n1]] = [promptRange, answerRange];
  const [short, long, shortOfLong, longOfLong] = corners.map(({ times }) => median(times));
  const b = (shortOfLong + longOfLong - short - long) / 2 / (p1 - p0);
  const c = (long + longOfLong - short - shortOfLong) / 2 / (n1 - n0);
  const all = mean([short, long, shortOfLong, longOfLong]);
  const a = all - (b * (p0 + p1)) / 2 - (c * (n0 + n1)) / 2;
  if (!(b > 0 && c > 0 && a + b * p0 + c * n0 > 0)) {
    throw new Error('the times of requests alone fit no line; try again on a quieter machine');
  }
  console.log(`alone     ${a.toFixed(1)} ms, ${b.toFixed(2)} ms for each token of the prompt, `
    + `${c.toFixed(2)} ms for each of the answer`);
  return (prompt, tokens) => a + b * prompt + c * tokens;
}

const shown = (used) => `${used.map((one) => one.toFixed(2)).join(', ')} (client)`;

// Requests a second of some clients, each of which asks again as soon as it has an answer.
async function measureCapacity() {
  const began = now();
  const used = meter();
  let counted = 0;
  let tokens = 0;
  let atEnd;
  await Promise.all(Array.from({ length: clients }, async () => {
    for (;;) {
      const one = await answer(between(promptRange), between(answerRange));
      if (now() - began > capacityMs) break;
      counted += 1;
      tokens += one.tokens;
    }
    atEnd ??= used();
  }));
  const rate = counted / (capacityMs / 1000);
  const tokenRate = tokens / (capacityMs / 1000);
  console.log(`capacity  ${rate.toFixed(2)} requests/s, ${tokenRate.toFixed(0)} tokens/s; `
    + `processors used: ${shown(atEnd)}`);
  return rate;
}

// What became of a request: kept, missed, refused, busy (429 and 503) or failed.
function judge(one) {
  const { status, text, took, deadline, stream } = one;
  const whole = stream ? text.includes('data: [DONE]') : status === 200;
  const failed = status === 200 ? text.indexOf('data: {"error"') : 0;
  if (whole && (!stream || failed < 0)) return took <= deadline ? 'kept' : 'missed';
  const why = text.slice(Math.max(failed, 0));
  one.why = why;
  if (why.includes('the deadline cannot be met')) return 'refused';
  if (status === 429 || status === 503) return 'busy';
  return why.includes('"timed_out"') || took >= deadline ? 'missed' : 'failed';
}

// All requests that arrive from the end of the warm-up on.
async function askUnderLoad(rate, alone) {
  const from = now() + seconds * 1000 * warmUp;
  const to = from + seconds * 1000;
  const requests = [];
  let used;
  for (let arrival = now(); ; ) {
    arrival += (-Math.log(1 - draw()) / rate) * 1000;
    if (!used && arrival >= from) {
      await until(from);
      used = meter();
    }
    if (arrival >= to) break;
    const prompt = promptOf(between(promptRange));
    const tokens = between(answerRange);
    const stream = draw() >= unstreamed;
    const factor = factorRange[0] * (factorRange[1] / factorRange[0]) ** draw();
    const deadline = Math.ceil(alone(prompt.length, tokens) * factor);
    await until(arrival);
    const fields = { prompt, max_tokens: tokens, stream, deadline_ms: deadline };
    requests.push(ask(fields, deadline + patienceMs).then((end) => ({
      ...end, prompt: prompt.length, tokens, stream, factor, deadline, counts: arrival >= from,
    })));
  }
  await until(to);
  const processors = used();
  const ended = await Promise.all(requests);
  for (const one of ended) one.fate = judge(one);
  writeFileSync(file, ended.map((one) => [
    one.counts ? 'counts' : 'before', one.fate, one.status, one.stream ? 'stream' : 'whole',
    one.prompt, one.tokens, one.factor.toFixed(3), one.deadline, one.took.toFixed(2),
    one.why?.trim().replace(/\s+/g, ' ') ?? '',
  ].join(' ')).join('\n') + '\n');
  return { requests: ended.filter(({ counts }) => counts), processors };
}

const share = (part, of) => (of === 0 ? 0 : part / of);
const percent = (part, of) => `${(100 * share(part, of)).toFixed(1)} %`;
const isA = (...fates) => ({ fate }) => fates.includes(fate);

function printClasses(requests) {
  const classes = [
    ['below 1', 0, 1], ['1 to 2', 1, 2], ['2 to 4', 2, 4], ['above 4', 4, Infinity],
    ['all', 0, Infinity],
  ];
  console.log('\ndeadline / alone   asked  refused  accepted  missed');
  for (const [name, least, most] of classes) {
    const those = requests.filter(({ factor }) => factor >= least && factor < most);
    const accepted = those.filter(isA('kept', 'missed')).length;
    const missed = those.filter(isA('missed')).length;
    const refused = those.filter(isA('refused')).length;
    console.log(`${name.padEnd(16)} ${String(those.length).padStart(7)} `
      + `${String(refused).padStart(8)} ${String(accepted).padStart(9)} `
      + `${String(missed).padStart(7)}  ${percent(missed, accepted)}`);
  }
}

for (const end = now() + patienceMs; ; await until(now() + 100)) {
  const ready = await fetch(`${url}/ready`).catch(() => null);
  if (ready?.status === 200) break;
  if (now() > end) throw new Error('the gateway is not ready');
}
const alone = await measureAlone();
const capacity = await measureCapacity();
const { requests, processors } = await askUnderLoad((capacity * load) / 100, alone);
agent.destroy();

printClasses(requests);
const refused = requests.filter(isA('refused'));
const accepted = requests.filter(isA('kept', 'missed'));
const failed = requests.filter(isA('failed'));
const times = refused.map(({ took }) => took).sort((a, b) => a - b);
const within = (part) => (times.length === 0 ? '-'
  : times[Math.ceil(times.length * part) - 1].toFixed(1));
console.log(`\nrefusals: half within ${within(0.5)} ms, 95 % within ${within(0.95)} ms`);
console.log(`asked ${(requests.length / seconds).toFixed(2)} requests/s; 429 or 503: `
  + `${requests.filter(isA('busy')).length}; other errors: ${failed.length}`);
console.log(`load: the busier node used ${percent(Math.max(...processors.slice(0, -1)), 1)} of a `
  + `processor; processors used: ${shown(processors)}`);

let reached = failed.length === 0 && accepted.length > 0;
for (const { status, text } of failed.slice(0, failuresShown)) {
  console.log(`error: ${status} ${text}`);
}
if (accepted.length === 0) console.log('error: nothing was accepted');
function verdict(what, part, of, how, goal) {
  const value = share(part, of);
  const right = of === 0 || (how === 'at most' ? value <= goal : value >= goal);
  reached &&= right;
  console.log(`${what.padEnd(36)} ${percent(part, of).padStart(8)}  ${how} ${100 * goal} %  `
    + `${right ? 'reached' : 'MISSED'}  (${part} of ${of})`);
}
console.log();
verdict('accepted, and missed', accepted.filter(isA('missed')).length, accepted.length, 'at most',
  missedMost);
verdict(`refused within ${refusedSoonMs} ms`, times.filter((time) => time <= refusedSoonMs).length,
  refused.length, 'at least', refusedLeast);
verdict('refused with the predicted time',
  refused.filter(({ status, why }) => status === 504 && / take up to [0-9.e+-]+ s here/.test(why))
    .length, refused.length, 'at least', refusedLeast);
process.exit(reached ? 0 : 1);
