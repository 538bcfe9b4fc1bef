// Other formats of a finished model, made by the server when they are asked for, and whether it can be printed.

import * as api from "./api.js";
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

  constructor() {
    $("formats").replaceChildren(
      ...FORMATS.map((format) => {
        const item = document.createElement("li");
        item.append(this.#button(format));
        return item;
      }),
    );
    $("check").addEventListener("click", () => this.#busy($("check"), () => this.#check()));
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
      this.#busy(button, async () => {
        const job = this.#job;
        const { url, release } = await api.blob(`${api.product(job.job_id, file)}${hasHeight ? query() : ""}`);
        const link = document.createElement("a");
        link.href = url;
        link.download = fileName(job, file);
        link.click();
        setTimeout(release, 60000);
      }),
    );
    return button;
  }

  async #busy(button, work) {
    const label = button.textContent;
    const id = this.#job.job_id;
    button.disabled = true;
    button.textContent = `${label} …`;
    try {
      await work();
    } catch (error) {
      if (id === this.#job.job_id) say(element("p", error.message, "refusal"));
    } finally {
      button.textContent = label;
      button.disabled = false;
    }
  }

  async #check() {
    const id = this.#job.job_id;
    const told = await api.report(id, query());
    if (id !== this.#job?.job_id) return;
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
