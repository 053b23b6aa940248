// The programs that scripts/bench compares: how each is called for a case, and its answer in one
// form: {"decode": {"1": tokens/s}, "prefill": {"128": tokens/s}, ...}. The keys of `decode` are
// sequences at once, or positions before where a case has several of these.
import { fileURLToPath } from "node:url";
import path from "node:path";
import process from "node:process";

const peer = fileURLToPath(new URL("peer_llama_cpp.mjs", import.meta.url));

export const titles = {
  ovir: "OVIR",
  llama_cpp: "llama.cpp",
  ik_llama_cpp: "ik_llama.cpp",
  exactness: "exactness",
  ovir_run: "ovir run",
};

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function ovir_command(o, c) {
  const args = ["bench", "-m", o.models[c.model], "-t", c.threads, "-p", c.prompts.join(),
    "-n", c.decode, "-b", c.batch.join(), "--depth", c.depth.join(), "-r", c.runs,
    "--prefill-chunk", o.prefill_chunk, "--json"].map(String);
  return { command: o.ovir, args: c.profile ? [...args, "--profile"] : args,
    env: c.isa === "" ? {} : { OVIR_ISA: c.isa } };
}

function ovir_answer(c, text) {
  const all = JSON.parse(text);
  if (all.optimised === false) {
    throw new Error("this ovir was built without optimisation; build the release preset");
  }
  const by_depth = c.depth.length > 1;
  const first = all.decode[0];
  return {
    decode: Object.fromEntries(all.decode.map((d) =>
      [by_depth ? d.depth - c.prompts[0] : d.batch, d.tps])),
    prefill: Object.fromEntries(all.prefill.filter((p) => p.depth === c.depth[0])
      .map((p) => [p.prompt, p.tps])),
    share: all.bandwidth_share,
    read_bandwidth: all.read_bandwidth,
    integer_peak: all.prefill[0].integer_peak,
    memory: { peak: all.peak_rss_bytes, file: all.file_bytes, kv: all.kv_bytes,
      weights: all.weight_bytes, weights_read: all.weight_bytes_read },
    operations: { layers: all.layer_operations, head: all.head_operations },
    profile: first?.profile ?? null,
    overhead_us: first === undefined ? null : first.drawing_us + first.digest_us,
    isa: all.isa,
    digest: (first?.transcripts ?? []).join(),
  };
}

function llama_cpp_command(o, c) {
  const options = { bins: o.bins, model: o.models[c.model], threads: c.threads, prompts: c.prompts,
    decode: c.decode, depth: c.depth[0], runs: c.runs, flash_attention: "auto",
    library: c.isa === "avx2" ? "haswell" : "" };
  // One libuv thread: llama.cpp then always computes on the same one, with its caches warm.
  return { command: process.execPath, args: [peer, JSON.stringify(options)],
    env: { UV_THREADPOOL_SIZE: "1" } };
}

function llama_cpp_answer(c, text) {
  const all = JSON.parse(text);
  return {
    decode: all.decode.length === 0 ? {} : { 1: median(all.decode) },
    prefill: Object.fromEntries(Object.entries(all.prefill).map(([p, runs]) => [p, median(runs)])),
    backend: path.basename(all.backend),
    features: all.features,
  };
}

// Its own benchmark; -gp decodes after a prompt that is not counted.
function ik_command(o, c) {
  const args = ["-m", o.models[c.model], "-t", c.threads, "-r", c.runs, "-o", "json", "-n", 0,
    "-p", c.depth[0] > 0 ? 0 : c.prompts.join()];
  if (c.decode > 0) {
    args.push("-gp", `${c.depth[0] + c.prompts[0]},${c.decode}`);
  }
  return { command: o.ik, args: [...args.map(String), ...o.ik_arguments], env: {} };
}

function ik_answer(c, text) {
  // It prints what it repacks before the document.
  const tests = JSON.parse(text.slice(text.indexOf("[\n")));
  const speeds = (kept) => tests.filter(kept)
    .map((t) => [t.n_prompt, median(t.samples_ts)]);
  const [decoded] = speeds((t) => t.n_gen > 0);
  return {
    decode: decoded === undefined ? {} : { 1: decoded[1] },
    prefill: Object.fromEntries(speeds((t) => t.n_gen === 0)),
    commit: tests[0]?.build_commit,
  };
}

// A whole answer with its actors; the first token is not counted.
function run_command(o, c) {
  const prompt = "Once upon a time there was a little girl who had a dog";
  const args = ["run", "-m", o.models[c.model], "-t", c.threads, "--stages", 1, "-p", prompt, "-n",
    c.decode, "--speculate", "off", "--no-cache", "--json"];
  return { command: o.ovir, args: args.map(String), env: {} };
}

function run_answer(_, text) {
  const all = JSON.parse(text);
  return { decode: { 1: all.timing.decode_tps }, prefill: {}, tokens: all.tokens.length };
}

// A program that has both kinds of kernels, and alternates between them by itself.
function exactness_command(o, c) {
  const args = [o.models[c.model], c.threads, c.prompts[0], Math.max(1, c.decode), c.runs];
  return { command: o.exactness, args: args.map(String), env: {} };
}

function exactness_answer(c, text) {
  const all = JSON.parse(text);
  const [prompt] = c.prompts;
  return {
    decode: { 1: all.decode.exact_tps },
    prefill: { [prompt]: all.prefill.exact_tps },
    cost: { decode: all.decode.exact_over_any_order - 1,
      [`prefill.${prompt}`]: all.prefill.exact_over_any_order - 1 },
  };
}

const sides = {
  ovir: { command: ovir_command, answer: ovir_answer,
    missing: () => false },
  exactness: { command: exactness_command, answer: exactness_answer,
    missing: (o) => o.exactness === "" },
  llama_cpp: { command: llama_cpp_command, answer: llama_cpp_answer,
    missing: (o) => o.bins === "" },
  ik_llama_cpp: { command: ik_command, answer: ik_answer, missing: (o) => o.ik === "" },
  ovir_run: { command: run_command, answer: run_answer, missing: () => false },
};

/** The sides of a case whose programs are here. */
export const present = (o, c) => c.sides.filter((side) => !sides[side].missing(o));
export const command_of = (o, c, side) => sides[side].command(o, c);

/** Throws an Error with one sentence when the answer is not what was asked for. */
export function answer_of(c, side, text) {
  let answer;
  try {
    answer = sides[side].answer(c, text);
  } catch (error) {
    throw new Error(`${titles[side]} answered ${text.slice(0, 80).trim()}… (${error.message})`);
  }
  const speeds = [...Object.values(answer.decode), ...Object.values(answer.prefill)];
  if (speeds.length === 0 || speeds.some((speed) => !(speed > 0))) {
    throw new Error(`${titles[side]} reported no speed for ${c.id}`);
  }
  return answer;
}
