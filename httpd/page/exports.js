// Other formats of a finished model, made by the server when they are asked for, and whether it can be printed.

import * as api from "./api.js";
import { busy } from "./busy.js";
import { save } from "./files.js";
import { fileName, percent } from "./words.js";

const $ = (id) => document.getElementById(id);
const OFFERED = "/api/jobs/{job_id}/report";
// Meshes take the height; pictures have none.
const FORMATS = [
  ["model.stl", "STL", true],
  ["model.3mf", "3MF", true],
  ["model.obj.zip", "OBJ (ZIP)", true],
  ["model.ply", "PLY", true],
  ["model.usdz", "USDZ", true],
  ["model.web.glb", "Small GLB", true],
  ["turntable.webp", "Turntable", false],
  ["contact_sheet.png", "Contact sheet", false],
];
const REPAIRED = ["model.repaired.glb", "Download the repaired model", false];

export class Exports {
  #job = null;
  #offered = null;
  // They are made one after the other: a browser has six connections to a server, and the rest of the page needs some.
  #turn = Promise.resolve();

  constructor() {
    $("formats").replaceChildren(
      ...FORMATS.map((format) => {
        const item = document.createElement("li");
        item.append(this.#button(format));
        return item;
      }),
    );
    $("check").addEventListener("click", () => this.#busy($("check"), (job) => this.#check(job)));
  }

  // Offer them for this job, where this server makes them.
  async show(job) {
    if (job.job_id !== this.#job?.job_id) $("report").replaceChildren();
    this.#job = job;
    try {
      this.#offered ??= (await api.routes()).has(OFFERED);
    } catch {
      return; // not reachable now; asked again with the next job
    }
    $("exports").hidden = !(this.#offered && this.#job.has_model);
  }

  #button([file, label, hasHeight]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", () =>
      this.#busy(button, async (job) => {
        save(await api.blob(`${api.product(job.job_id, file)}${hasHeight ? query() : ""}`), fileName(job, file));
      }),
    );
    return button;
  }

  async #busy(button, work) {
    const job = this.#job;
    try {
      await busy(button, () => (this.#turn = this.#turn.then(() => work(job), () => work(job))));
    } catch (error) {
      if (job.job_id === this.#job.job_id) say(element("p", error.message, "refusal"));
    }
  }

  async #check({ job_id }) {
    const told = await api.report(job_id, query());
    if (job_id !== this.#job.job_id) return;
    if (told.printable) return say(element("p", "It can be printed at this size.", "good"), element("p", measured(told)));
    const problems = document.createElement("ul");
    problems.append(...told.problems.map((problem) => element("li", problem)));
    const words = element("p", "It cannot be printed well as it is:", "refusal");
    say(words, problems, element("p", measured(told)), this.#button(REPAIRED));
  }
}

function query() {
  const height = $("height").value.trim();
  return height ? `?${new URLSearchParams({ height_mm: height })}` : "";
}

function measured({ volume_cm3, material, walls, overhang }) {
  const told = [];
  if (volume_cm3 !== null) told.push(`${volume_cm3.toFixed(1)} cm³`);
  if (material?.grams_solid) told.push(`at most ${material.grams_solid.toFixed(0)} g of ${material.name.toUpperCase()}`);
  if (walls) told.push(`${percent(100 * walls.thin_share)} of it has thin walls`);
  if (overhang) told.push(`${percent(100 * overhang.share)} overhangs`);
  return told.join(", ");
}

const say = (...parts) => $("report").replaceChildren(...parts);

function element(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}
