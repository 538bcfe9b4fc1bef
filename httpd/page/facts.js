// What was measured and how long it took, from analysis.json and the status.

import { analysis } from "./api.js";
import { count, exactly, size } from "./words.js";

const $ = (id) => document.getElementById(id);
const CAME_BY = { http: "the page or the API", inbox: "the inbox folder", cli: "the command line" };
const TIMED = { cutout: "cut-out", geometry: "shape", texture: "texture", finishing: "finishing" };

// `still` says whether this job is still the one that is looked at when the measurements arrive.
export async function facts(job, still) {
  show(rows(job, null));
  if (!job.has_model) return;
  try {
    const measured = await analysis(job.job_id);
    if (still()) show(rows(job, measured));
  } catch (error) {
    if (error.status !== 404) console.warn(error);
  }
}

function rows(job, measured) {
  const spent = Object.entries(job.timings).map(([stage, seconds]) => `${TIMED[stage] ?? stage} ${seconds.toFixed(1)} s`);
  const told = [];
  if (measured) {
    told.push(["Faces", count(measured.faces)], ["Size in the file", size(measured.dimensions_m)]);
    told.push(["Closed", measured.watertight ? "yes, watertight" : "no"]);
    if (measured.components > 1) told.push(["Pieces", count(measured.components)]);
  }
  if (spent.length) told.push(["Time", spent.join(", ")]);
  if (job.engine) told.push(["Engine", job.engine]);
  told.push(["Seed", String(job.seed)], ["Came by", CAME_BY[job.source] ?? job.source], ["Sent", exactly(job.created_at)], ["Job", job.job_id]);
  return told;
}

function show(told) {
  $("facts-of").hidden = false;
  $("facts").replaceChildren(
    ...told.flatMap(([name, value]) => {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }),
  );
}
