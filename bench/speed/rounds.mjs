// Runs the sides of each case in turn, round after round, and keeps every answer in a journal, one
// JSON document per line, so that an hour of measuring can be stopped and continued.
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { answer_of, command_of, present, titles } from "./sides.mjs";

const measured = fileURLToPath(new URL("../measured", import.meta.url));
const run_timeout_s = 1200;
// Before a round the machine must be quiet for one sample; all waiting of a case ends after this.
const wait_budget_s = 60;
const wait_sample = ["sleep", "0.5"];
// Rounds tried at most, as a multiple of those wanted: disturbed ones are repeated, and of those that
// need a steady memory more are disturbed.
const tries_per_round = 2;
const tries_per_steady_round = 4;
const journal_version = 1;

/** An end that is neither a result nor a bug: one sentence and exit code 4. */
export class unavailable extends Error {}
/** OVIR itself is wrong: one sentence and exit code 1. */
export class wrong extends Error {}

let child_now = null;

/** Ends the program that is running, and what it started. */
export function stop_child(signal) {
  if (child_now?.pid !== undefined) {
    process.kill(-child_now.pid, signal);
  }
}

/** Runs a program to its end: {code, signal, out, err, others, wall_s}. */
function watched({ command, args, env }) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(measured, [command, ...args],
      { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe", "pipe"],
        detached: true });
    child_now = child;
    const timer = setTimeout(() => stop_child("SIGKILL"), run_timeout_s * 1e3);
    const text = ["", "", "", ""];
    for (const fd of [1, 2, 3]) {
      child.stdio[fd].on("data", (data) => (text[fd] += data));
    }
    child.on("error", (error) => reject(new unavailable(`${measured}: ${error.message}`)));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      child_now = null;
      resolve({ code, signal, out: text[1], err: text[2], others: Number(text[3]),
        wall_s: (performance.now() - start) / 1e3 });
    });
  });
}

/** Whether the machine became quiet before the wait budget was spent. */
async function wait_for_quiet(o) {
  let left_s = o.accept_noise ? 0 : wait_budget_s;
  while (left_s > 0) {
    const sample = await watched({ command: wait_sample[0], args: wait_sample.slice(1), env: {} });
    if (sample.others <= o.noise_max) {
      return true;
    }
    left_s -= sample.wall_s;
  }
  return o.accept_noise;
}

/** Bytes per second that so many threads of this machine read just now. */
async function reading_now(o, threads) {
  const ran = await watched({ command: o.ovir, args: ["doctor", "--json", "-t", String(threads)],
    env: {} });
  if (ran.code !== 0) {
    throw new wrong(`ovir doctor ended with exit code ${ran.code}: ${ran.err.trim()}`);
  }
  return JSON.parse(ran.out).memory_bandwidth.all_threads;
}

/** One side's answer, or the sentence that says why there is none. */
async function one_run(o, c, side) {
  const ran = await watched(command_of(o, c, side));
  const why = ran.err.trim().split("\n").at(-1);
  if (ran.code !== 0) {
    const how = ran.signal === null ? `exit code ${ran.code}` : ran.signal;
    const sentence = `${titles[side]} ended with ${how} at ${c.id}: ${why}`;
    if (side === "ovir") {
      throw new wrong(sentence);
    }
    return { failed: sentence };
  }
  try {
    return { answer: answer_of(c, side, ran.out), others: ran.others, wall_s: ran.wall_s };
  } catch (error) {
    return { failed: error.message };
  }
}

/** What two runs of a case must have in common besides their program, to be compared. */
const shape_of = (c) => JSON.stringify({ ...c, sides: undefined });

/**
 * All answers, and the headers that say what the programs were: {"kind": "header", "machine",
 * "ids": {side: identity of its program}, ...}. The last header counts; answers of other programs
 * than it names stay in the file, and are not looked at.
 */
export class journal {
  constructor(file, header, runs) {
    Object.assign(this, { file, header, runs, as_last_measured: false });
  }

  /** Continues `file`, or begins it: when `fresh`, or on another machine. */
  static open(file, header, fresh) {
    const own = { kind: "header", version: journal_version, ...header };
    let runs = [];
    if (existsSync(file)) {
      const old = read_journal(file);
      if (!fresh && JSON.stringify(old.header.machine) === JSON.stringify(own.machine)) {
        // Programs that are not here today keep what they measured.
        own.ids = { ...old.header.ids, ...own.ids };
        own.programs = { ...old.header.programs, ...own.programs };
        runs = old.runs;
        // Without what a crash tore off at the end.
        const records = [old.header, ...runs].map((record) => JSON.stringify(record) + "\n");
        writeFileSync(`${file}.part`, records.join(""));
        renameSync(`${file}.part`, file);
      } else {
        renameSync(file, `${file}.old`);
        process.stderr.write(`earlier results are now in ${file}.old\n`);
      }
    }
    appendFileSync(file, JSON.stringify(own) + "\n");
    return new journal(file, own, runs);
  }

  add(record) {
    this.runs.push(record);
    appendFileSync(this.file, JSON.stringify(record) + "\n");
  }

  /**
   * Rounds of a case in which every one of `sides` answered: [{round, side: record}]. Those
   * measured in the same way alone; where `as_last_measured`, in the way of the last one.
   */
  rounds(c, sides) {
    const all = this.runs.filter((run) => run.case === c.id &&
      run.program === this.header.ids[run.side]);
    const shape = this.as_last_measured ? all.at(-1)?.shape : shape_of(c);
    const rounds = new Map();
    for (const run of all.filter((one) => one.shape === shape)) {
      rounds.set(run.round, { ...rounds.get(run.round), round: run.round, [run.side]: run });
    }
    return [...rounds.values()].filter((r) => sides.every((side) => r[side]?.answer));
  }

  last_round(c) {
    return Math.max(0, ...this.runs.filter((run) => run.case === c.id).map((run) => run.round));
  }
}

/** A journal from its file; a line torn by a crash at the end is left out. */
export function read_journal(file) {
  const lines = readFileSync(file, "utf8").split("\n").filter((line) => line !== "");
  const records = [];
  for (const [i, line] of lines.entries()) {
    try {
      records.push(JSON.parse(line));
    } catch {
      if (i + 1 < lines.length) {
        throw new unavailable(`line ${i + 1} of ${file} is no JSON; remove it, or pass --fresh`);
      }
    }
  }
  const headers = records.filter((record) => record.kind === "header");
  if (headers.length === 0 || headers.some((h) => h.version !== journal_version)) {
    throw new unavailable(`${file} is no journal of scripts/bench; give another --results`);
  }
  return new journal(file, headers.at(-1), records.filter((record) => record.kind === "run"));
}

const quiet = (round, sides, o) => sides.every((side) => round[side].others <= o.noise_max);

// Whether memory was as fast for one side as for the next. A hypervisor that moves this machine's
// processors to other cores changes what they read by up to two, for seconds or minutes.
const steady = (readings, o) => readings.length === 0 ||
  Math.max(...readings) <= Math.min(...readings) * o.reading_spread_max;
const readings_of = (round, sides) => sides.flatMap((side) => round[side].readings ?? []);

/** Rounds that count: of these sides, undisturbed unless noise is accepted. */
export function counting_rounds(j, c, sides, o) {
  return j.rounds(c, sides).filter((r) =>
    o.accept_noise || (quiet(r, sides, o) && steady(readings_of(r, sides), o)));
}

function note(c, round, side, run) {
  const a = run.answer;
  const speeds = [...Object.entries(a.prefill).map(([p, v]) => `prefill ${p}: ${v.toFixed(1)}`),
    ...Object.entries(a.decode).map(([b, v]) => `decode ${b}: ${v.toFixed(1)}`)];
  const readings = run.readings?.map((rate) => (rate / 1e9).toFixed(0)).join(" and ");
  process.stderr.write(`${c.id} round ${round} ${titles[side].padEnd(12)} ${speeds.join(", ")} ` +
    `tokens/s, others used ${run.others.toFixed(2)} processors` +
    (readings ? `, memory read before and after at ${readings} GB/s\n` : "\n"));
}

/** Whether a round more, as long as the last one of its case, would end after the time given. */
function out_of_time(o, j, c) {
  const last = j.runs.filter((run) => run.case === c.id && run.round === j.last_round(c));
  const expected_s = last.reduce((sum, run) => sum + run.wall_s, 0);
  return o.minutes > 0 && performance.now() / 1e3 + expected_s > o.minutes * 60;
}

/** Runs one case until it has its rounds. */
async function measure_case(o, j, c) {
  let sides = present(o, c);
  const wanted = Math.min(o.rounds, c.rounds_max ?? o.rounds);
  const enough = () => sides.length === 0 || counting_rounds(j, c, sides, o).length >= wanted;
  const tries_max = wanted * (c.steady ? tries_per_steady_round : tries_per_round);
  for (let tries = 0; !enough() && tries < tries_max; ++tries) {
    if (out_of_time(o, j, c)) {
      process.stderr.write(`${c.id}: no time left for a round; the same command continues\n`);
      return;
    }
    if (!(await wait_for_quiet(o))) {
      process.stderr.write(`${c.id}: others keep the machine busy; going on to the next\n`);
      return;
    }
    const round = j.last_round(c) + 1;
    const readings = c.steady ? [await reading_now(o, c.threads)] : [];
    // Every other round the other way round, so that nobody always follows the same neighbour.
    for (const side of round % 2 === 1 ? sides : [...sides].reverse()) {
      const run = await one_run(o, c, side);
      if (c.steady) {
        readings.push(await reading_now(o, c.threads));
        run.readings = readings.slice(-2);
      }
      if (run.failed) {
        process.stderr.write(`${run.failed}; it is left out of ${c.id}\n`);
        sides = sides.filter((other) => other !== side);
        continue;
      }
      const program = j.header.ids[side];
      j.add({ kind: "run", case: c.id, round, side, program, shape: shape_of(c), ...run });
      note(c, round, side, run);
      if (!o.accept_noise && !steady(readings, o)) {
        process.stderr.write(`${c.id} round ${round}: memory changed its speed; once more\n`);
        break;
      }
    }
  }
}

// Cases whose tokens are the same: whatever threads or instructions, one digest.
const digest_key = (c) => JSON.stringify([c.model, c.prompts[0], c.decode, c.depth, c.batch]);

/** Throws when two runs of OVIR over the same tokens gave different transcripts. */
export function check_digests(j, cases) {
  const seen = new Map();
  for (const c of cases.filter((one) => one.decode > 0)) {
    for (const { ovir } of j.rounds(c, ["ovir"])) {
      const key = digest_key(c);
      const known = seen.get(key) ?? ovir.answer.digest;
      seen.set(key, known);
      if (known !== ovir.answer.digest) {
        throw new wrong(`OVIR computed other tokens or numbers in ${c.id} than before over the ` +
          "same input; run ovir doctor");
      }
    }
  }
}

export async function measure(o, j, cases) {
  for (const [i, c] of cases.entries()) {
    process.stderr.write(`==> ${i + 1} of ${cases.length}: ${c.id} (${path.basename(
      o.models[c.model])}, ${c.threads} threads)\n`);
    await measure_case(o, j, c);
    check_digests(j, cases);
  }
}
