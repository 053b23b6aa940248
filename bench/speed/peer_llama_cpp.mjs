// One measurement of llama.cpp, for scripts/bench: loads a model, evaluates prompts, decodes token
// by token after the first of them, and prints one JSON document.
//
//   node bench/speed/peer_llama_cpp.mjs '{"bins": DIR, "model": FILE, "threads": 2,
//       "prompts": [128, 512], "decode": 32, "depth": 0, "runs": 2,
//       "flash_attention": "auto", "library": ""}'
//
// DIR is bins/linux-x64 of the npm package @node-llama-cpp/linux-x64. Its native add-on is driven
// directly: what is timed is llama_decode on the package's own build of llama.cpp, plus some tens
// of microseconds of JavaScript per call. The rest is as llama-bench has it: token ids that do not
// depend on the logits, logits of the last token only, f16 KV cache, weights memory-mapped and
// repacked where llama.cpp wants to, batches of 512, and a warm-up of one prompt and one token.
// `library` restricts it to one processor backend ("haswell"); `depth` positions are evaluated
// before each measurement and not counted.
//
// Exits 4 when the add-on, its processor backend or the model cannot be used.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

// Every real vocabulary has this many tokens (a byte-level one has 256 and its special tokens), so
// the ids below are valid in any model.
const token_ids = 256;
// llama.cpp grows its KV cache in steps of this many tokens.
const context_step = 256;
const batch_max = 512;
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

/** The processor backends of the package which this process has mapped. */
function mapped_backends(bins) {
  const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
  const files = new Set(maps.map((line) => line.slice(line.indexOf("/"))));
  return [...files].filter(
    (file) => file.startsWith(bins + path.sep) && /libggml-cpu-\w+\.so$/.test(file),
  );
}

/** Has llama.cpp pick the backend with the highest score here, or shows it only one. */
function load_backends(addon, bins, library) {
  if (library === "") {
    addon.loadBackends(bins);
    return;
  }
  const only = mkdtempSync(path.join(os.tmpdir(), "ovir-bench-"));
  try {
    const name = `libggml-cpu-${library}.so`;
    symlinkSync(path.join(bins, name), path.join(only, name));
    addon.loadBackends(only);
  } finally {
    rmSync(only, { recursive: true });
  }
}

async function load_addon(bins, library) {
  const addon = createRequire(import.meta.url)(path.join(bins, "llama-addon.node"));
  addon.setLogger((_level, message) => process.stderr.write(message));
  addon.setLoggerLogLevel(log_level_warnings);
  load_backends(addon, bins, library);
  await addon.init();
  return addon;
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
  // The warm-up decodes a token after the first prompt, even where nothing else does.
  const longest = Math.max(...options.prompts, options.prompts[0] + Math.max(1, options.decode));
  const tokens = options.depth + longest;
  const context = new addon.AddonContext(model, {
    contextSize: Math.ceil(tokens / context_step) * context_step,
    batchSize: batch_max,
    sequences: 1,
    flashAttention: flash_attention_values[options.flash_attention],
    threads: options.threads,
  });
  if (!(await context.init())) {
    throw new Error(`llama.cpp makes no context of ${tokens} tokens for ${options.model}`);
  }
  return { model, context, tokens };
}

/** Seconds for positions [first, last) in batches; logits of the last one only. */
async function evaluate(context, ids, first, last) {
  const start = performance.now();
  for (let at = first; at < last; at += batch_max) {
    const end = Math.min(at + batch_max, last);
    context.initBatch(end - at);
    const wanted = end === last ? Uint32Array.of(end - at - 1) : new Uint32Array();
    context.addToBatch(0, at, ids.subarray(at, end), wanted);
    await context.decodeBatch();
  }
  return (performance.now() - start) / 1e3;
}

/** Seconds to decode `count` tokens one by one. */
async function decode(context, ids, first, count) {
  let seconds = 0;
  for (let i = first; i < first + count; ++i) {
    seconds += await evaluate(context, ids, i, i + 1);
  }
  return seconds;
}

async function measure(context, ids, options) {
  const { prompts, depth, runs } = options;
  const result = { prefill: Object.fromEntries(prompts.map((p) => [p, []])), decode: [] };
  for (let run = 0; run < runs; ++run) {
    for (const [i, prompt] of prompts.entries()) {
      await evaluate(context, ids, 0, depth);
      const seconds = await evaluate(context, ids, depth, depth + prompt);
      result.prefill[prompt].push(prompt / seconds);
      if (i === 0 && options.decode > 0) {
        const spent = await decode(context, ids, depth + prompt, options.decode);
        result.decode.push(options.decode / spent);
      }
      context.disposeSequence(0);
    }
  }
  return result;
}

async function main(options) {
  const bins = realpathSync(options.bins);
  const addon = await load_addon(bins, options.library);
  const { model, context, tokens } = await load_model(addon, options);
  const [backend] = mapped_backends(bins);
  if (backend === undefined) {
    throw new Error(`llama.cpp loaded no processor backend from ${bins}`);
  }
  const ids = pseudo_random_ids(tokens);
  await evaluate(context, ids, 0, options.prompts[0]);
  await decode(context, ids, options.prompts[0], 1);
  context.disposeSequence(0);
  const result = {
    ...(await measure(context, ids, options)),
    threads: context.getThreads(),
    backend,
    model: model.getModelDescription(),
    features: [...addon.systemInfo().matchAll(/(\w+) = 1/g)].map((match) => match[1]).join(" "),
  };
  await context.dispose();
  await model.dispose();
  process.stdout.write(JSON.stringify(result) + "\n");
}

main(JSON.parse(process.argv[2])).catch((error) => {
  process.stderr.write(`peer_llama_cpp: ${error.message}\n`);
  process.exitCode = 4;
});
