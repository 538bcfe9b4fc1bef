// One job: its progress, then its model, views, files and facts, and what can be asked of it.

import * as api from "./api.js";
import { busy } from "./busy.js";
import { confirmed } from "./dialogs.js";
import { Exports } from "./exports.js";
import { facts } from "./facts.js";
import { VIEWS, showFiles } from "./files.js";
import { Picture } from "./picture.js";
import { Screen } from "./screen.js";
import { showSteps } from "./steps.js";
import * as words from "./words.js";

const $ = (id) => document.getElementById(id);
// The first of them that is seen takes the focus of one that is hidden by what became of it.
const BUTTONS = ["download", "make", "retry", "cancel"];

export class JobView {
  #job = null;
  #screen = new Screen();
  #strip;
  #exports = new Exports();
  #changed;
  #tagged;
  #drawn = "";

  // `changed` is called after something was asked of the job, `gone(id)` after it was deleted, `tagged(tag)` where the
  // others with a tag are wanted.
  constructor({ changed, gone, tagged }) {
    this.#changed = changed;
    this.#tagged = tagged;
    this.#strip = strip((side) => this.#screen.look(side));
    for (const [button, what] of [["retry", "retry"], ["cancel", "cancel"], ["make", "generate-3d"]])
      $(button).addEventListener("click", () => this.#tried(() => busy($(button), () => api.ask(this.#job.job_id, what))));
    $("priority").addEventListener("change", (event) =>
      this.#tried(() => api.prioritise(this.#job.job_id, event.target.value)),
    );
    $("delete").addEventListener("click", async () => {
      const { job_id, name } = this.#job;
      if (!(await confirmed(`Delete ${name} with its model and every file of it?`))) return;
      await this.#tried(async () => {
        await api.remove(job_id);
        gone(job_id);
      }, job_id);
    });
  }

  close() {
    this.#job = null;
    this.#drawn = "";
    $("job").hidden = true;
    this.#screen.close();
  }

  // The job with this id is on its way. Another one that is still shown can be asked nothing more: who clicks now
  // means the new one.
  expect(id) {
    const isOther = Boolean(this.#job) && this.#job.job_id !== id;
    for (const part of document.querySelectorAll("#job > :not(header)")) part.inert = isOther;
  }

  // Show this status object.
  show(job) {
    const isOther = job.job_id !== this.#job?.job_id;
    this.#job = job;
    this.expect(job.job_id);
    $("job").hidden = false;
    $("job").dataset.job = job.job_id; // for tests and the curious
    if (isOther) this.#trouble(null);
    $("job-name").textContent = job.name;
    $("job-state").textContent = words.stateOf(job);
    $("job-state").dataset.status = words.isCancelled(job) ? "cancelled" : job.status;
    $("job-about").textContent = ` · ${words.QUALITIES[job.quality] ?? job.quality} quality · ${words.ago(job.created_at)}`;
    $("job-about").title = words.exactly(job.created_at);
    showSteps(job);
    this.#screen.show(job);
    this.#draw(job);
    this.#buttons(job);
  }

  // What changes less often than the progress.
  #draw(job) {
    const drawn = [job.job_id, job.status, job.stage, job.has_views, job.has_model, job.engine, job.notes, job.tags].join();
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#pictures(job);
    this.#tags(job);
    this.#made(job);
    showFiles(job, (action) => this.#tried(action, job.job_id));
    this.#exports.show(job);
    facts(job, () => job.job_id === this.#job?.job_id);
  }

  #buttons(job) {
    const rests = words.isOver(job) || job.stage === "uploaded";
    const focused = $("actions").contains(document.activeElement) ? document.activeElement : null;
    $("download").hidden = !job.has_model;
    $("make").hidden = !(job.stage === "uploaded" || job.stage === "views");
    $("retry").hidden = job.status !== "failed";
    $("cancel").hidden = !words.isMoving(job);
    $("priority-of").hidden = !words.isMoving(job);
    // Not while somebody is choosing.
    if (document.activeElement !== $("priority")) $("priority").value = job.priority;
    $("delete").hidden = !rests;
    if (focused?.checkVisibility() === false) $(BUTTONS.find((id) => !$(id).hidden))?.focus({ preventScroll: true });
  }

  #pictures(job) {
    const wanted = job.has_views && words.isOver(job);
    $("strip").hidden = !wanted;
    if (wanted) this.#strip.photo.show(api.photo(job.job_id));
    this.#strip.views.forEach((picture, number) => {
      if (wanted) picture.show(api.product(job.job_id, `view_${number}.png`));
      else picture.clear();
    });
  }

  #tags(job) {
    const there = [...$("job-tags").children].map((item) => item.textContent);
    if (there.join("\n") === job.tags.join("\n")) return; // the focus may be on one
    const buttons = job.tags.map((tag) => {
      const button = element("button", tag);
      button.type = "button";
      button.className = "tag";
      button.title = `Only models with the tag ${tag}`;
      button.addEventListener("click", () => this.#tagged(tag));
      return item(button);
    });
    $("job-tags").replaceChildren(...buttons);
  }

  #made(job) {
    $("made-by").hidden = !(job.engine && job.has_views && words.isOver(job));
    if (job.engine) $("made-by").textContent = words.madeBy(job.engine);
    $("notes").replaceChildren(...job.notes.map((note) => element("li", note)));
  }

  // Do it; a refusal is told where the job that it is about is still shown.
  async #tried(action, id = this.#job?.job_id) {
    let trouble = null;
    try {
      await action();
    } catch (error) {
      trouble = error;
    }
    if (id === this.#job?.job_id) this.#trouble(trouble);
    this.#changed();
  }

  #trouble(error) {
    document.getElementById("job-trouble")?.remove();
    if (!error) return;
    const words = element("p", error.message);
    words.id = "job-trouble";
    words.className = "trouble";
    words.setAttribute("role", "alert");
    $("actions").before(words);
  }
}

// The photo and the four views; a view is a button that turns the model to that side.
function strip(turn) {
  const pictures = ["photo", ...VIEWS].map((side) => {
    const item = $("picture").content.firstElementChild.cloneNode(true);
    const button = item.firstElementChild;
    button.lastElementChild.textContent = side[0].toUpperCase() + side.slice(1);
    if (side === "photo") button.disabled = true;
    else button.addEventListener("click", () => turn(side));
    button.title = side === "photo" ? "The photo as it was sent" : `Turn the model to its ${side}`;
    $("strip").append(item);
    return new Picture(item.querySelector("img"));
  });
  return { photo: pictures[0], views: pictures.slice(1) };
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function item(child) {
  const made = document.createElement("li");
  made.append(child);
  return made;
}
