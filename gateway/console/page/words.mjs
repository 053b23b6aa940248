// Numbers as people read them.

export const bytes = (n) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  let value = Number(n ?? 0);
  for (; value >= 1024 && i + 1 < units.length; ++i) { value /= 1024; }
  return `${i === 0 ? value : value.toFixed(1)} ${units[i]}`;
};

export const ms = (value) => (value === null || value === undefined ? 'unknown'
  : value < 10 ? `${value.toFixed(2)} ms` : `${Math.round(value)} ms`);

export const short = (digits) => String(digits ?? '').slice(0, 8);

export const layers = (part) => (part.first_layer === part.last_layer ? `${part.first_layer}`
  : `${part.first_layer}–${part.last_layer}`);

export const path = (stages) => (stages.length === 0 ? 'nobody: kept from before'
  : stages.map((s) => `${s.name} ${layers(s)}`).join(' → '));

/// Micro-credits as credits.
export const credits = (micro) => {
  const text = String(micro ?? '0').padStart(7, '0');
  return `${text.slice(0, -6)}.${text.slice(-6)}`.replace(/\.?0+$/, '');
};
