// What can be downloaded of a job.

import { address, product } from "./api.js";
import { busy } from "./busy.js";
import { hasKey } from "./key.js";
import { fileName } from "./words.js";

export const VIEWS = ["front", "right", "back", "left"];
const FILES = [
  ["model.glb", "Model (GLB)"],
  ["geometry.glb", "Bare mesh (GLB)"],
  ["cutout.png", "Cut-out (PNG)"],
  ...VIEWS.map((side, number) => [`view_${number}.png`, `View: ${side} (PNG)`]),
  ["analysis.json", "Measurements (JSON)"],
];
const LOG = ["job.log", "Log"];
const TAKEN = 60000; // milliseconds after which the browser surely has what it saves
const $ = (id) => document.getElementById(id);

// Offer the files of this job; `tried(action)` does what may fail and tells of it.
export function showFiles(job, tried) {
  const shown = job.has_model ? FILES : job.stage === "views" ? FILES.slice(1, -1) : [];
  const files = job.status === "failed" ? [LOG] : shown.length ? [...shown, LOG] : [];
  $("files-of").hidden = !files.length;
  $("downloads").replaceChildren(
    ...files.map(([name, label]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.textContent = label;
      item.append(link);
      lead(link, job, name, tried);
      return item;
    }),
  );
  if (job.has_model) lead($("download"), job, "model.glb", tried);
}

// Hand what lies at a blob: address to the browser's downloads, and give it back once it surely has it.
export function save({ url, release }, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(release, TAKEN);
}

function lead(link, job, name, tried) {
  link.href = product(job.job_id, name);
  link.download = fileName(job, name);
  link.onclick = (event) => {
    if (!hasKey()) return;
    // With a key the link cannot fetch the file itself.
    event.preventDefault();
    tried(() => busy(link, async () => save(await address(product(job.job_id, name)), link.download)));
  };
}
