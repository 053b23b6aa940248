// One measurement of llama.cpp, for bench/compare_llama_cpp: loads a model, evaluates a prompt in
// one batch, then decodes token by token, and prints one JSON document.
//
//   node bench/peer_llama_cpp.mjs '{"bins": DIR, "model": FILE, "threads": 2, "prefill": 128,
//                                   "decode": 32, "flash_attention": "auto"}'
//
// DIR is bins/linux-x64 of the npm package @node-llama-cpp/linux-x64. Its native add-on is driven
// directly: what is timed is llama_decode on the package's own build of llama.cpp, plus some tens
// of microseconds of JavaScript per call. The rest is as llama-bench has it: token ids that do not
// depend on the logits, logits of the last token only, f16 KV cache, weights memory-mapped and
// repacked where llama.cpp wants to, and a warm-up of one whole prompt and one token.
//
// Exits 4 when the add-on, its processor backend or the model cannot be used.
import { createRequire } from "node:module";
import { readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import process from "node:process";

// Every real vocabulary has this many tokens (a byte-level one has 256 and its special tokens), so
// the ids below are valid in any model.
const token_ids = 256;
// llama.cpp grows its KV cache in steps of this many tokens.
const context_step = 256;
const flash_attention_values = { off: false, on: true, auto: "auto" };
const log_level_warnings = 3;

/** `count` token ids, the same ones in every run: a 32-bit linear congruential sequence. */
function pseudo_random_ids(count) {
  let state = 0x0511;
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 16) % token_ids;
  });
}

/** The shared libraries of the package which this process has mapped. */
function mapped_libraries(bins) {
  const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
  const files = maps.map((line) => line.slice(line.indexOf("/")));
  return [...new Set(files)].filter((file) => file.startsWith(bins + path.sep));
}

/** Loads the add-on; llama.cpp itself picks the processor backend with the highest score here. */
async function load_addon(bins) {
  const addon = createRequire(import.meta.url)(path.join(bins, "llama-addon.node"));
  addon.setLogger((_level, message) => process.stderr.write(message));
  addon.setLoggerLogLevel(log_level_warnings);
  addon.loadBackends(bins);
  const backend = mapped_libraries(bins).find((file) => /libggml-cpu-\w+\.so$/.test(file));
  if (backend === undefined) {
    throw new Error(`llama.cpp loaded no processor backend from ${bins}`);
  }
  await addon.init();
  return { addon, backend };
}

async function load_model(addon, options) {
  const model = new addon.AddonModel(options.model, {
    addonExports: addon,
    gpuLayers: 0,
    useMmap: true,
  });
  if (!(await model.init())) {
    throw new Error(`llama.cpp refuses ${options.model}`);
  }
  const tokens = options.prefill + options.decode;
  const context = new addon.AddonContext(model, {
    contextSize: Math.ceil(tokens / context_step) * context_step,
    batchSize: options.prefill,
    sequences: 1,
    flashAttention: flash_attention_values[options.flash_attention],
    threads: options.threads,
  });
  if (!(await context.init())) {
    throw new Error(`llama.cpp makes no context of ${tokens} tokens for ${options.model}`);
  }
  return { model, context };
}

async function evaluate(context, ids, position) {
  context.initBatch(ids.length);
  context.addToBatch(0, position, ids, Uint32Array.of(ids.length - 1));
  await context.decodeBatch();
}

/** Seconds taken by the prompt and by `decode` tokens after it; leaves an empty cache. */
async function measure(context, ids, prefill, decode) {
  const start = performance.now();
  await evaluate(context, ids.subarray(0, prefill), 0);
  const middle = performance.now();
  for (let i = prefill; i < prefill + decode; ++i) {
    await evaluate(context, ids.subarray(i, i + 1), i);
  }
  const end = performance.now();
  context.disposeSequence(0);
  return { prefill_s: (middle - start) / 1e3, decode_s: (end - middle) / 1e3 };
}

async function main(options) {
  const { addon, backend } = await load_addon(realpathSync(options.bins));
  const loading = performance.now();
  const { model, context } = await load_model(addon, options);
  const load_s = (performance.now() - loading) / 1e3;
  const ids = pseudo_random_ids(options.prefill + options.decode);
  await measure(context, ids, options.prefill, 1);
  const took = await measure(context, ids, options.prefill, options.decode);
  const result = {
    prefill_tps: options.prefill / took.prefill_s,
    decode_tps: options.decode / took.decode_s,
    load_s,
    threads: context.getThreads(),
    backend,
    model: model.getModelDescription(),
    system: addon.systemInfo().trim(),
  };
  await context.dispose();
  await model.dispose();
  process.stdout.write(JSON.stringify(result) + "\n");
}

main(JSON.parse(process.argv[2])).catch((error) => {
  process.stderr.write(`peer_llama_cpp: ${error.message}\n`);
  process.exitCode = 4;
});
