// The client of bench/chat_beside_prompt: URL PROMPT CHAT ROUNDS PRIORITY CHUNKS LOSS
const [url, prompt, chat, rounds, priority, chunksMax, lossMax] =
  process.argv.slice(2).map((word, i) => (i === 0 || i === 4 ? word : Number(word)));
const chunk = 64; // positions of a step, the default of nodes
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
let texts = 0;

// When each token came, in milliseconds. No prompt begins as another one does.
async function ask(length, tokens, more = {}) {
  texts += 1;
  const ids = Array.from({ length }, (_, i) => 3 + ((i * 7919 + texts * 131) % 250));
  const began = performance.now();
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'beside.gguf', prompt: ids, max_tokens: tokens, temperature: 0, stream: true, speculate: false, ...more,
    }),
  });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  const times = [];
  let rest = '';
  for await (const bytes of answer.body) {
    rest += Buffer.from(bytes).toString('latin1');
    const events = rest.split('\n\n');
    rest = events.pop();
    for (const event of events) if (event.includes('data: {')) times.push(performance.now() - began);
  }
  return times;
}

for (;;) {
  const ready = await fetch(`${url}/ready`).catch(() => null);
  if (ready?.status === 200) break;
  await pause(200);
}
await ask(200, 4);
const found = [];
for (let round = 0; round < rounds; round += 1) {
  const [alone] = await ask(prompt, 1);
  const slice = alone / Math.ceil(prompt / chunk);
  const both = ask(prompt, 1, { priority });
  await pause(alone / 5);
  const times = await ask(20, chat);
  const waits = times.slice(1).map((time, i) => time - times[i]);
  const [beside] = await both;
  found.push({ slice, first: times[0] / slice, longest: Math.max(...waits) / slice, loss: beside / alone - 1 });
}
const of = (key) => median(found.map((one) => one[key]));
console.log(`a chunk of ${chunk} positions        ${of('slice').toFixed(1)} ms`);
console.log(`the chat's first token        ${of('first').toFixed(2)} chunks  (goal ${chunksMax})`);
console.log(`its longest wait for a token  ${of('longest').toFixed(2)} chunks  (goal ${chunksMax})`);
console.log(`the prompt loses              ${(100 * of('loss')).toFixed(1)} %  (goal ${100 * lossMax} %)`);
process.exit(of('first') <= chunksMax && of('longest') <= chunksMax && of('loss') <= lossMax ? 0 : 1);
