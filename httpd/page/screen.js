// The large picture of a job: the model in the viewer, before that the bare mesh or the photo.

import * as api from "./api.js";
import { Picture } from "./picture.js";
import { isOver } from "./words.js";

const $ = (id) => document.getElementById(id);
const LIBRARY = "page/three/VERSION";

export class Screen {
  #viewer = null;
  #starting = null;
  #still = new Picture($("still"));
  #shown = null;
  #why = null;

  constructor() {
    $("reset").addEventListener("click", () => this.#viewer?.reset());
    $("shading").addEventListener("change", (event) => this.#viewer?.shade(event.target.value));
  }

  close() {
    this.#shown = null;
    this.#viewer?.clear();
    this.#still.clear();
  }

  // Turn to one side.
  look(side) {
    this.#viewer?.look(side);
    $("canvas").focus({ preventScroll: true });
  }

  async show(job) {
    const file = glb(job);
    const wanted = `${job.job_id} ${file ?? job.stage} ${isOver(job)}`;
    if (wanted === this.#shown) return;
    if (!this.#shown?.startsWith(job.job_id)) {
      this.#viewer?.clear();
      delete $("canvas").dataset.drawn;
    }
    this.#shown = wanted;
    // Starting takes a moment, in which another job may be chosen.
    if (file && (await this.#start()) && this.#shown === wanted && (await this.#draw(job, file, wanted))) return;
    if (this.#shown === wanted) this.#showStill(job, file);
  }

  // Draw the model; false where it could not be.
  async #draw(job, file, wanted) {
    let made;
    try {
      made = await api.address(api.product(job.job_id, file));
      if (this.#shown !== wanted) return true;
      // The canvas has to have a size before the model is fitted into it.
      this.#reveal(true);
      const triangles = await this.#viewer.load(made.url);
      if (this.#shown !== wanted) return true;
      if (triangles !== null) {
        $("canvas").setAttribute("aria-label", `3D model of ${job.name}, ${Math.round(triangles)} triangles`);
        $("canvas").dataset.drawn = `${job.job_id}/${file}`;
      }
      return true;
    } catch (error) {
      console.warn(error);
      this.#why = `The model could not be drawn: ${error.message}`;
      return false;
    } finally {
      made?.release();
    }
  }

  #showStill(job, file) {
    this.#reveal(false);
    $("scene-note").textContent = file ? this.#why : "";
    $("scene-note").hidden = !file;
    const over = isOver(job);
    this.#still.show(over && job.has_views ? api.product(job.job_id, "view_0.png") : api.photo(job.job_id));
    $("still").alt = over && job.has_views ? `The model of ${job.name} from the front` : `The photo ${job.name}`;
  }

  #reveal(drawn) {
    $("canvas").hidden = !drawn;
    $("tools").hidden = !drawn;
    if (drawn) {
      this.#still.clear();
      $("scene-note").hidden = true;
    } else {
      delete $("canvas").dataset.drawn;
    }
  }

  // The viewer, started with the first model: a page without models loads no library. False where there is none.
  #start() {
    this.#starting ??= this.#begin();
    return this.#starting;
  }

  async #begin() {
    try {
      const installed = await fetch(LIBRARY);
      if (installed.status === 404) {
        this.#why =
          "The 3D viewer is not installed here, so this is a picture; `python -m httpd.viewer` on the server fetches it.";
        return false;
      }
      const { Viewer } = await import("./viewer.js");
      this.#viewer = new Viewer($("canvas"));
      this.#viewer.shade($("shading").querySelector(":checked").value);
      return true;
    } catch (error) {
      console.warn(error);
      this.#why = `The 3D viewer does not start (${error.message}), so this is a picture.`;
      this.#starting = null; // the next job tries again: the server may only have restarted
      return false;
    }
  }
}

// Which GLB there is to see.
function glb(job) {
  if (job.has_model) return "model.glb";
  if (job.stage === "views" || (job.stage === "texture" && !isOver(job))) return "geometry.glb";
  return null;
}
