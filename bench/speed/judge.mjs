// From the rounds of a journal to one verdict per line: medians of ratios within rounds. Pure.
import { counting_rounds } from "./rounds.mjs";
import { median, titles } from "./sides.mjs";

// Rounds below which there is no verdict, where so many were asked for.
const rounds_min = 3;
const mib = 2 ** 20;

/** The figure of an answer that a line is about. */
function figure(answer, what) {
  const [kind, key] = what.split(/[.@]/);
  switch (kind) {
    case "decode": return key ? answer.decode[key] : Object.values(answer.decode)[0];
    case "prefill": return answer.prefill[key];
    case "share": return answer.share;
    default: return undefined;
  }
}

// Finite values only: a round may have been measured for other lines than this.
function spread(all) {
  const values = all.filter(Number.isFinite);
  if (values.length === 0) {
    return {};
  }
  return { value: median(values), low: Math.min(...values), high: Math.max(...values),
    rounds: values.length };
}

/** Median of each side's own speed, over the rounds in which all that were measured count. */
function speeds_of(line, c, j, o) {
  const asked = ["ovir", ...(line.peers ?? []), ...(line.beside ?? [])];
  const sides = asked.filter((side) => counting_rounds(j, c, ["ovir", side], o).length > 0);
  const rounds = counting_rounds(j, c, sides, o);
  return Object.fromEntries(sides.map((side) =>
    [side, spread(rounds.map((r) => figure(r[side].answer, line.what))).value]));
}

/** Ratios to each peer; the better peer is the one with the smallest. */
function ratio(line, c, j, o) {
  const beside = (side) => {
    const rounds = counting_rounds(j, c, ["ovir", side], o);
    const ratios = rounds.map((r) =>
      figure(r.ovir.answer, line.what) / figure(r[side].answer, line.what));
    return { side, ...spread(ratios) };
  };
  const found = line.peers.map(beside).filter((f) => f.value !== undefined);
  const better = found.sort((a, b) => a.value - b.value)[0];
  const shares = counting_rounds(j, c, ["ovir"], o).map((r) => r.ovir.answer.share)
    .filter((s) => s > 0);
  return {
    ...better,
    share: line.what === "decode" && shares.length > 0 ? median(shares) : undefined,
    missing: line.peers.filter((side) => !found.some((f) => f.side === side)),
  };
}

/** MiB beyond file (or its packed form, once) and keys and values. */
function surplus({ peak, file, kv, weights, weights_read }) {
  return (peak - Math.max(file, file - weights + weights_read) - kv) / mib;
}

/** The figure of a line: {value, low, high, rounds, ...}, or {} where there is none. */
function measured(line, c, j, o) {
  const own = (of) => spread(counting_rounds(j, c, ["ovir"], o).map((r) => of(r.ovir.answer)));
  const pair = (side, of) => spread(counting_rounds(j, c, ["ovir", side], o)
    .map((r) => of(figure(r.ovir.answer, line.what), figure(r[side].answer, line.what))));
  switch (line.kind) {
    case "ratio": return ratio(line, c, j, o);
    case "share":
    case "speed": return own((a) => figure(a, line.what));
    case "gain": return own((a) => figure(a, line.what) / figure(a, line.over));
    case "memory": return own((a) => surplus(a.memory));
    case "cost": return spread(counting_rounds(j, c, ["exactness"], o)
      .map((r) => r.exactness.answer.cost[line.what]));
    case "microseconds": return pair(line.over, (ours, other) => 1e6 / other - 1e6 / ours);
    default: return {};
  }
}

/** "reached", "MISSED", "no verdict", or "" where a line has no goal. */
function verdict(line, found, o) {
  if (line.goal === undefined) {
    return "";
  }
  if (found.rounds === undefined || found.rounds < Math.min(o.rounds, rounds_min)) {
    return "no verdict";
  }
  const most = line.kind === "cost" || line.kind === "memory";
  let reached = most ? found.value <= line.goal : found.value >= line.goal;
  if (!reached && line.unless && found.share !== undefined) {
    reached = found.share / found.value > line.unless.peer_share &&
      found.share >= line.unless.share;
  }
  // The better of two peers is not known while one is missing.
  return !reached ? "MISSED" : found.missing?.length > 0 ? "no verdict" : "reached";
}

function note_of(found) {
  const missing = (found.missing ?? []).map((side) => titles[side]);
  return missing.length > 0 ? `without ${missing.join(" and ")}` : "";
}

/** Median profile of a step over the rounds: [{name, us, bytes}] that add up to the step. */
function step_parts(c, j, o) {
  const profiles = counting_rounds(j, c, ["ovir"], o).map((r) => r.ovir.answer.profile)
    .filter(Boolean);
  if (profiles.length === 0) {
    return undefined;
  }
  const of = (get) => median(profiles.map((p) => get(p) ?? 0));
  const names = Object.keys(profiles[0].operations);
  const parts = names.map((name) => ({ name, us: of((p) => p.operations[name]?.us),
    bytes: profiles[0].operations[name].bytes }));
  parts.push({ name: "waiting", us: of((p) => p.waiting_us), bytes: 0 });
  parts.push({ name: "between", us: of((p) => p.between_us), bytes: 0 });
  parts.push({ name: "logits", us: of((p) => p.logits_us), bytes: 0 });
  return { step_us: of((p) => p.step_us), parts };
}

/** Every line with what was found: {id, kind, goal, value, low, high, rounds, state, ...}. */
export function judge(lines, cases, j, o) {
  return lines.map((line) => {
    const c = cases.find((one) => one.id === line.case);
    const found = measured(line, c, j, o);
    const speeds = ["ratio", "speed"].includes(line.kind) ? speeds_of(line, c, j, o) : {};
    const step = line.kind === "profile" ? step_parts(c, j, o) : undefined;
    return { ...line, threads: c.threads, ...found, speeds, step, state: verdict(line, found, o),
      note: note_of(found) };
  });
}

/** 1 when a goal is missed, 4 when one has no verdict, else 0. */
export function exit_code(results) {
  return results.some((r) => r.state === "MISSED") ? 1
    : results.some((r) => r.state === "no verdict") ? 4 : 0;
}
