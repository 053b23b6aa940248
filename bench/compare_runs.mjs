// Alternates runs of `ovir bench` and of llama.cpp on one model and compares their medians. It is
// called by bench/compare_llama_cpp, which checks the options and passes them as one JSON document:
//
//   {"ovir", "bins", "model", "threads", "prefill", "decode", "runs", "at_least",
//    "flash_attention", "noise_max", "accept_noise", "json", "commit", "package"}
//
// The table goes to standard output, each run as it ends to standard error. Exit codes: 0 both
// ratios reach `at_least`, 1 one does not, 4 a program did not run or the machine was too busy.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, renameSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const run_timeout_s = 60;
// No pair begins later than this, so that a busy machine cannot hold the comparison for long.
const time_budget_s = 180;
// Before a pair the machine must be quiet for one sample; all waiting together ends after this.
const wait_budget_s = 60;
const wait_sample_ms = 500;
// Pairs tried at most, as a multiple of the pairs wanted: disturbed ones are repeated.
const tries_per_run = 2;
// Undisturbed pairs below which there is no verdict.
const quiet_pairs_min = 3;
const clock_ticks_per_s = 100; // USER_HZ, which is what /proc counts in on every Linux
const sides = ["ovir", "llama_cpp"];
const measures = ["prefill_tps", "decode_tps"];
const titles = {
  ovir: "OVIR",
  llama_cpp: "llama.cpp",
  prefill_tps: "prefill",
  decode_tps: "decode",
};
const peer = fileURLToPath(new URL("peer_llama_cpp.mjs", import.meta.url));

/** An end that is neither a result nor a bug: one sentence and exit code 4. */
class unavailable extends Error {}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Processor time since boot: of everybody, what a hypervisor stole included, and of our runs. */
function processor_seconds() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)[0].trim().split(/\s+/).slice(1).map(Number);
  const self = readFileSync("/proc/self/stat", "utf8");
  const own = self.slice(self.lastIndexOf(")") + 2).split(" ").slice(11, 15).map(Number);
  return {
    all: (user + nice + system + irq + softirq + steal) / clock_ticks_per_s,
    own: own.reduce((sum, ticks) => sum + ticks, 0) / clock_ticks_per_s,
  };
}

/** Runs a program to its end; its standard output parsed as JSON. */
function json_of(command, args) {
  return new Promise((resolve, reject) => {
    // One libuv thread: llama.cpp then always computes on the same one, with its caches warm.
    const env = { ...process.env, UV_THREADPOOL_SIZE: "1" };
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), run_timeout_s * 1e3);
    const text = { out: "", err: "" };
    child.stdout.on("data", (data) => (text.out += data));
    child.stderr.on("data", (data) => (text.err += data));
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new unavailable(`${command} did not start: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const name = path.basename(command);
      if (code !== 0) {
        const how = signal === null ? `exit code ${code}` : `${signal} (limit: ${run_timeout_s} s)`;
        reject(new unavailable(`${name} ${args[0]} ended with ${how}: ${text.err.trim()}`));
        return;
      }
      try {
        resolve(JSON.parse(text.out));
      } catch {
        reject(new unavailable(`${name} ${args[0]} printed no JSON: ${text.out.slice(0, 200)}`));
      }
    });
  });
}

function command_of(side, o) {
  if (side === "ovir") {
    const shape = ["-t", o.threads, "-p", o.prefill, "-n", o.decode, "-r", 2].map(String);
    return [o.ovir, ["bench", "-m", o.model, ...shape, "--json"]];
  }
  const { bins, model, threads, prefill, decode, flash_attention } = o;
  const options = { bins, model, threads, prefill, decode, flash_attention };
  return [process.execPath, [peer, JSON.stringify(options)]];
}

/** The result of `work`, its duration, and how many processors everybody else used meanwhile. */
async function watched(work) {
  const before = { ...processor_seconds(), at: performance.now() };
  const result = await work();
  const after = processor_seconds();
  const wall_s = (performance.now() - before.at) / 1e3;
  const others = (after.all - before.all - (after.own - before.own)) / wall_s;
  return { ...result, wall_s, others: Math.max(0, others) };
}

/** Whether the machine became quiet before `waiting`, the rest of the wait budget, was spent. */
async function wait_for_quiet(o, waiting) {
  while (!o.accept_noise) {
    const sample = await watched(() => sleep(wait_sample_ms));
    if (sample.others <= o.noise_max) {
      return true;
    }
    waiting.left_s -= sample.wall_s;
    if (waiting.left_s <= 0) {
      return false;
    }
  }
  return true;
}

/** One run of one side. Both warm up: of the two runs inside `ovir bench` the second counts. */
async function run(side, o) {
  const result = await watched(() => json_of(...command_of(side, o)));
  if (side === "ovir") {
    Object.assign(result, result.runs?.at(-1));
    if (result.optimised === false) {
      throw new unavailable(`${o.ovir} was built without optimisation; build the release preset`);
    }
  }
  for (const measure of measures) {
    if (!(result[measure] > 0)) {
      throw new unavailable(`${titles[side]} reported no ${measure}`);
    }
  }
  return result;
}

/** Pairs of runs, ours and theirs in turn, until enough of them were undisturbed. */
async function alternate(o) {
  const pairs = [];
  const waiting = { left_s: wait_budget_s };
  const start = performance.now();
  const goes_on = () =>
    pairs.length < o.runs * tries_per_run && performance.now() - start < time_budget_s * 1e3;
  let quiet = 0;
  while (quiet < o.runs && goes_on() && (await wait_for_quiet(o, waiting))) {
    const pair = {};
    for (const side of sides) {
      pair[side] = await run(side, o);
      const r = pair[side];
      process.stderr.write(
        `run ${pairs.length + 1} ${titles[side].padEnd(9)} prefill ${tps(r.prefill_tps)}` +
          ` decode ${tps(r.decode_tps)} tokens/s, others used ${r.others.toFixed(2)} processors\n`,
      );
    }
    pair.disturbed = sides.some((side) => pair[side].others > o.noise_max);
    quiet += pair.disturbed && !o.accept_noise ? 0 : 1;
    pairs.push(pair);
  }
  return pairs;
}

/** Medians of both sides and their ratio; `min` and `max` are of the ratios within single pairs. */
function compare(pairs, measure) {
  const of = (side) => pairs.map((pair) => pair[side][measure]);
  const ratios = pairs.map((pair) => pair.ovir[measure] / pair.llama_cpp[measure]);
  const medians = Object.fromEntries(sides.map((side) => [side, median(of(side))]));
  return {
    ...medians,
    ratio: medians.ovir / medians.llama_cpp,
    min: Math.min(...ratios),
    max: Math.max(...ratios),
  };
}

function sha256(file) {
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    createReadStream(file, { highWaterMark: 1 << 20 })
      .on("error", (error) => reject(new unavailable(error.message)))
      .on("data", (data) => hash.update(data))
      .on("end", () => resolve(hash.digest("hex")));
  });
}

function machine() {
  const cpus = os.cpus();
  return {
    processor: cpus[0]?.model.trim() ?? "unknown",
    processors: cpus.length,
    memory_bytes: os.totalmem(),
    kernel: os.release(),
    load_before: os.loadavg()[0],
  };
}

const tps = (value) => value.toFixed(value < 1000 ? 2 : 0).padStart(8);

function row(cells) {
  const widths = [24, 10, 10, 12, 12];
  return cells.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join("");
}

function table(report) {
  const { machine: m, options: o, versions: v, pairs, comparison } = report;
  const kept = report.conclusive ? "the undisturbed ones" : "all, as too many were disturbed";
  const lines = [
    `machine    ${m.processor}, ${m.processors} processors, Linux ${m.kernel}`,
    `model      ${path.basename(o.model)} (${v.model_description}), sha256 ${v.model}`,
    `shape      ${o.threads} threads, prefill ${o.prefill}, decode ${o.decode} after it`,
    `OVIR       commit ${o.commit}, program sha256 ${v.ovir}`,
    `           ${v.isa} kernels, digest of all logits ${v.logits}`,
    `llama.cpp  ${o.package}, ${v.llama_cpp_release}, flash attention ${o.flash_attention}`,
    `           ${path.basename(v.backend)}, sha256 ${v.backend_sha256}`,
    `           ${v.features}`,
    "",
    row(["tokens/s", "prefill", "decode", "others", ""]),
  ];
  pairs.forEach((pair, i) => {
    for (const side of sides) {
      const r = pair[side];
      const note = pair.disturbed ? "disturbed" : "";
      const name = `run ${i + 1} ${titles[side]}`;
      lines.push(row([name, tps(r.prefill_tps), tps(r.decode_tps), r.others.toFixed(2), note]));
    }
  });
  lines.push("", row(["median", "OVIR", "llama.cpp", "ratio", "min..max"]));
  for (const measure of measures) {
    const c = comparison[measure];
    const range = `${c.min.toFixed(2)}..${c.max.toFixed(2)}`;
    lines.push(row([titles[measure], tps(c.ovir), tps(c.llama_cpp), c.ratio.toFixed(3), range]));
  }
  lines.push("", `medians over ${report.pairs_used} of ${pairs.length} pairs: ${kept}`);
  return lines.join("\n") + "\n";
}

/** What exactly was compared. */
async function versions_of(o, pairs) {
  const { ovir: own_run, llama_cpp: peer_run } = pairs[0];
  if (pairs.some((pair) => pair.ovir.logits !== own_run.logits)) {
    throw new unavailable("runs of ovir gave different logits; run ovir doctor");
  }
  const metadata = path.join(o.bins, "_nlcBuildMetadata.json");
  const build = JSON.parse(readFileSync(metadata, "utf8")).buildOptions?.llamaCpp;
  return {
    model: await sha256(o.model),
    model_description: peer_run.model,
    ovir: await sha256(o.ovir),
    isa: own_run.isa,
    logits: own_run.logits,
    llama_cpp_release: build ? `${build.repo} ${build.release}` : "unknown release",
    backend: peer_run.backend,
    backend_sha256: await sha256(peer_run.backend),
    features: [...peer_run.system.matchAll(/(\w+) = 1/g)].map((match) => match[1]).join(" "),
  };
}

function write_json(file, report) {
  const unfinished = `${file}.${process.pid}.part`;
  writeFileSync(unfinished, JSON.stringify(report, null, 2) + "\n");
  renameSync(unfinished, file);
}

function verdict(report) {
  const { options: o, comparison } = report;
  const low = measures.filter((measure) => comparison[measure].ratio < o.at_least);
  const wanted = `at least ${o.at_least} of llama.cpp`;
  if (!report.conclusive && !o.accept_noise) {
    const disturbed = report.pairs.filter((pair) => pair.disturbed).length;
    process.stderr.write(
      `compare_llama_cpp: not conclusive: in ${disturbed} of ${report.pairs.length} pairs ` +
        `other programs used more than ${o.noise_max} processors; stop them and ` +
        `run again, or pass --accept-noise\n`,
    );
    return 4;
  }
  for (const measure of low) {
    const ratio = comparison[measure].ratio.toFixed(3);
    process.stderr.write(`compare_llama_cpp: ${titles[measure]} is at ${ratio}, not ${wanted}\n`);
  }
  if (low.length === 0) {
    process.stderr.write(`compare_llama_cpp: prefill and decode are ${wanted}\n`);
  }
  return low.length === 0 ? 0 : 1;
}

async function main(o) {
  const machine_before = machine();
  const pairs = await alternate(o);
  if (pairs.length === 0) {
    throw new unavailable(
      `for ${wait_budget_s} s other programs used more than ${o.noise_max} processors; stop them ` +
        "and run again, or pass --accept-noise",
    );
  }
  const quiet = pairs.filter((pair) => !pair.disturbed);
  const enough = o.accept_noise ? o.runs : Math.min(o.runs, quiet_pairs_min);
  const conclusive = quiet.length >= enough;
  const used = conclusive ? quiet : pairs;
  const comparison = Object.fromEntries(measures.map((m) => [m, compare(used, m)]));
  const report = {
    machine: machine_before,
    options: o,
    versions: await versions_of(o, pairs),
    comparison,
    conclusive,
    pairs_used: used.length,
    pairs,
  };
  process.stdout.write(table(report));
  if (o.json !== "") {
    write_json(o.json, report);
  }
  return verdict(report);
}

main(JSON.parse(process.argv[2])).then(
  (code) => (process.exitCode = code),
  (error) => {
    if (!(error instanceof unavailable)) {
      throw error;
    }
    process.stderr.write(`compare_llama_cpp: ${error.message}\n`);
    process.exitCode = 4;
  },
);
