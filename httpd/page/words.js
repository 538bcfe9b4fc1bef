// What the service's words mean to a person.

export const STEPS = ["cutout", "geometry", "texture"];
export const STEP_NAMES = { cutout: "Cut-out", geometry: "Shape", texture: "Texture" };

const DOING = {
  cutout: "Cutting the object out",
  geometry: "Making the shape",
  texture: "Painting the surface",
  finishing: "Finishing",
};

const ENGINES = {
  silhouette:
    "Made by silhouette, the engine without a GPU: it inflates the outline of the photo. " +
    "Depth and every side the photo does not show are inferred, not seen.",
  hunyuan:
    "Made by Hunyuan3D-2.1. The sides the photo does not show are inferred: plausible, not seen.",
};

export const madeBy = (engine) =>
  ENGINES[engine] ?? `Made by the engine ${engine}. The sides the photo does not show are inferred, not seen.`;

export const QUALITIES = { draft: "Draft", balanced: "Balanced", high: "High", ultra: "Ultra" };

// What a file of a job is called once it is saved: the model itself bears the photo's name.
export function fileName(job, file) {
  const stem = job.name.replace(/\.[^.]*$/, "") || "model";
  return file.startsWith("model.") ? stem + file.slice(5) : `${stem}-${file}`;
}

export const isOver = (job) => job.status === "completed" || job.status === "failed";
export const isMoving = (job) => job.status === "processing" || (job.status === "pending" && job.stage !== "uploaded");
export const isCancelled = (job) => job.status === "failed" && job.error === "cancelled";

// One line about a job: the whole status object, or the summary in a list.
export function stateOf(job) {
  if (isCancelled(job)) return "Cancelled";
  if (job.status === "failed") return job.error ?? "Failed";
  if (job.stage === "uploaded") return "Uploaded, not started";
  if (job.status === "completed") return job.has_model ? "Ready" : "Four views are ready";
  if (job.queue_position) return `Waiting, number ${job.queue_position} for ${waitsFor(job.stage)}`;
  if (job.status === "pending") return "Waiting";
  return DOING[job.stage] ?? "Working";
}

const waitsFor = (stage) => ({ cutout: "the cut-out", geometry: "the shape", texture: "the texture" })[stage] ?? stage;

// A time to come, as coarse as it is known.
export function about(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `about ${5 * Math.round(seconds / 5)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(seconds < 36000 ? 1 : 0)} h`;
}

// When a job that waits or runs starts and is done; empty where nobody can say.
export function expected(estimate, waits) {
  if (!estimate) return "";
  const ready = `ready in ${about(estimate.finish)}`;
  if (!waits) return ready;
  return estimate.start < 1 ? `starts now, ${ready}` : `starts in ${about(estimate.start)}, ${ready}`;
}

const ages = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
];

export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  for (const [size, unit] of UNITS) if (seconds >= size) return ages.format(-Math.floor(seconds / size), unit);
  return "just now";
}

export function exactly(iso) {
  return new Date(iso).toLocaleString();
}

const numbers = new Intl.NumberFormat("en");
export const count = (value) => numbers.format(value);
export const percent = (value) => `${Math.round(value)} %`;
export const bytes = (value) =>
  value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(value / 1e6))} MB`;

// As servers count them; rounded up, so that what is a little too large does not look like the limit.
export const mebibytes = (value) => `${numbers.format(Math.ceil((10 * value) / 2 ** 20) / 10)}\u00a0MiB`;

// Sides in metres; a model that was never measured has no true scale, so three significant digits are plenty.
export const size = (sides) => `${sides.map((side) => Number(side.toPrecision(3))).join(" × ")} m`;
