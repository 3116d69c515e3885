// Numbers and times as texts.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(n) {
  const power = n < 1 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), UNITS.length - 1);
  return `${(n / 1000 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
}

/** A size in GB, rounded up to two decimals, or to two digits if it is smaller. */
export function gigabytes(n) {
  const decimals = Math.min(9, Math.max(2, 11 - String(n).length));
  const step = 10 ** (9 - decimals);
  return `${((Math.ceil(n / step) * step) / 1e9).toFixed(decimals)} GB`;
}

/** A duration, rounded up to seconds below a minute, and to minutes above. */
export function duration(seconds) {
  if (seconds < 60) {
    return `${Math.max(1, Math.ceil(seconds))} s`;
  }
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function date(time) {
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** The date with the whole name of the month. */
export function longDate(time) {
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric" });
}

export function dateAndTime(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** The name as a part of a repository's or a model's name. */
export function slug(name) {
  const plain = name.normalize("NFKD").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  return plain.replace(/^-/, "").slice(0, 60).replace(/-$/, "") || "model";
}

const KINDS = { adapter: "Adapter", merged: "Merged model", gguf: "GGUF" };

/** What an export makes, such as `GGUF q8_0, q4_k_m`. */
export function exportKind({ type, quantizations, gguf_kind: kind, max_bytes: size }) {
  const name = kind === "lora" ? "GGUF adapter" : (KINDS[type] ?? type);
  const types = size ? `of at most ${bytes(size)}` : (quantizations ?? []).join(", ");
  return [name, types].filter(Boolean).join(" ");
}
