// What scripts/bench measures, and what must come out: cases (one command for each side, run in
// turn) and lines (one figure of a case, and its goal). Nothing here runs or prints anything.

export const synthetic_types = ["q4_k_m", "q8_0", "q4_0", "q6_k", "f16"];
// Of these decoding alone is compared: each has kernels by hand, the rest of the types has none.
export const further_types = ["q5_k", "q3_k", "q2_k", "iq4_xs"];
const both_peers = ["llama_cpp", "ik_llama_cpp"];

/**
 * Which commands run. `sides` beyond "ovir" are left out where their program is missing. A case that
 * is `steady` compares how fast weights are read, so its rounds count only where memory itself was as
 * fast for each side.
 */
function make_cases(o) {
  const cases = new Map();
  const add = (id, given) =>
    cases.set(id, {
      id, threads: 2, prompts: [128], decode: o.decode, depth: [0], batch: [1], runs: o.runs,
      profile: false, sides: ["ovir", ...both_peers], isa: "", steady: false, ...given,
    });
  for (const type of synthetic_types) {
    add(`${type}-t2`, { model: type, prompts: [128, 512], steady: true });
    add(`${type}-t1`, { model: type, threads: 1, steady: true });
    if (type !== "f16") {
      add(`exact-${type}`, { model: type, sides: ["exactness"] });
    }
  }
  for (const type of further_types) {
    add(`${type}-t2`, { model: type, steady: true });
  }
  for (const type of ["q4_k_m", "q8_0"]) {
    const sides = ["ovir", "llama_cpp"];
    add(`avx2-${type}`, { model: type, sides, isa: "avx2", steady: true });
    for (const threads of [1, 2]) {
      add(`step-${type}-t${threads}`, { model: type, threads, sides: ["ovir"], profile: true });
    }
  }
  add("batch", { model: "q4_k_m", batch: [1, 8], sides: ["ovir"] });
  const deep = { prompts: [16], decode: o.deep_decode, runs: 1 };
  add("depth", { ...deep, model: "long", depth: [o.depth] });
  add("real-t2", { model: "real", prompts: [128, 512], steady: true });
  add("real-t1", { model: "real", threads: 1, steady: true });
  // Minutes for each round, and no goal: one will do.
  add("real-depth", { ...deep, model: "real", depth: o.depths, sides: ["ovir"], rounds_max: 1 });
  for (const model of ["15m", "embedded"]) {
    for (const threads of [1, 2]) {
      add(`small-${model}-t${threads}`, { model, threads, prompts: [64], decode: o.small_decode });
    }
  }
  add("actors", {
    model: "embedded", threads: 1, prompts: [16], decode: o.small_decode,
    sides: ["ovir", "ovir_run"],
  });
  return cases;
}

/**
 * A line: `group` is its table, `case` where it is measured, `what` which figure of each side, and
 * its goal. Kinds: "ratio" to the better of `peers`; "share" of the machine; "gain" of one figure
 * of OVIR over another; "cost" in time; "memory" in MiB beyond what the model needs;
 * "microseconds" between two sides; "speed" without a goal.
 */
function decode_lines() {
  const lines = [];
  for (const threads of [2, 1]) {
    for (const type of synthetic_types) {
      const name = `${type}-t${threads}`;
      const goal = type === "q4_k_m" ? 1.15 : 1.05;
      const unless = type === "q4_k_m" ? { peer_share: 0.74, share: 0.85 } : undefined;
      lines.push({
        id: `decode-${name}`, group: "decode", case: name, what: "decode", kind: "ratio",
        peers: both_peers, goal, unless,
      });
    }
    for (const type of ["q4_k_m", "q8_0"]) {
      const name = `${type}-t${threads}`;
      const goal = threads === 1 ? 0.75 : 0.85;
      lines.push({
        id: `bandwidth-${name}`, group: "bandwidth", case: name, what: "share", kind: "share", goal,
      });
    }
  }
  for (const type of further_types) {
    lines.push({
      id: `decode-${type}-t2`, group: "decode", case: `${type}-t2`, what: "decode", kind: "ratio",
      peers: both_peers, goal: 0.85,
    });
  }
  return lines;
}

function prefill_lines() {
  const goals = { q8_0: 1.2, q4_0: 1.2, q4_k_m: 1.1, f16: 0.95 };
  return [128, 512].flatMap((prompt) =>
    synthetic_types.map((type) => ({
      id: `prefill-${prompt}-${type}`, group: "prefill", case: `${type}-t2`,
      what: `prefill.${prompt}`, kind: "ratio", peers: ["ik_llama_cpp"],
      beside: ["llama_cpp"], goal: goals[type],
    })),
  );
}

// Sums of floats are in a fixed order in any case; integer products can be scaled in any.
function exact_lines() {
  const prefill = { q4_k_m: 0.15, q8_0: 0.25, q4_0: 0.25, q6_k: undefined };
  return Object.keys(prefill).flatMap((type) => {
    const line = { group: "exact", case: `exact-${type}`, kind: "cost" };
    return [
      { ...line, id: `exact-decode-${type}`, what: "decode", goal: 0.03 },
      { ...line, id: `exact-prefill-${type}`, what: "prefill.128", goal: prefill[type] },
    ];
  });
}

function avx2_lines() {
  return ["q4_k_m", "q8_0"].flatMap((type) =>
    ["decode", "prefill.128"].map((what) => ({
      id: `avx2-${what.replace(".", "-")}-${type}`, group: "avx2", case: `avx2-${type}`, what,
      kind: "ratio", peers: ["llama_cpp"], goal: 1,
    })),
  );
}

function real_lines() {
  const ratio = { group: "real", kind: "ratio", peers: both_peers };
  const prefill = { ...ratio, case: "real-t2", peers: ["ik_llama_cpp"], beside: ["llama_cpp"] };
  return [
    { ...ratio, id: "real-decode-t2", case: "real-t2", what: "decode", goal: 1.05 },
    { ...ratio, id: "real-decode-t1", case: "real-t1", what: "decode", goal: 1.05 },
    { ...prefill, id: "real-prefill-128", what: "prefill.128", goal: 1.2 },
    { ...prefill, id: "real-prefill-512", what: "prefill.512", goal: 1.2 },
  ];
}

function other_lines(o) {
  const lines = [
    { id: "batch-8", group: "long", case: "batch", what: "decode@8", over: "decode@1",
      kind: "gain", goal: 3 },
    { id: "depth", group: "long", case: "depth", what: "decode", kind: "ratio",
      peers: both_peers, goal: 1 },
  ];
  for (const depth of o.depths) {
    lines.push({
      id: `real-depth-${depth}`, group: "long", case: "real-depth", what: `decode@${depth}`,
      kind: "speed",
    });
  }
  for (const model of ["15m", "embedded"]) {
    for (const threads of [1, 2]) {
      lines.push({
        id: `small-${model}-t${threads}`, group: "small", case: `small-${model}-t${threads}`,
        what: "decode", kind: "ratio", peers: ["llama_cpp"], beside: ["ik_llama_cpp"], goal: 1,
      });
    }
  }
  lines.push({ id: "actors", group: "small", case: "actors", what: "decode", over: "ovir_run",
    kind: "microseconds" });
  for (const type of synthetic_types) {
    lines.push({ id: `memory-${type}`, group: "memory", case: `${type}-t2`, what: "memory",
      kind: "memory", goal: 200 });
  }
  for (const type of ["q4_k_m", "q8_0"]) {
    for (const threads of [2, 1]) {
      lines.push({ id: `step-${type}-t${threads}`, group: "step",
        case: `step-${type}-t${threads}`, what: "profile", kind: "profile" });
    }
  }
  return lines;
}

const quick_lines = ["decode-q4_k_m-t2", "bandwidth-q4_k_m-t2", "prefill-128-q4_k_m",
  "small-embedded-t1", "memory-q4_k_m", "step-q4_k_m-t2"];

/** True when `name` is the line, or the beginning of its name up to a dash. */
const selects = (name, id) => id === name || id.startsWith(`${name}-`);

/**
 * The lines chosen by `only` and by `models` of their cases (all when empty), and the cases they
 * need. Throws a RangeError that names a word which chooses nothing.
 */
export function plan(o) {
  const cases = make_cases(o);
  const all = [...decode_lines(), ...prefill_lines(), ...real_lines(), ...other_lines(o),
    ...avx2_lines(), ...exact_lines()];
  const only = o.only.length > 0 ? o.only : o.quick ? quick_lines : [];
  const known = new Set([...cases.values()].map((c) => c.model));
  for (const model of o.models_only) {
    if (!known.has(model)) {
      throw new RangeError(`--model: there is no model '${model}'; there are ${[...known].join()}`);
    }
  }
  for (const name of only) {
    if (!all.some((line) => selects(name, line.id))) {
      throw new RangeError(`--only: there is no line '${name}'; --list shows all`);
    }
  }
  const lines = all.filter((line) =>
    (only.length === 0 || only.some((name) => selects(name, line.id))) &&
    (o.models_only.length === 0 || o.models_only.includes(cases.get(line.case).model)));
  if (lines.length === 0) {
    throw new RangeError("--only and --model together choose no line; --list shows all");
  }
  const needed = new Set(lines.map((line) => line.case));
  const kept = [...cases.values()].filter((c) => needed.has(c.id)).map((c) => narrowed(c, lines));
  return { lines, cases: kept };
}

// A case measures only what some line asks for, so that a few lines take a few seconds.
function narrowed(c, lines) {
  const asked = lines.filter((line) => line.case === c.id).map((line) => line.what);
  const decodes = asked.some((what) => !what.startsWith("prefill"));
  const prompts = c.prompts.filter(
    (p, i) => (i === 0 && decodes) || asked.includes(`prefill.${p}`));
  return { ...c, prompts: prompts.length > 0 ? prompts : c.prompts.slice(0, 1),
    decode: decodes ? c.decode : 0 };
}

/** "at least 1.15", as the tables say it. */
export function goal_text(line) {
  if (line.goal === undefined) {
    return "";
  }
  switch (line.kind) {
    case "share": return `at least ${100 * line.goal} %`;
    case "cost": return `at most ${100 * line.goal} %`;
    case "memory": return `at most ${line.goal} MiB`;
    default: return `at least ${line.goal}`;
  }
}
