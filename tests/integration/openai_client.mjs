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

// JSON
function schema(inner) {
  return {type: "json_schema", json_schema: {name: "answer", strict: true, schema: inner}};
}
const free = await call("chat in JSON", () => chat({response_format: {type: "json_object"}, max_tokens: 40}));
assert.equal(typeof JSON.parse(free.choices[0].message.content), "object");
const animal = {type: "object", additionalProperties: false, required: ["name", "legs", "tags", "mother"], properties: {name: {type: "string", maxLength: 12}, legs: {type: "integer", minimum: 0, maximum: 8}, tags: {type: "array", items: {enum: ["tame", "wild"]}, maxItems: 2}, mother: {anyOf: [{$ref: "#"}, {type: "null"}]}}};
for (const temperature of [0, 1]) {
  const options = {response_format: schema(animal), max_tokens: 120, seed: 5, temperature};
  const whole = await call(`chat by a schema at ${temperature}`, () => chat(options));
  const value = JSON.parse(whole.choices[0].message.content);
  assert.deepEqual(Object.keys(value), ["name", "legs", "tags", "mother"]);
  assert.ok(value.legs >= 0 && value.legs <= 8 && value.name.length <= 12);
  const live = await call(`chat by a schema at ${temperature} streamed`, async () => streamed(await chat({...options, stream: true})));
  assert.equal(live.text, whole.choices[0].message.content);
}
const parsed = await call("chat.completions.parse", () => client.chat.completions.parse({model, messages: cow, max_tokens: 60, temperature: 0, response_format: schema({enum: ["moo", "woof"]})}));
assert.ok(["moo", "woof"].includes(parsed.choices[0].message.parsed));
const listed = await call("completion in JSON", () => complete({response_format: schema({type: "array", items: {type: "boolean"}, minItems: 2, maxItems: 3}), max_tokens: 30}));
assert.ok(JSON.parse(listed.choices[0].text).length >= 2);

// Logprobs
function sound(logprobs, top) {
  const bytes = [];
  for (const one of logprobs.content) {
    assert.equal(one.top_logprobs.length, top);
    assert.ok(one.logprob <= 0 && Number.isFinite(one.logprob));
    for (const [i, other] of one.top_logprobs.entries()) {
      assert.ok(i === 0 || other.logprob <= one.top_logprobs[i - 1].logprob);
    }
    assert.ok(one.top_logprobs.reduce((sum, other) => sum + Math.exp(other.logprob), 0) < 1.00001);
    bytes.push(...one.bytes);
  }
  return Buffer.from(bytes).toString();
}
async function pieces(stream) {
  const content = [];
  for await (const chunk of stream) {
    content.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  }
  return content;
}
const likely = await call("chat with logprobs", () => chat({logprobs: true}));
assert.equal(likely.choices[0].message.content, answer.choices[0].message.content);
assert.equal(likely.choices[0].ovir.transcript, answer.choices[0].ovir.transcript);
assert.equal(sound(likely.choices[0].logprobs, 0).trim(), answer.choices[0].message.content.trim());
const top = await call("chat with top logprobs", () => chat({logprobs: true, top_logprobs: 20}));
sound(top.choices[0].logprobs, 20);
for (const [i, one] of top.choices[0].logprobs.content.entries()) {
  assert.equal(one.logprob, likely.choices[0].logprobs.content[i].logprob);
  assert.equal(one.token, one.top_logprobs[0].token); // a greedy draw takes the likeliest
}
assert.deepEqual(await call("chat with top logprobs streamed", async () => pieces(await chat({logprobs: true, top_logprobs: 20, stream: true}))), top.choices[0].logprobs.content);
const drawn = {logprobs: true, top_logprobs: 2, temperature: 1.5, seed: 9, n: 2};
const several = await call("two chats with logprobs at a temperature", () => chat(drawn));
for (const choice of several.choices) {
  sound(choice.logprobs, 2);
}
assert.deepEqual((await call("the same again", () => chat(drawn))).choices.map((c) => c.logprobs), several.choices.map((c) => c.logprobs));
const shaped = await call("chat by a schema with logprobs", () => chat({logprobs: true, max_tokens: 60, response_format: schema({enum: ["moo", "woof"]})}));
assert.equal(sound(shaped.choices[0].logprobs, 0), shaped.choices[0].message.content);
const legacy = await call("completion with logprobs", () => complete({logprobs: 3}));
assert.equal(legacy.choices[0].text, text.choices[0].text);
assert.equal(legacy.choices[0].logprobs.tokens.join(""), text.choices[0].text);
assert.equal(legacy.choices[0].logprobs.token_logprobs.length, legacy.choices[0].logprobs.tokens.length);
assert.equal(legacy.choices[0].logprobs.text_offset[1], legacy.choices[0].logprobs.tokens[0].length);
assert.equal(Object.keys(legacy.choices[0].logprobs.top_logprobs[0]).length, 3);
assert.equal((await call("chat without logprobs", () => chat({logprobs: false}))).choices[0].logprobs, null);

// Embeddings
const embed = (input, more) => client.embeddings.create({model, input, ...more});
const vector = await call("embedding", () => embed("a cow")); // in base64, unseen
assert.equal(vector.object, "list");
assert.equal(vector.data.length, 1);
assert.ok(vector.usage.prompt_tokens >= 2);
const length = Math.hypot(...vector.data[0].embedding);
assert.ok(Math.abs(length - 1) < 1e-5, `length ${length}`);
const numbered = await call("embedding in numbers", () => embed("a cow", {encoding_format: "float"}));
assert.deepEqual(numbered.data[0].embedding, [...vector.data[0].embedding]);
const pair = await call("embeddings of two texts", () => embed(["a dog barks", "a cow"]));
assert.deepEqual(pair.data.map((one) => one.index), [0, 1]);
assert.deepEqual(pair.data[1].embedding, vector.data[0].embedding);
assert.notDeepEqual(pair.data[0].embedding, vector.data[0].embedding);
assert.notDeepEqual((await call("embedding of the last position", () => embed("a cow", {pooling: "last"}))).data[0].embedding, vector.data[0].embedding);
assert.deepEqual((await call("embedding of token ids", () => embed([70, 80, 90]))).data[0].embedding, (await call("embeddings of lists of token ids", () => embed([[70, 80, 90], [5]]))).data[0].embedding);
assert.equal((await call("embeddings of fifty texts", () => embed([...Array(50).keys()].map((i) => `text ${i}`)))).data.length, 50);

// Tools
const tools = [
  {type: "function", function: {name: "get_sound", description: "What an animal says", parameters: {type: "object", properties: {animal: {enum: ["cow", "dog"]}, loud: {type: "boolean"}}, required: ["animal"], additionalProperties: false}}},
  {type: "function", function: {name: "stop"}},
];
const calling = {tools, tool_choice: "required", max_tokens: 120, parallel_tool_calls: false};
const called = await call("chat that must call", () => chat(calling));
assert.equal(called.choices[0].finish_reason, "tool_calls");
assert.equal(called.choices[0].message.content, null);
assert.equal(called.choices[0].message.tool_calls.length, 1);
const named = await call("chat that must call one", () => chat({...calling, tool_choice: {type: "function", function: {name: "get_sound"}}}));
const made = named.choices[0].message.tool_calls[0];
assert.equal(made.function.name, "get_sound");
assert.ok(["cow", "dog"].includes(JSON.parse(made.function.arguments).animal));
const deltas = await call("chat that must call streamed", async () => {
  const list = [];
  let finish = null;
  for await (const chunk of await chat({...calling, tool_choice: {type: "function", function: {name: "get_sound"}}, stream: true})) {
    finish = chunk.choices[0].finish_reason ?? finish;
    for (const one of chunk.choices[0].delta.tool_calls ?? []) {
      list[one.index] ??= {id: one.id, name: one.function.name, text: ""};
      list[one.index].text += one.function.arguments;
    }
  }
  return {list, finish};
});
assert.equal(deltas.finish, "tool_calls");
assert.equal(deltas.list.length, 1);
assert.equal(deltas.list[0].name, "get_sound");
assert.equal(deltas.list[0].text, made.function.arguments);
assert.match(deltas.list[0].id, /^call_/);
const helped = await call("chat that must call by the stream helper", () => client.chat.completions.stream({model, messages: cow, temperature: 0, ...calling}).finalChatCompletion());
assert.deepEqual(helped.choices[0].message.tool_calls[0].function.arguments, called.choices[0].message.tool_calls[0].function.arguments);
const may = await call("chat that may call", () => chat({tools, max_tokens: 24}));
assert.ok(["stop", "length", "tool_calls"].includes(may.choices[0].finish_reason));
const none = await call("chat that must not call", () => chat({tools, tool_choice: "none"}));
assert.equal(none.choices[0].message.content, answer.choices[0].message.content);
await call("chat with the result of a call", () => chat({tools, messages: [...cow, named.choices[0].message, {role: "tool", tool_call_id: made.id, content: "Moo!"}]}));

// Receipts
const signed = await call("chat with a receipt", () => chat({receipt: true}).withResponse());
assert.equal(signed.data.choices[0].message.content, answer.choices[0].message.content);
const url = signed.data.choices[0].ovir.receipt;
assert.equal(url, signed.response.headers.get("x-ovir-receipt"));
const receipt = await call("the receipt", () => client.get(url.slice(3), {__binaryResponse: true}));
assert.ok((await receipt.arrayBuffer()).byteLength > 1000);
assert.equal(typeof signed.data.usage.prompt_tokens_details.cached_tokens, "number");
await refused("no such receipt", 404, undefined, () => client.get("/receipts/0000000000000001"));

// Errors
await refused("unknown model", 404, "model", () => chat({model: "gpt-9"}));
await refused("a tool of another kind", 400, "tools[0]", () => chat({tools: [{type: "custom", custom: {name: "f"}}]}));
await refused("tool_choice without tools", 400, "tool_choice", () => chat({tool_choice: "required"}));
await refused("response_format", 400, "response_format", () => chat({response_format: {type: "xml"}}));
await refused("a schema that cannot be kept to", 400, "response_format", () => chat({response_format: schema({type: "string", pattern: "a+"})}));
await refused("too few tokens for a schema", 400, "response_format", () => chat({max_tokens: 2, response_format: schema({const: "a long text"})}));
await refused("logprobs", 400, "logprobs", () => chat({logprobs: 2}));
await refused("top_logprobs alone", 400, "top_logprobs", () => chat({top_logprobs: 3}));
await refused("top_logprobs", 400, "top_logprobs", () => chat({logprobs: true, top_logprobs: 21}));
await refused("logprobs of a completion", 400, "logprobs", () => complete({logprobs: 21}));
await refused("temperature", 400, "temperature", () => chat({temperature: 3}));
await refused("top_p", 400, "top_p", () => chat({top_p: 2}));
await refused("n", 400, "n", () => chat({n: 100}));
await refused("max_tokens", 400, "max_tokens", () => chat({max_tokens: 0}));
await refused("too long", 400, "messages", () => chat({max_tokens: 100000}));
await call("penalties and a bias", () => chat({presence_penalty: 1, frequency_penalty: 0.5, logit_bias: {5: -100}}));
await refused("presence_penalty", 400, "presence_penalty", () => chat({presence_penalty: 3}));
await refused("logit_bias", 400, "logit_bias", () => chat({logit_bias: {5: 101}}));
await refused("logit_bias of no token", 400, "logit_bias", () => chat({logit_bias: {1000000: 1}}));
await refused("an unknown parameter", 400, "mood", () => chat({mood: "good"}));
await refused("an image", 400, "messages[0].content", () => chat({messages: [{role: "user", content: [{type: "image_url", image_url: {url: "data:,"}}]}]}));
await refused("no messages", 400, "messages", () => chat({messages: []}));
await refused("a system message alone", 400, "messages[0].role", () => chat({messages: [{role: "system", content: "x"}]}));
await refused("embeddings of nothing", 400, "input", () => client.embeddings.create({model, input: []}));
assert.equal((await call("embeddings of few dimensions", () => embed("x", {dimensions: 8}))).data[0].embedding.length, 8);
await refused("embeddings of too many dimensions", 400, "dimensions", () => client.embeddings.create({model, input: "x", dimensions: 32000}));
await call("the best of three, behind its prompt", async () => {
  const best = await complete({best_of: 3, echo: true, max_tokens: 4, temperature: 1, seed: 5});
  assert.equal(best.choices.length, 1);
  assert.ok(best.usage.completion_tokens > 4);
});
await refused("a gap to be filled", 400, "suffix", () => complete({suffix: "the end"}));
await refused("embeddings of an unknown model", 404, "model", () => client.embeddings.create({model: "gpt-9", input: "x"}));
await refused("a text that is too long", 400, "input", () => client.embeddings.create({model, input: "a cow ".repeat(5000)}));
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

// Files and batches
async function over(batch) {
  let now = batch;
  while (!["completed", "failed", "expired", "cancelled"].includes(now.status)) {
    now = await client.batches.retrieve(batch.id);
  }
  return now;
}
const asking = (name, more) => JSON.stringify({custom_id: name, method: "POST", url: "/v1/chat/completions", body: {model, messages: cow, max_tokens: 16, temperature: 0, ...more}});
const input = await call("files.create", async () => client.files.create({purpose: "batch", file: await OpenAI.toFile(Buffer.from([asking("a"), asking("b", {model: "gpt-9"}), asking("c", {temperature: 1, seed: 5})].join("\n")), "in.jsonl")}));
assert.equal((await call("files.retrieve", () => client.files.retrieve(input.id))).filename, "in.jsonl");
assert.ok((await call("files.list", () => client.files.list())).data.some((one) => one.id === input.id));
const batch = await call("batches.create", () => client.batches.create({input_file_id: input.id, endpoint: "/v1/chat/completions", completion_window: "24h", metadata: {of: "a test"}}));
const ended = await call("batches.retrieve until it is over", () => over(batch));
assert.equal(ended.status, "completed");
assert.deepEqual(ended.request_counts, {total: 3, completed: 2, failed: 1});
const parsedLines = async (id) => (await (await client.files.content(id)).text()).trim().split("\n").map((one) => JSON.parse(one));
const outputs = await call("files.content", () => parsedLines(ended.output_file_id));
assert.equal(outputs.find((one) => one.custom_id === "a").response.body.choices[0].message.content, answer.choices[0].message.content);
const failures = await call("files.content of errors", () => parsedLines(ended.error_file_id));
assert.equal(failures[0].response.status_code, 404);
let found = 0;
await call("batches.list", async () => {
  for await (const one of client.batches.list({limit: 1})) {
    found += one.id === batch.id ? 1 : 0;
  }
});
assert.equal(found, 1);
const astray = await call("batches.create for another endpoint", () => client.batches.create({input_file_id: input.id, endpoint: "/v1/completions", completion_window: "24h"}));
assert.equal((await call("a batch of another endpoint", () => over(astray))).status, "failed");
await refused("cancelling what is over", 409, undefined, () => client.batches.cancel(batch.id));
await refused("a file that is none", 404, undefined, () => client.files.retrieve("file-0"));
await refused("another purpose", 400, "purpose", async () => client.files.create({purpose: "fine-tune", file: await OpenAI.toFile(Buffer.from("{}"), "in.jsonl")}));
assert.equal((await call("files.delete", () => client.files.delete(input.id))).deleted, true);

// A worker dies while it streams: nothing of it is seen.
const options = {max_tokens: 480, temperature: 2, seed: 77, stream: true};
const numbers = {type: "array", items: {type: "integer", minimum: 0}, minItems: 100};
const constrained = {...options, prompt: "Numbers:", response_format: schema(numbers)};
const expected = await call("a long stream", async () => streamed(await complete(options)));
const counted = await call("a long constrained stream", async () => streamed(await complete(constrained)));
assert.ok(JSON.parse(counted.text).length >= 100);
const weighed = {...options, prompt: "One day,", logprobs: 2};
async function likelihoods(stream) {
  const list = [];
  for await (const chunk of stream) {
    list.push(...(chunk.choices[0]?.logprobs?.token_logprobs ?? []));
  }
  return list;
}
const weights = await call("a long stream with logprobs", async () => likelihoods(await complete(weighed)));
assert.ok(weights.length >= 100);
let begun = 0;
async function watched(asked) {
  let got = "";
  let seen = 0;
  for await (const chunk of await complete(asked)) {
    got += chunk.choices[0]?.text ?? "";
    seen += 1;
    if (seen === 2) {
      begun += 1;
      if (begun === 2) {
        console.log("kill");
      }
    }
  }
  return got;
}
const texts = [...Array(60).keys()].map((i) => `number ${i}: ${"a cow and a dog ".repeat(12)}`);
const vectors = (await call("embeddings of long texts", () => embed(texts))).data;
await call("three long streams and embeddings while a worker is killed", async () => {
  const [plain, kept, told, same] = await Promise.all([watched(options), watched(constrained), complete(weighed).then(likelihoods), embed(texts)]);
  assert.deepEqual(same.data.map((one) => one.embedding), vectors.map((one) => one.embedding));
  assert.equal(plain, expected.text);
  assert.equal(kept, counted.text);
  assert.deepEqual(told, weights);
});
await call("chat after it", () => chat());
const after = await call("chat by a schema after it", () => chat({response_format: schema(animal), max_tokens: 120}));
assert.equal(JSON.parse(after.choices[0].message.content).mother === undefined, false);
console.log(`calls ${calls}`);
