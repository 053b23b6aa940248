// The tables of docs/performance, as Markdown, and the same on a terminal. Pure.
import { goal_text } from "./lines.mjs";
import { titles } from "./sides.mjs";

const groups = {
  decode: ["Decode", "Tokens per second of one sequence after a prompt of 128 tokens."],
  bandwidth: ["Share of the machine's reading speed", "Bytes per second of decoding, beside only " +
    "reading the same memory between the steps."],
  prefill: ["Prefill", "Tokens per second with two threads."],
  real: ["A real model", "MiniMind2-small at Q8_0, or the model given with --real."],
  long: ["Batches and long contexts", "Eight sequences beside one; decoding after " +
    "thousands of positions."],
  avx2: ["AVX2 only", "OVIR_ISA=avx2 beside llama.cpp's haswell library, two threads."],
  exact: ["What exactness costs", "Extra time beside the same kernels with float " +
    "sums in any order, two threads."],
  small: ["Small models", "stories15M at Q8_0 and the embedded model; time per token of " +
    "the actors."],
  memory: ["Memory", "The most memory of a run beyond the weights and keys and values."],
};

const number = (v) => (v === undefined ? "" : v.toFixed(v < 100 ? 1 : 0));
const percent = (v) => `${(100 * v).toFixed(0)} %`;

const is_measured = (r) => r.value !== undefined || r.step !== undefined || r.speeds.ovir > 0;

function value_text(r) {
  if (r.value === undefined) {
    return "";
  }
  switch (r.kind) {
    case "ratio":
    case "gain": return `${r.value.toFixed(2)} (${r.low.toFixed(2)} to ${r.high.toFixed(2)})`;
    case "share":
    case "cost": return `${percent(r.value)} (${percent(r.low)} to ${percent(r.high)})`;
    case "memory": return `${r.high.toFixed(0)} MiB`;
    case "microseconds": return `${r.value.toFixed(0)} µs more per token through the actors`;
    default: return `${number(r.value)} tokens/s`;
  }
}

/** The cells of a page's row: short forms, and a verdict only where a goal is not reached. */
function row_of(r) {
  const speeds = ["ovir", "llama_cpp", "ik_llama_cpp"].map((side) => number(r.speeds[side]));
  const whole = (v) => String(Math.round(100 * v) || 0);
  const value = r.value === undefined ? ""
    : r.kind === "ratio" || r.kind === "gain"
      ? `${r.value.toFixed(2)} (${r.low.toFixed(2)}–${r.high.toFixed(2)})`
    : r.kind === "share" || r.kind === "cost"
      ? `${whole(r.value)} % (${whole(r.low)} to ${whole(r.high)})`
    : r.kind === "microseconds" ? `${r.value.toFixed(0)} µs` : value_text(r);
  const goal = goal_text(r).replace("at least", "≥").replace("at most", "≤");
  const state = r.state === "reached" ? "" : r.state === "MISSED" ? "**missed**" : r.state;
  return [r.id, ...speeds, value, r.share === undefined ? "" : percent(r.share),
    [[goal, state].filter(Boolean).join(" "), r.note].filter(Boolean).join(", ")];
}

function cells_of(r) {
  const beside = r.share === undefined ? "" : `, ${percent(r.share)} of reading`;
  const better = r.side === undefined ? "" : ` × ${titles[r.side]}`;
  const speeds = ["ovir", "llama_cpp", "ik_llama_cpp"].map((side) => number(r.speeds[side]));
  const state = [r.state, r.note].filter(Boolean).join(", ");
  const measured = `${value_text(r)}${better}${beside}`.replace(/^, /, "");
  return [r.id, ...speeds, measured, goal_text(r), state];
}

function table(header, rows) {
  const used = header.map((_, i) => rows.some((row) => row[i] !== ""));
  const line = (row) => `| ${row.filter((_, i) => used[i]).join(" | ")} |`;
  const kept = header.filter((_, i) => used[i]);
  return [line(header), `|${" --- |".repeat(kept.length)}`, ...rows.map(line)].join("\n");
}

function group_text(group, results) {
  const mine = results.filter((r) => r.group === group && is_measured(r));
  if (mine.length === 0) {
    return [];
  }
  const [title, sentence] = groups[group];
  const header = ["line", "OVIR", "llama.cpp", "ik_llama.cpp", "measured", "reading", "goal"];
  return [`### ${title}`, sentence, "", table(header, mine.map(row_of)), ""];
}

function steps_text(results) {
  const steps = results.filter((r) => r.step !== undefined);
  if (steps.length === 0) {
    return [];
  }
  const all = [...new Set(steps.flatMap((r) => r.step.parts.map((p) => p.name)))];
  const time = (r, name) => r.step.parts.find((p) => p.name === name)?.us ?? 0;
  const is_small = (name) => steps.every((r) => time(r, name) < 0.01 * r.step.step_us);
  const names = all.filter((name) => !is_small(name));
  const small = all.filter(is_small);
  const cell = (r, name) => {
    const part = r.step.parts.find((p) => p.name === name);
    if (part === undefined) {
      return "–";
    }
    const speed = part.bytes > 0 ? `, ${(part.bytes / part.us / 1e3).toFixed(0)}` : "";
    return `${part.us.toFixed(0)}${speed}`;
  };
  const rows = names.map((name) => [name, ...steps.map((r) => cell(r, name))]);
  if (small.length > 0) {
    const sum = (r) => small.reduce((us, name) => us + time(r, name), 0);
    rows.push(["parts below 1 %", ...steps.map((r) => sum(r).toFixed(0))]);
  }
  rows.push(["a step", ...steps.map((r) => r.step.step_us.toFixed(0))]);
  return [
    "### Where a decode step's time goes",
    "`ovir bench --profile`: microseconds of each kernel, and GB/s where it reads weights. " +
      "*waiting*: threads wake or wait for each other; *between*: one thread alone without a " +
      "kernel.", "",
    table(["part", ...steps.map((r) => r.id.replace("step-", ""))], rows), "",
  ];
}

function unmeasured_text(results) {
  const none = results.filter((r) => !is_measured(r));
  return none.length === 0 ? []
    : [`Not measured: ${none.map((r) => r.id).join(", ")}.`, ""];
}

/**
 * The tables as a page, or as what a machine's page takes in. `plots` are [file, title] of
 * images in `folder`, which is relative to the page.
 */
export function markdown(results, header, plots, folder) {
  const { machine: m, programs } = header;
  const lines = [
    "Written by `scripts/bench`; do not edit.", "",
    `- machine: ${m.processor}, ${m.processors} processors, ${m.memory_gib} GiB, Linux ${m.kernel}`,
    ...Object.entries(programs).map(([name, what]) => `- ${name}: ${what}`),
    `- ${header.settings.rounds} rounds in turn; medians of the ratios to the better peer within ` +
      "rounds, smallest and largest in brackets",
    "- *reading*: share of the machine's reading speed; goals without a remark are reached",
    ...(header.accept_noise ? ["- **on a busy machine** (`--accept-noise`): no basis for a claim"]
      : []), "",
    ...plots.map(([file, title]) => `![${title}](${folder}${file})`), "",
    ...Object.keys(groups).flatMap((group) => group_text(group, results)),
    ...steps_text(results), ...unmeasured_text(results),
  ];
  return lines.join("\n").trimEnd() + "\n";
}

/** One line per line, for a terminal. */
export function summary(results) {
  const rows = results.filter((r) => r.kind !== "profile").map((r) => {
    const speeds = Object.entries(r.speeds).filter(([, v]) => v !== undefined)
      .map(([side, v]) => `${titles[side]} ${number(v)}`).join(", ");
    const rounds = r.rounds === undefined ? "not measured" : `${r.rounds} rounds`;
    const [id, , , , measured, goal, state] = cells_of(r);
    return `${id.padEnd(24)} ${(measured || rounds).padEnd(56)} ${goal.padEnd(18)} ` +
      `${state.padEnd(12)} ${speeds}`.trimEnd();
  });
  return rows.join("\n") + "\n";
}

const marker = (what) => `<!-- scripts/bench: ${what} -->`;

/** `page` with everything between the two markers replaced. Throws when they are not there. */
export function with_tables(page, text) {
  const begin = page.indexOf(marker("begin"));
  const end = page.indexOf(marker("end"));
  if (begin < 0 || end < begin) {
    throw new Error(`the page has no line ${marker("begin")} followed by ${marker("end")}`);
  }
  return `${page.slice(0, begin + marker("begin").length)}\n${text}${page.slice(end)}`;
}
