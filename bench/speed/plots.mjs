// SVG plots, readable on light and dark pages. Pure: results in, text out.
import { counting_rounds } from "./rounds.mjs";
import { median, titles } from "./sides.mjs";

const width = 760;
const margin = { left: 70, right: 20, top: 46, bottom: 56 };
const style = `<style>
svg { color: #1f2328; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; } }
text { fill: currentColor; }
.title { font-size: 15px; font-weight: 600; }
.grid { stroke: currentColor; stroke-opacity: .18; }
.axis { stroke: currentColor; stroke-opacity: .6; }
.small { font-size: 11px; fill-opacity: .8; }
.roof { stroke: currentColor; fill: none; stroke-width: 2; }
</style>`;
// Distinct in both schemes and for most colour-blind eyes.
const colours = { ovir: "#2f81f7", llama_cpp: "#d29922", ik_llama_cpp: "#8957e5" };
const part_colours = ["#2f81f7", "#d29922", "#8957e5", "#2da44e", "#cf222e", "#1b7c83", "#bf3989",
  "#9a6700", "#57606a", "#0969da", "#bc4c00", "#6639ba"];

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const round = (v) => Number(v.toFixed(2));
const text_at = (x, y, text, anchor = "middle", cls = "") =>
  `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${cls && ` class="${cls}"`}>` +
  `${escaped(text)}</text>`;
const line_at = (x1, y1, x2, y2, cls) =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${cls}"/>`;
const box = (x, y, w, h, colour, title) =>
  `<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}" ` +
  `fill="${colour}"><title>${escaped(title)}</title></rect>`;

function svg(height, title, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" ` +
      `aria-label="${escaped(title)}">`,
    style, text_at(margin.left, 22, title, "start", "title"), ...parts, "</svg>", "",
  ].join("\n");
}

/** 1, 2 or 5 times a power of ten, about a fifth of `most`. */
function tick_step(most) {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  return [1, 2, 5, 10].map((f) => f * power).find((step) => most / step <= 6);
}

function legend(sides, y) {
  return sides.flatMap((side, i) => {
    const x = width - margin.right - (sides.length - i) * 110;
    return [box(x, y - 10, 12, 12, colours[side], titles[side]),
      text_at(x + 18, y, titles[side], "start")];
  });
}

/** Bars of every side, a group per line. */
export function bars(title, results) {
  const height = 340;
  const bottom = height - margin.bottom;
  const sides = Object.keys(colours).filter((side) => results.some((r) => r.speeds[side] > 0));
  const most = Math.max(...results.flatMap((r) => sides.map((side) => r.speeds[side] ?? 0)));
  const y_of = (v) => bottom - (v / (1.08 * most)) * (bottom - margin.top);
  const group = (width - margin.left - margin.right) / results.length;
  const bar = (0.8 * group) / sides.length;
  const parts = legend(sides, 22);
  for (let v = 0; v <= most; v += tick_step(most)) {
    parts.push(line_at(margin.left, y_of(v), width - margin.right, y_of(v), v ? "grid" : "axis"),
      text_at(margin.left - 8, y_of(v) + 4, v, "end"));
  }
  parts.push(text_at(margin.left - 8, margin.top - 6, "tokens/s", "end", "small"));
  results.forEach((r, i) => {
    const left = margin.left + i * group + 0.1 * group;
    sides.forEach((side, s) => {
      const v = r.speeds[side];
      if (v > 0) {
        parts.push(box(left + s * bar, y_of(v), bar - 2, bottom - y_of(v), colours[side],
          `${titles[side]} ${r.label}: ${v.toFixed(1)} tokens/s`),
          text_at(left + (s + 0.5) * bar, y_of(v) - 4, v.toFixed(0), "middle", "small"));
      }
    });
    parts.push(text_at(left + 0.4 * group, bottom + 20, r.label));
    if (r.value > 0) {
      parts.push(text_at(left + 0.4 * group, bottom + 38, `${r.value.toFixed(2)} ×`, "middle",
        "small"));
    }
  });
  return svg(height, title, parts);
}

/** The parts of a step with those that hardly show put together. */
function visible_parts(step) {
  const shown = step.parts.filter((p) => p.us >= 0.02 * step.step_us);
  const rest = step.step_us - shown.reduce((sum, p) => sum + p.us, 0);
  return rest < 0.001 * step.step_us ? shown
    : [...shown, { name: "all others", us: rest, bytes: 0 }];
}

/** Where the time of a step goes: one stacked bar per profile, with a legend of its parts. */
export function stacks(title, all) {
  const results = all.map((r) => ({ ...r, step: { ...r.step, parts: visible_parts(r.step) } }));
  const names = [...new Set(results.flatMap((r) => r.step.parts.map((p) => p.name)))];
  const per_row = 4;
  const rows = Math.ceil(names.length / per_row);
  const height = margin.top + 46 * results.length + 20 * rows + 20;
  const colour = (name) => part_colours[names.indexOf(name) % part_colours.length];
  const left = 130;
  const full = width - left - margin.right;
  const parts = results.flatMap((r, i) => {
    const y = margin.top + 46 * i;
    let x = left;
    const bars_of = r.step.parts.map((p) => {
      const w = (p.us / r.step.step_us) * full;
      const one = box(x, y, w, 30, colour(p.name), `${p.name}: ${p.us.toFixed(0)} µs`);
      x += w;
      return one;
    });
    return [text_at(left - 8, y + 14, r.label, "end"),
      text_at(left - 8, y + 28, `${r.step.step_us.toFixed(0)} µs`, "end", "small"), ...bars_of];
  });
  names.forEach((name, i) => {
    const x = left + (i % per_row) * (full / per_row);
    const y = margin.top + 46 * results.length + 16 + 20 * Math.floor(i / per_row);
    parts.push(box(x, y - 10, 12, 12, colour(name), name), text_at(x + 18, y, name, "start"));
  });
  return svg(height, title, parts);
}

/** Operations per second over operations per byte, beneath what the machine can do at best. */
export function roofline(title, { peak, bandwidth, points }) {
  const height = 420;
  const bottom = height - margin.bottom;
  const x_range = [0.5, 2 ** 11];
  const y_range = [bandwidth * x_range[0] * 0.5, peak * 2];
  const scale = (v, [low, high], from, to) =>
    from + (Math.log(v / low) / Math.log(high / low)) * (to - from);
  const x_of = (v) => scale(v, x_range, margin.left, width - margin.right);
  const y_of = (v) => scale(v, y_range, bottom, margin.top);
  const parts = [];
  for (let v = 1; v <= 1024; v *= 4) {
    parts.push(line_at(x_of(v), margin.top, x_of(v), bottom, "grid"),
      text_at(x_of(v), bottom + 18, v));
  }
  for (let v = 10 ** Math.ceil(Math.log10(y_range[0])); v <= y_range[1]; v *= 10) {
    parts.push(line_at(margin.left, y_of(v), width - margin.right, y_of(v), "grid"),
      text_at(margin.left - 8, y_of(v) + 4, v / 1e9, "end"));
  }
  const knee = peak / bandwidth;
  const roof = [[x_range[0], bandwidth * x_range[0]], [knee, peak], [x_range[1], peak]]
    .map(([x, y]) => `${round(x_of(x))},${round(y_of(y))}`).join(" ");
  parts.push(`<polyline points="${roof}" class="roof"/>`,
    text_at(x_of(x_range[1]), y_of(peak) - 8, `only multiplying: ${(peak / 1e9).toFixed(0)} Gop/s`,
      "end", "small"),
    text_at(x_of(knee / 2) - 12, y_of((bandwidth * knee) / 2),
      `only reading: ${(bandwidth / 1e9).toFixed(1)} GB/s`, "end", "small"),
    text_at((margin.left + width) / 2, bottom + 40, "operations per byte of weights read"),
    text_at(margin.left - 8, margin.top - 6, "Gop/s", "end", "small"));
  points.forEach((p, i) => {
    const [x, y] = [x_of(p.intensity), y_of(p.speed)];
    const colour = part_colours[i % part_colours.length];
    parts.push(`<circle cx="${round(x)}" cy="${round(y)}" r="5" fill="${colour}"><title>` +
      `${escaped(p.label)}: ${(p.speed / 1e9).toFixed(1)} Gop/s</title></circle>`,
      // The prompts lie close together: one's name stands on the other side.
      p.label === "prefill 128" ? text_at(x - 10, y + 4, p.label, "end", "small")
        : text_at(x + 10, y + 4, p.label, "start", "small"));
  });
  return svg(height, title, parts);
}

/** The roofline's figures of one case, or nothing where it has no rounds. */
export function roofline_of(cases, j, o) {
  const rounds_of = (id) => {
    const c = cases.find((one) => one.id === id);
    return c === undefined ? [] : counting_rounds(j, c, ["ovir"], o).map((r) => r.ovir.answer);
  };
  const main = rounds_of("q4_k_m-t2").filter((a) => a.integer_peak > 0 && a.read_bandwidth > 0);
  if (main.length === 0) {
    return undefined;
  }
  const { operations: ops, memory } = main[0];
  const of = (answers, get) => median(answers.map(get));
  const points = [];
  const add = (label, tokens, per_token, speeds) => {
    if (speeds.length > 0) {
      points.push({ label, intensity: (tokens * per_token) / memory.weights_read,
        speed: per_token * median(speeds) });
    }
  };
  const every = ops.layers + ops.head;
  add("decode", 1, every, main.map((a) => a.decode[1]).filter((v) => v > 0));
  add("8 at once", 8, every, rounds_of("batch").map((a) => a.decode[8]).filter((v) => v > 0));
  // A prompt's weights are read once per step of it; one row of logits belongs to the whole prompt.
  for (const prompt of [128, 512]) {
    add(`prefill ${prompt}`, Math.min(prompt, o.prefill_chunk), ops.layers + ops.head / prompt,
      main.map((a) => a.prefill[prompt]).filter((v) => v > 0));
  }
  return { peak: of(main, (a) => a.integer_peak), bandwidth: of(main, (a) => a.read_bandwidth),
    points };
}
