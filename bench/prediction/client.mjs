// The client of bench/predictions: URL MODEL TOKENS COUNT SEED
//
// Sends COUNT requests, 1 or 2. The second begins at the first one's first token. Prints a line
// "JOB SPEED" for each: tokens/s while all of them get tokens.
const [url, model, ...numbers] = process.argv.slice(2);
const [tokens, count, seed] = numbers.map(Number);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const attemptsMax = 20;

// The request's name in the cluster, and when each token came, in milliseconds.
async function ask(index, begun) {
  const first = seed * 131 + index * 37;
  const prompt = Array.from({ length: 8 }, (_, i) => 3 + ((i * 7919 + first) % 250));
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model, prompt, max_tokens: tokens, temperature: 0, stream: true, speculate: false,
    }),
  });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  const times = [];
  let rest = '';
  for await (const bytes of answer.body) {
    rest += Buffer.from(bytes).toString('latin1');
    const events = rest.split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (event.includes('"error"')) throw new Error(event);
      if (!event.includes('data: {') || !event.includes('"finish_reason":null')) continue;
      times.push(performance.now());
      begun();
    }
  }
  return { job: answer.headers.get('x-ovir-job'), times };
}

for (;;) {
  const ready = await fetch(`${url}/ready`).catch(() => null);
  if (ready?.status === 200) break;
  await pause(100);
}
async function askAll(first) {
  let asked = [];
  await new Promise((done, fail) => {
    asked.push(ask(first, done));
    asked[0].then(done, fail);
  });
  if (count === 2) asked.push(ask(first + 1, () => {}));
  asked = await Promise.all(asked);
  const from = Math.max(...asked.map(({ times }) => times[0] ?? Infinity));
  const to = Math.min(...asked.map(({ times }) => times.at(-1) ?? -Infinity));
  return asked.map(({ job, times }) => ({
    job,
    within: times.filter((time) => time >= from && time <= to),
  }));
}
// A model of random weights may end an answer early. Another prompt then.
for (let attempt = 0; ; attempt += 1) {
  if (attempt === attemptsMax) throw new Error('all answers end early; give fewer --tokens');
  const answers = await askAll(2 * attempt);
  if (answers.some(({ within }) => within.length < tokens / 2)) continue;
  for (const { job, within } of answers) {
    console.log(job, (1000 * (within.length - 1)) / (within.at(-1) - within[0]));
  }
  break;
}
