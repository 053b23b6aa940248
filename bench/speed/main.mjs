// scripts/bench after its options: measures what is missing, judges, and writes the documents. The
// options come as NAME=VALUE, all of them, checked by scripts/bench, which describes them.
//
//   node bench/speed/main.mjs mode=measure rounds=5 only= results=FILE models.q8_0=FILE ...
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, renameSync, statSync,
  writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { exit_code, judge } from "./judge.mjs";
import { goal_text, plan } from "./lines.mjs";
import { bars, roofline, roofline_of, stacks } from "./plots.mjs";
import { markdown, summary, with_tables } from "./report.mjs";
import { check_digests, journal, measure, read_journal, stop_child, unavailable,
  wrong } from "./rounds.mjs";
import { titles } from "./sides.mjs";

const gib = 2 ** 30;
const interrupted_code = 130;
// What decides which figures a case gives; kept in the journal, for a report from it alone.
const settings_of = ({ rounds, decode, deep_decode, small_decode, depth, depths, runs,
  prefill_chunk, reading_spread_max }) =>
  ({ rounds, decode, deep_decode, small_decode, depth, depths, runs, prefill_chunk,
    reading_spread_max });

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
// What is no text among the options.
const readers = {
  only: words, models_only: words, ik_arguments: words, depths: (text) => words(text).map(Number),
  ...Object.fromEntries(["quick", "accept_noise", "fresh"]
    .map((name) => [name, (text) => text === "true"])),
  ...Object.fromEntries(["rounds", "runs", "decode", "deep_decode", "small_decode", "depth",
    "prefill_chunk", "noise_max", "reading_spread_max", "minutes"].map((name) => [name, Number])),
};

function options_of(args) {
  const o = { models: {} };
  for (const arg of args) {
    const at = arg.indexOf("=");
    const [name, value] = [arg.slice(0, at), arg.slice(at + 1)];
    if (name.startsWith("models.")) {
      o.models[name.slice("models.".length)] = value;
    } else {
      o[name] = readers[name]?.(value) ?? value;
    }
  }
  return o;
}

function sha256(file) {
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    createReadStream(file, { highWaterMark: 1 << 20 })
      .on("error", (error) => reject(new unavailable(error.message)))
      .on("data", (data) => hash.update(data))
      .on("end", () => resolve(hash.digest("hex").slice(0, 16)));
  });
}

function machine() {
  const cpus = os.cpus();
  return { processor: cpus[0]?.model.trim() ?? "unknown", processors: cpus.length,
    memory_gib: Math.round(os.totalmem() / gib), kernel: os.release() };
}

/** What is compared: programs by content, the package by its version. */
async function header_of(o) {
  const ids = {};
  const programs = {};
  const add = async (side, file, more) => {
    if (file !== "") {
      ids[side] = [await sha256(file), ...more].join(" ");
      programs[titles[side]] = `program ${ids[side]}`;
    }
  };
  await add("ovir", o.ovir, []);
  programs[titles.ovir] += `, commit ${o.commit}`;
  ids.ovir_run = ids.ovir;
  await add("exactness", o.exactness, []);
  await add("ik_llama_cpp", o.ik, o.ik_arguments);
  if (o.bins !== "") {
    ids.llama_cpp = o.package;
    programs[titles.llama_cpp] = o.package;
  }
  return { ids, programs, machine: machine(), settings: settings_of(o),
    accept_noise: o.accept_noise };
}

/** Cases with their models by size and date: another file under the same name is another case. */
function with_models(o, cases) {
  return cases.map((c) => {
    const { size, mtimeMs } = statSync(o.models[c.model], { throwIfNoEntry: false }) ?? {};
    if (size === undefined) {
      throw new unavailable(`there is no model ${o.models[c.model]} for ${c.id}; see --help`);
    }
    return { ...c, model_file: `${size} ${mtimeMs}` };
  });
}

function write_whole(file, text) {
  writeFileSync(`${file}.part`, text);
  renameSync(`${file}.part`, file);
}

const label_of = (r) => r.id.split("-").at(-1) === `t${r.threads}`
  ? r.id.split("-").at(-2).toUpperCase() : r.id.split("-").at(-1).toUpperCase();

/** [file, title, text] of each plot that there are figures for. */
function plots_of(results, cases, j, o) {
  const chosen = (group, wanted) => results
    .filter((r) => r.group === group && wanted(r) && r.speeds.ovir > 0)
    .map((r) => ({ ...r, label: label_of(r) }));
  const plots = [];
  for (const threads of [2, 1]) {
    const lines = chosen("decode", (r) => r.threads === threads);
    const title = `Decode, ${threads} thread${threads > 1 ? "s" : ""}`;
    plots.push([`decode-t${threads}.svg`, title, lines.length > 0 && bars(title, lines)]);
  }
  for (const prompt of [128, 512]) {
    const lines = chosen("prefill", (r) => r.what === `prefill.${prompt}`);
    const title = `Prefill of ${prompt} tokens, 2 threads`;
    plots.push([`prefill-${prompt}.svg`, title, lines.length > 0 && bars(title, lines)]);
  }
  const roof = roofline_of(cases, j, o);
  const title = "Roofline, Q4_K_M, 2 threads";
  plots.push(["roofline.svg", title, roof && roofline(title, roof)]);
  const steps = results.filter((r) => r.step !== undefined)
    .map((r) => ({ ...r, label: r.id.replace("step-", "") }));
  const where = "Where a decode step's time goes";
  plots.push(["step.svg", where, steps.length > 0 && stacks(where, steps)]);
  return plots.filter(([, , text]) => text);
}

/**
 * Tables, plots and results of all that the journal has into `o.out`, and the tables into the page
 * `o.page`.
 */
function write_documents(o) {
  const { j, made, lines, cases } = report({ ...o, only: [], models_only: [], quick: false });
  const results = judge(lines, cases, j, made);
  mkdirSync(o.out, { recursive: true });
  const plots = plots_of(results, cases, j, made);
  for (const [file, , text] of plots) {
    write_whole(path.join(o.out, file), text);
  }
  const folder = o.page === "" ? "" : `${path.relative(path.dirname(o.page), o.out)}/`;
  const tables = markdown(results, j.header, plots, folder);
  write_whole(path.join(o.out, "results.json"), JSON.stringify({ ...j.header, results }, null, 2) +
    "\n");
  if (o.page === "") {
    write_whole(path.join(o.out, "tables.md"), tables);
  } else {
    write_whole(o.page, with_tables(readFileSync(o.page, "utf8"), tables));
  }
}

/** The lines chosen, judged by a journal alone, with the settings that it was begun with. */
function report(o) {
  const j = read_journal(o.results);
  j.as_last_measured = true;
  j.header.accept_noise ||= o.accept_noise;
  const made = { ...o, ...j.header.settings, accept_noise: j.header.accept_noise };
  const { lines, cases } = plan(made);
  return { j, made, lines, cases };
}

async function measured(o) {
  const planned = plan(o);
  const { lines } = planned;
  const cases = with_models(o, planned.cases);
  mkdirSync(path.dirname(o.results), { recursive: true });
  const j = journal.open(o.results, await header_of(o), o.fresh);
  await measure(o, j, cases);
  return { j, made: o, lines, cases };
}

function list(o) {
  for (const line of plan(o).lines) {
    process.stdout.write(`${line.id.padEnd(26)} ${goal_text(line)}\n`);
  }
  return 0;
}

/** For scripts/bench: the models that the chosen lines need. */
function models(o) {
  process.stdout.write([...new Set(plan(o).cases.map((c) => c.model))].join("\n") + "\n");
  return 0;
}

async function main(o) {
  if (o.mode === "list") {
    return list(o);
  }
  if (o.mode === "models") {
    return models(o);
  }
  const { j, made, lines, cases } = o.mode === "report" ? report(o) : await measured(o);
  check_digests(j, cases);
  const results = judge(lines, cases, j, made);
  process.stdout.write(summary(results));
  if (o.out !== "") {
    write_documents(o);
    process.stderr.write(`tables and plots are in ${o.out}\n`);
  }
  return exit_code(results);
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stop_child("SIGTERM");
    process.stderr.write("bench: interrupted; the same command continues where it was\n");
    process.exit(interrupted_code);
  });
}
main(options_of(process.argv.slice(2))).then(
  (code) => (process.exitCode = code),
  (error) => {
    const codes = [[RangeError, 2], [wrong, 1], [unavailable, 4]];
    const known = codes.find(([type]) => error instanceof type);
    if (known === undefined) {
      throw error;
    }
    process.stderr.write(`bench: ${error.message}\n`);
    process.exitCode = known[1];
  },
);
