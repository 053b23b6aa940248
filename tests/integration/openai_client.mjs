// The unmodified openai package against a gateway: node openai_client.mjs PACKAGE BASE_URL KEY
// Prints a line for each call, "kill" when a worker is to be killed, and at the end the number of
// calls. Exits with 1 at the first thing that is not as it should be.
import assert from "node:assert/strict";
import {pathToFileURL} from "node:url";

const [folder, baseURL, apiKey] = process.argv.slice(2);
const {default: OpenAI} = await import(pathToFileURL(`${folder}/index.mjs`));
const client = new OpenAI({baseURL, apiKey, maxRetries: 0});
const model = "embedded";
const cow = [{role: "user", content: "What sound does a cow make?"}];
let calls = 0;

async function call(name, act) {
  const value = await act();
  calls += 1;
  console.log(`ok ${calls} ${name}`);
  return value;
}
const chat = (more) => client.chat.completions.create({model, messages: cow, max_tokens: 16, temperature: 0, ...more});
const complete = (more) => client.completions.create({model, prompt: "Once upon a time", max_tokens: 16, temperature: 0, ...more});

async function refused(name, status, param, act) {
  await call(name, async () => {
    const error = await act().then(() => assert.fail(`${name}: accepted`), (e) => e);
    assert.equal(error.status, status, `${name}: ${error.message}`);
    if (param !== undefined) {
      assert.equal(error.param, param, name);
    }
    assert.ok(error.message.length > 10);
  });
}

// Models
const list = await call("models.list", () => client.models.list());
assert.equal(list.data[0].id, model);
assert.equal((await call("models.retrieve", () => client.models.retrieve(model))).id, model);
await refused("models.retrieve of none", 404, "model", () => client.models.retrieve("gpt-9"));

// Chat
const answer = await call("chat", () => chat());
assert.equal(answer.object, "chat.completion");
assert.equal(answer.choices[0].message.role, "assistant");
assert.ok(answer.choices[0].message.content.length > 0);
assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
assert.match(answer.choices[0].ovir.transcript, /^[0-9a-f]{64}$/);
const again = await call("chat again", () => chat());
assert.equal(again.choices[0].ovir.transcript, answer.choices[0].ovir.transcript);
const raw = await call("chat with headers", () => chat().withResponse());
assert.equal(raw.response.headers.get("x-ovir-transcript"), answer.choices[0].ovir.transcript);
assert.equal(raw.request_id, raw.response.headers.get("x-ovir-request"));
const parts = await call("chat in parts", () => chat({messages: [{role: "user", content: [{type: "text", text: cow[0].content}]}]}));
assert.equal(parts.choices[0].message.content, answer.choices[0].message.content);
await call("chat of several turns", () => chat({messages: [...cow, {role: "assistant", content: "Moo."}, {role: "user", content: "What sound does a dog make?"}]}));
for (const n of [1, 2, 3]) {
  const several = await call(`chat of ${n} answers`, () => chat({n, seed: 3, temperature: 1}));
  assert.deepEqual(several.choices.map((c) => c.index), [...Array(n).keys()]);
}
for (const temperature of [0.001, 0.7, 1, 2]) {
  const options = {temperature, seed: 42, top_p: 0.9, max_tokens: undefined, max_completion_tokens: 8};
  const one = await call(`chat at ${temperature}`, () => chat(options));
  const two = await call(`chat at ${temperature} again`, () => chat(options));
  assert.equal(one.choices[0].message.content, two.choices[0].message.content);
}
const short = await call("chat cut short", () => chat({max_tokens: 1}));
assert.equal(short.choices[0].finish_reason, "length");
assert.equal(short.usage.completion_tokens, 1);

// Streams
async function streamed(stream) {
  let text = "";
  let usage = null;
  let finish = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    const choice = chunk.choices[0];
    text += choice?.delta?.content ?? choice?.text ?? "";
    finish = choice?.finish_reason ?? finish;
  }
  return {text, usage, finish};
}
const live = await call("chat streamed", async () => streamed(await chat({stream: true, stream_options: {include_usage: true}})));
assert.equal(live.text, answer.choices[0].message.content);
assert.deepEqual(live.usage, answer.usage);
assert.equal(live.finish, answer.choices[0].finish_reason);
const bare = await call("chat streamed without usage", async () => streamed(await chat({stream: true})));
assert.equal(bare.usage, null);
for (const seed of [1, 2, 3, 4]) {
  const options = {temperature: 1, seed};
  const whole = await call(`chat with seed ${seed}`, () => chat(options));
  const piecemeal = await call(`chat with seed ${seed} streamed`, async () => streamed(await chat({...options, stream: true})));
  assert.equal(piecemeal.text, whole.choices[0].message.content);
}
const helper = await call("chat by the stream helper", () => client.chat.completions.stream({model, messages: cow, temperature: 0, max_tokens: 16}).finalContent());
assert.equal(helper, answer.choices[0].message.content);

// Completions
const text = await call("completion", () => complete());
assert.equal(text.object, "text_completion");
assert.equal((await call("completion streamed", async () => streamed(await complete({stream: true})))).text, text.choices[0].text);
const lists = await call("completions of two prompts", () => complete({prompt: ["Once upon a time", "One rainy day,"], n: 2}));
assert.equal(lists.choices.length, 4);
assert.equal(lists.choices[0].text, text.choices[0].text);
await call("completion of token ids", () => complete({prompt: [0, 70, 80]}));
const word = text.choices[0].text.trim().split(/\s+/)[1];
const stopped = await call("completion with a stop", () => complete({stop: word}));
assert.equal(stopped.choices[0].finish_reason, "stop");
assert.ok(!stopped.choices[0].text.includes(word));
assert.equal((await call("completion with a stop streamed", async () => streamed(await complete({stop: [word], stream: true})))).text, stopped.choices[0].text);

// Errors
await refused("unknown model", 404, "model", () => chat({model: "gpt-9"}));
await refused("tools", 400, "tools", () => chat({tools: [{type: "function", function: {name: "f", parameters: {}}}]}));
await refused("tool_choice", 400, "tool_choice", () => chat({tool_choice: "auto"}));
await refused("response_format", 400, "response_format", () => chat({response_format: {type: "json_object"}}));
await refused("logprobs", 400, "logprobs", () => chat({logprobs: true}));
await refused("top_logprobs", 400, "top_logprobs", () => chat({top_logprobs: 3}));
await refused("logprobs of a completion", 400, "logprobs", () => complete({logprobs: 2}));
await refused("temperature", 400, "temperature", () => chat({temperature: 3}));
await refused("top_p", 400, "top_p", () => chat({top_p: 2}));
await refused("n", 400, "n", () => chat({n: 100}));
await refused("max_tokens", 400, "max_tokens", () => chat({max_tokens: 0}));
await refused("too long", 400, "messages", () => chat({max_tokens: 100000}));
await refused("presence_penalty", 400, "presence_penalty", () => chat({presence_penalty: 1}));
await refused("logit_bias", 400, "logit_bias", () => chat({logit_bias: {5: 10}}));
await refused("an unknown parameter", 400, "mood", () => chat({mood: "good"}));
await refused("an image", 400, "messages[0].content", () => chat({messages: [{role: "user", content: [{type: "image_url", image_url: {url: "data:,"}}]}]}));
await refused("no messages", 400, "messages", () => chat({messages: []}));
await refused("a system message", 400, "messages[0].role", () => chat({messages: [{role: "system", content: "x"}]}));
await refused("embeddings", 404, undefined, () => client.embeddings.create({model, input: "x"}));
await refused("a wrong key", 401, undefined, () => new OpenAI({baseURL, apiKey: "sk-wrong", maxRetries: 0}).models.list());
await refused("a deadline", 504, undefined, () => chat({max_tokens: 300, deadline_ms: 1, temperature: 2}));

// Aborts
for (const after of [1, 3]) {
  await call(`abort after ${after} chunks`, async () => {
    const stream = await complete({stream: true, max_tokens: 300, temperature: 2});
    let seen = 0;
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      seen += 1;
      if (seen === after) {
        stream.controller.abort();
      }
    }
    assert.ok(seen >= after);
  });
}
await call("abort before the answer", async () => {
  const controller = new AbortController();
  const asked = client.chat.completions.create({model, messages: cow, max_tokens: 300, temperature: 2}, {signal: controller.signal});
  controller.abort();
  const error = await asked.then(() => assert.fail("answered"), (e) => e);
  assert.ok(error instanceof OpenAI.APIUserAbortError);
});

// Side by side
await call("eight streams at once", async () => {
  const all = await Promise.all([...Array(8).keys()].map(async () => streamed(await complete({stream: true}))));
  for (const one of all) {
    assert.equal(one.text, text.choices[0].text);
  }
});

// A worker dies while it streams: nothing of it is seen.
const options = {max_tokens: 480, temperature: 2, seed: 77, stream: true};
const expected = await call("a long stream", async () => streamed(await complete(options)));
await call("a long stream while a worker is killed", async () => {
  const stream = await complete(options);
  let got = "";
  let seen = 0;
  for await (const chunk of stream) {
    got += chunk.choices[0]?.text ?? "";
    seen += 1;
    if (seen === 2) {
      console.log("kill");
    }
  }
  assert.equal(got, expected.text);
});
await call("chat after it", () => chat());
console.log(`calls ${calls}`);
