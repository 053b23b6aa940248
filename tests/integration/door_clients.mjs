// The unmodified clients of three APIs against a gateway: node door_clients.mjs MODULES ORIGIN OLLAMA KEY TABLE
// Prints a line for each call, "kill" when a worker is to be killed, and at the end the number of calls. Writes what
// each client may use, and what is refused, to the file TABLE. Exits with 1 at the first thing that is wrong.
import assert from "node:assert/strict";
import {writeFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const [modules, origin, ollamaOrigin, apiKey, table] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(`${modules}/${path}`));
const {default: Anthropic} = await load("@anthropic-ai/sdk/index.mjs");
const {Ollama} = await load("ollama/dist/index.mjs");
const {default: OpenAI} = await load("openai/index.mjs");
const anthropic = new Anthropic({baseURL: origin, apiKey, maxRetries: 0});
const ollama = new Ollama({host: ollamaOrigin, headers: {Authorization: `Bearer ${apiKey}`}});
const openai = new OpenAI({baseURL: `${origin}/v1`, apiKey, maxRetries: 0});
const model = "embedded";
const cow = "What sound does a cow make?";
const rows = [];
let calls = 0;
let client = "";

async function call(name, act) {
  const value = await act();
  calls += 1;
  console.log(`ok ${calls} ${client}: ${name}`);
  rows.push([client, name, "answered"]);
  return value;
}
async function refused(name, status, word, act) {
  const error = await act().then(() => assert.fail(`${name}: accepted`), (e) => e);
  assert.equal(error.status ?? error.status_code, status, `${name}: ${error.message}`);
  assert.ok(error.message.includes(word), `${name}: ${error.message}`);
  calls += 1;
  console.log(`ok ${calls} ${client}: ${name} is refused`);
  rows.push([client, name, `refused (${status})`]);
}

// What the same chat is told at OpenAI's door: every other door tells the same.
client = "openai chat";
const chat = (more) => openai.chat.completions.create({model, messages: [{role: "user", content: cow}], max_tokens: 16, temperature: 0, ...more});
const same = (await call("chat", () => chat())).choices[0];
const text = same.message.content;
await call("system, developer and null fields", () => chat({messages: [{role: "system", content: "Be kind.", name: null}, {role: "developer", content: "Be brief."}, {role: "user", content: cow}], seed: null, stop: null, n: null, tools: null, tool_choice: null, response_format: null, presence_penalty: null, logit_bias: null, user: null, store: null, reasoning_effort: null, prediction: null, audio: null, metadata: null, service_tier: null, stream_options: null, logprobs: null, top_logprobs: null, parallel_tool_calls: null, verbosity: null, web_search_options: null}));

// Anthropic Messages
client = "@anthropic-ai/sdk";
const message = (more) => anthropic.messages.create({model, max_tokens: 16, temperature: 0, messages: [{role: "user", content: cow}], ...more});
const one = await call("messages.create", () => message());
assert.equal(one.type, "message");
assert.equal(one.content[0].text, text);
assert.equal(one.ovir.transcript, same.ovir.transcript);
assert.ok(one.usage.output_tokens > 0);
assert.equal((await call("blocks of text", () => message({messages: [{role: "user", content: [{type: "text", text: cow, cache_control: {type: "ephemeral"}}]}]}))).content[0].text, text);
const guided = await call("system and an earlier turn", () => message({system: "Be kind.", messages: [{role: "user", content: "Hi"}, {role: "assistant", content: "Hello."}, {role: "user", content: cow}]}));
assert.ok(guided.usage.input_tokens + guided.usage.cache_read_input_tokens > one.usage.input_tokens);
await call("system as blocks", () => message({system: [{type: "text", text: "Be kind."}]}));
const counted = await call("messages.countTokens", () => anthropic.messages.countTokens({model, messages: [{role: "user", content: cow}]}));
assert.equal(counted.input_tokens, one.usage.input_tokens + one.usage.cache_read_input_tokens);
const types = [];
let told = "";
await call("stream: true", async () => {
  for await (const event of await message({stream: true})) {
    types.push(event.type);
    told += event.delta?.text ?? "";
  }
});
assert.equal(told, text);
assert.equal(types[0], "message_start");
assert.equal(types.at(-1), "message_stop");
const helped = await call("messages.stream().finalMessage()", () => anthropic.messages.stream({model, max_tokens: 16, temperature: 0, messages: [{role: "user", content: cow}]}).finalMessage());
assert.equal(helped.content[0].text, text);
assert.equal(helped.stop_reason, one.stop_reason);
assert.deepEqual(helped.usage.output_tokens, one.usage.output_tokens);
const word = text.trim().split(/\s+/)[1];
const stopped = await call("stop_sequences", () => message({stop_sequences: [word]}));
assert.equal(stopped.stop_reason, "stop_sequence");
assert.equal(stopped.stop_sequence, word);
const sampled = {temperature: 1, top_p: 0.9, top_k: 20, seed: 5};
assert.deepEqual((await call("top_p, top_k, temperature", () => message(sampled))).content, (await call("the same again", () => message(sampled))).content);
const tool = {name: "get_sound", description: "What an animal says", input_schema: {type: "object", properties: {animal: {enum: ["cow", "dog"]}}, required: ["animal"], additionalProperties: false}};
const using = {tools: [tool], tool_choice: {type: "tool", name: "get_sound", disable_parallel_tool_use: true}, max_tokens: 120};
const used = await call("tools", () => message(using));
assert.equal(used.stop_reason, "tool_use");
assert.ok(["cow", "dog"].includes(used.content[0].input.animal));
const usedLive = await call("tools streamed", () => anthropic.messages.stream({model, temperature: 0, messages: [{role: "user", content: cow}], ...using}).finalMessage());
assert.deepEqual(usedLive.content[0].input, used.content[0].input);
await call("the result of a tool", () => message({tools: [tool], messages: [{role: "user", content: cow}, {role: "assistant", content: used.content}, {role: "user", content: [{type: "tool_result", tool_use_id: used.content[0].id, content: "Moo!"}]}]}));
await call("tool_choice: none", () => message({tools: [tool], tool_choice: {type: "none"}}));
const shaped = await call("output_config.format", () => message({max_tokens: 60, output_config: {format: {type: "json_schema", schema: {enum: ["moo", "woof"]}}}}));
assert.ok(["moo", "woof"].includes(JSON.parse(shaped.content[0].text)));
await call("metadata, service_tier, thinking disabled", () => message({metadata: {user_id: "u"}, service_tier: "auto", thinking: {type: "disabled"}}));
const receipted = await call("receipt: true", () => message({receipt: true}));
assert.match(receipted.ovir.receipt, /^\/v1\/receipts\//);
await refused("thinking", 400, "thinking", () => message({thinking: {type: "enabled", budget_tokens: 1024}}));
await refused("images", 400, "messages[0].content[0].type", () => message({messages: [{role: "user", content: [{type: "image", source: {type: "base64", media_type: "image/png", data: ""}}]}]}));
await refused("an answer begun for the model", 400, "messages", () => message({messages: [{role: "user", content: cow}, {role: "assistant", content: "It"}]}));
await refused("tools of the server", 400, "tools[0].type", () => message({tools: [{type: "web_search_20250305", name: "web_search"}]}));
await refused("a forged tool_use_id", 400, "tool_use_id", () => message({messages: [{role: "user", content: [{type: "tool_result", tool_use_id: "x", content: "y"}]}]}));
await refused("temperature beyond 1", 400, "temperature", () => message({temperature: 1.5}));
await refused("a schema that cannot be kept to", 400, "output_config.format", () => message({output_config: {format: {type: "json_schema", schema: {type: "string", pattern: "a+"}}}}));
await refused("an unknown model", 404, "gpt-9", () => message({model: "gpt-9"}));
await refused("a wrong key", 401, "API key", () => new Anthropic({baseURL: origin, apiKey: "wrong", maxRetries: 0}).messages.create({model, max_tokens: 1, messages: [{role: "user", content: "x"}]}));
await call("abort of a stream", async () => {
  const stream = await message({stream: true, max_tokens: 300});
  for await (const event of stream) {
    if (event.type === "content_block_delta") {
      stream.controller.abort();
      break;
    }
  }
});

// Ollama
client = "ollama";
const cold = {temperature: 0, top_k: 0, top_p: 1, num_predict: 16};
const asked = (more) => ollama.chat({model, messages: [{role: "user", content: cow}], options: cold, ...more});
const first = await call("chat", () => asked());
assert.equal(first.message.content, text);
assert.equal(first.ovir.transcript, same.ovir.transcript);
assert.ok(first.total_duration > 0 && first.eval_count > 0 && first.done);
let heard = "";
await call("chat streamed", async () => {
  for await (const part of await asked({stream: true})) {
    heard += part.message.content;
  }
});
assert.equal(heard, text);
await call("chat with the defaults of the client", () => ollama.chat({model: "embedded:latest", messages: [{role: "system", content: "Be kind."}, {role: "user", content: cow}], keep_alive: "5m", options: {num_predict: 8}}));
assert.equal((await call("generate", () => ollama.generate({model, prompt: cow, options: cold}))).response, text);
heard = "";
await call("generate streamed", async () => {
  for await (const part of await ollama.generate({model, prompt: cow, options: cold, stream: true})) {
    heard += part.response;
  }
});
assert.equal(heard, text);
const raw = await call("generate raw", () => ollama.generate({model, prompt: "Once upon a time", raw: true, options: cold}));
assert.equal(raw.response, (await openai.completions.create({model, prompt: "Once upon a time", max_tokens: 16, temperature: 0})).choices[0].text);
await call("generate with a system text", () => ollama.generate({model, prompt: cow, system: "Be kind.", options: cold}));
assert.equal(typeof JSON.parse((await call("format: json", () => asked({format: "json", options: {...cold, num_predict: 40}}))).message.content), "object");
assert.ok(["moo", "woof"].includes(JSON.parse((await call("format: a schema", () => asked({format: {enum: ["moo", "woof"]}, options: {...cold, num_predict: 60}}))).message.content)));
const seeded = {options: {temperature: 1, seed: 3, num_predict: 16, stop: ["zzz"]}};
assert.equal((await call("seed, temperature, stop", () => asked(seeded))).message.content, (await call("the same again", () => asked(seeded))).message.content);
const functions = [{type: "function", function: {name: "get_sound", description: "What an animal says", parameters: {type: "object", properties: {animal: {enum: ["cow", "dog"]}}, required: ["animal"]}}}];
const offered = await call("tools", () => asked({tools: functions, options: {...cold, num_predict: 24}}));
assert.equal(offered.message.role, "assistant");
await call("the result of a tool", () => asked({tools: functions, messages: [{role: "user", content: cow}, {role: "assistant", content: "", tool_calls: [{function: {name: "get_sound", arguments: {animal: "cow"}}}]}, {role: "tool", tool_name: "get_sound", content: "Moo!"}]}));
const vectors = await call("embed", () => ollama.embed({model, input: ["a cow", "a dog"]}));
assert.equal(vectors.embeddings.length, 2);
assert.deepEqual((await call("embeddings", () => ollama.embeddings({model, prompt: "a cow"}))).embedding, vectors.embeddings[0]);
assert.deepEqual(vectors.embeddings[1], (await openai.embeddings.create({model, input: "a dog", encoding_format: "float"})).data[0].embedding);
assert.equal((await call("list", () => ollama.list())).models[0].name, "embedded:latest");
assert.equal((await call("ps", () => ollama.ps())).models.length, 1);
assert.ok((await call("show", () => ollama.show({model}))).capabilities.includes("completion"));
assert.match((await call("version", () => ollama.version())).version, /^\d+\.\d+/);
assert.equal((await call("pull of a model that is there", () => ollama.pull({model}))).status, "success");
await call("pull streamed", async () => {
  for await (const part of await ollama.pull({model, stream: true})) {
    assert.equal(part.status, "success");
  }
});
await call("load without a prompt", () => ollama.generate({model, prompt: ""}));
await refused("pull of another model", 404, "gemma", () => ollama.pull({model: "gemma"}));
await refused("an unknown model", 404, "gemma", () => asked({model: "gemma"}));
await refused("images", 400, "images", () => asked({messages: [{role: "user", content: "x", images: ["aGk="]}]}));
await refused("think", 400, "think", () => asked({think: true}));
await refused("mirostat", 400, "options.mirostat", () => asked({options: {mirostat: 2}}));
await call("presence and frequency penalty", () => asked({options: {presence_penalty: 1, frequency_penalty: 0.5}}));
await refused("presence_penalty beyond 2", 400, "options.presence_penalty", () => asked({options: {presence_penalty: 3}}));
await refused("create", 400, "operator", () => ollama.create({model: "x", from: model, stream: false}));
await refused("delete", 400, "operator", () => ollama.delete({model}));
await refused("a wrong key", 401, "API key", () => new Ollama({host: ollamaOrigin}).list());
await call("abort of a stream", async () => {
  const stream = await asked({stream: true, options: {temperature: 1, num_predict: 300}});
  await assert.rejects(async () => {
    for await (const part of stream) {
      assert.ok(part.message);
      stream.abort();
    }
  });
});

// OpenAI Responses
client = "openai responses";
const respond = (more) => openai.responses.create({model, input: cow, max_output_tokens: 16, temperature: 0, ...more});
const response = await call("responses.create", () => respond());
assert.equal(response.output_text, text);
assert.equal(response.ovir.transcript, same.ovir.transcript);
assert.equal((await call("items as input", () => respond({input: [{role: "user", content: [{type: "input_text", text: cow}]}]}))).output_text, text);
const events = [];
await call("stream: true", async () => {
  for await (const event of await respond({stream: true})) {
    events.push(event);
  }
});
assert.equal(events[0].type, "response.created");
assert.match(events.at(-1).type, /^response\.(completed|incomplete)$/);
assert.equal(events.at(-1).response.output[0].content[0].text, text);
assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
assert.ok((await call("responses.stream().finalResponse()", () => openai.responses.stream({model, input: cow, max_output_tokens: 60, temperature: 0}).finalResponse())).output.length > 0);
assert.deepEqual((await call("responses.retrieve", () => openai.responses.retrieve(response.id))).output, response.output);
const next = await call("previous_response_id", () => respond({input: "And a dog?", previous_response_id: response.id, instructions: "Be kind."}));
assert.ok(next.usage.input_tokens > response.usage.input_tokens);
await call("responses.delete", () => openai.responses.delete(response.id));
await refused("a response that was deleted", 404, "response", () => openai.responses.retrieve(response.id));
await refused("previous_response_id of none", 400, "previous_response_id", () => respond({previous_response_id: response.id}));
const unstored = await call("store: false", () => respond({store: false}));
await refused("a response that was not stored", 404, "response", () => openai.responses.retrieve(unstored.id));
const flat = [{type: "function", name: "get_sound", description: "What an animal says", strict: true, parameters: {type: "object", properties: {animal: {enum: ["cow", "dog"]}}, required: ["animal"], additionalProperties: false}}];
const made = await call("tools", () => respond({tools: flat, tool_choice: "required", parallel_tool_calls: false, max_output_tokens: 120}));
assert.equal(made.output[0].type, "function_call");
assert.ok(["cow", "dog"].includes(JSON.parse(made.output[0].arguments).animal));
await call("the output of a call", () => respond({tools: flat, previous_response_id: made.id, input: [{type: "function_call_output", call_id: made.output[0].call_id, output: "Moo!"}]}));
const parsed = await call("responses.parse with a schema", () => openai.responses.parse({model, input: cow, max_output_tokens: 60, temperature: 0, text: {format: {type: "json_schema", name: "sound", strict: true, schema: {enum: ["moo", "woof"]}}}}));
assert.ok(["moo", "woof"].includes(parsed.output_parsed));
await call("null-filled fields", () => respond({instructions: null, tools: null, tool_choice: null, metadata: null, previous_response_id: null, reasoning: null, text: null, truncation: null, user: null, include: null, background: null, conversation: null, max_tool_calls: null, prompt: null, service_tier: null, store: null, stream: null, top_logprobs: null, top_p: null, parallel_tool_calls: null}));
await refused("reasoning", 400, "reasoning", () => respond({reasoning: {effort: "high"}}));
await refused("background", 400, "background", () => respond({background: true}));
await refused("tools of the server", 400, "tools[0].type", () => respond({tools: [{type: "web_search"}]}));
await refused("images", 400, "input[0].content[0].type", () => respond({input: [{role: "user", content: [{type: "input_image", image_url: "data:,"}]}]}));
await refused("truncation: auto", 400, "truncation", () => respond({truncation: "auto"}));

// A worker dies while all doors stream: nothing of it is seen.
client = "all";
const long = {temperature: 1, seed: 77};
async function ofAnthropic(killing) {
  let got = "";
  for await (const event of await message({...long, max_tokens: 240, stream: true})) {
    got += event.delta?.text ?? "";
    if (event.type === "content_block_start" && killing) {
      console.log("kill");
    }
  }
  return got;
}
async function ofOllama() {
  let got = "";
  for await (const part of await asked({stream: true, options: {...cold, ...long, num_predict: 240}})) {
    got += part.message.content;
  }
  return got;
}
async function ofResponses() {
  let got = "";
  for await (const event of await respond({...long, max_output_tokens: 240, stream: true})) {
    got += event.type === "response.output_text.delta" ? event.delta : "";
  }
  return got;
}
const expected = await call("three long streams", () => Promise.all([ofAnthropic(false), ofOllama(), ofResponses()]));
assert.equal(new Set(expected).size, 1);
assert.deepEqual(await call("three long streams while a worker is killed", () => Promise.all([ofAnthropic(true), ofOllama(), ofResponses()])), expected);
const heading = ["# What clients of other APIs may use", "", "A test writes this page (`tests/integration/door_clients_test.cpp`): the unmodified packages of `tests/peers/clients`.", ""];
writeFileSync(table, [...heading, "| client | what | here |", "|---|---|---|", ...rows.map((row) => `| ${row.join(" | ")} |`), ""].join("\n"));
console.log(`calls ${calls}`);
