// The jobs, newest first: what runs, and the history. Rows stay the same elements, so focus and pictures stay too.

import * as api from "./api.js";
import { about, ago, exactly, isMoving, isOver, percent, stateOf, QUALITIES } from "./words.js";
import { Picture } from "./picture.js";

const PAGE = 50;

export class JobList {
  #list;
  #none;
  #older;
  #template = document.getElementById("row");
  #rows = new Map();
  #states = new Map();
  #pages = 1;
  #marked = null;
  #tag = null;
  #running = new Map();
  #waiting = new Map();
  #news = [];

  // `changed` is called where more is to be shown.
  constructor(list, none, older, changed) {
    this.#list = list;
    this.#none = none;
    this.#older = older;
    older.addEventListener("click", () => {
      this.#pages++;
      changed();
    });
  }

  // Whether there is no job at all.
  get isEmpty() {
    return !this.#tag && !this.#rows.size;
  }

  get newest() {
    return this.#list.firstElementChild?.dataset.job;
  }

  // From the next look on, only jobs with this tag; all where it is null.
  only(tag) {
    this.#tag = tag;
    this.#pages = 1;
  }

  // Read the list and show it; `queue` is the promise of the queue as it is now. Raises what the API raises.
  async refresh(queue) {
    const tag = this.#tag;
    const jobs = [];
    let older = null;
    do {
      const { rows, next } = await api.jobs(PAGE, older, tag);
      jobs.push(...rows);
      older = next;
    } while (older && jobs.length < PAGE * this.#pages);
    const { waiting, running } = await queue;
    if (tag !== this.#tag) return; // another look is on its way
    this.#running = new Map(running.map((job) => [job.job_id, job]));
    this.#waiting = new Map(waiting.map((job) => [job.job_id, job]));
    const seen = new Set(jobs.map((job) => job.job_id));
    for (const [id, row] of this.#rows) if (!seen.has(id)) this.#forget(id, row);
    jobs.forEach((job, place) => this.#place(job, place));
    this.#none.hidden = jobs.length > 0;
    this.#none.textContent = tag ? `No models with the tag ${tag}.` : "No models yet.";
    this.#older.hidden = !older;
  }

  // Show which job is looked at.
  mark(id) {
    this.#marked = id;
    for (const [job, row] of this.#rows) this.#mark(job, row);
  }

  // Say aloud (to a screen reader) what ended since the last time.
  announce(where) {
    if (this.#news.length) where.textContent = this.#news.join(". ");
    this.#news = [];
  }

  #place(job, place) {
    let row = this.#rows.get(job.job_id);
    if (!row) {
      row = this.#template.content.firstElementChild.cloneNode(true);
      row.dataset.job = job.job_id;
      row.firstElementChild.href = `#${job.job_id}`;
      row.picture = new Picture(row.querySelector("img"));
      this.#rows.set(job.job_id, row);
      this.#mark(job.job_id, row);
    }
    this.#fill(row, job);
    const there = this.#list.children[place];
    if (there !== row) this.#list.insertBefore(row, there ?? null);
  }

  #fill(row, job) {
    row.dataset.status = job.status;
    row.querySelector(".row-name").textContent = job.name;
    const moving = isMoving(job);
    const state = row.querySelector(".row-state");
    const told = this.#running.get(job.job_id) ?? this.#waiting.get(job.job_id);
    const words = moving ? this.#doing(job) : stateOf(job);
    const when = told?.estimate && `ready in ${about(told.estimate.finish)}`;
    const rank = told && told.priority !== "normal" && `${told.priority} priority`;
    state.textContent = [words, moving ? when : ago(job.created_at), rank].filter(Boolean).join(" · ");
    row.querySelector(".row-tags").textContent = job.tags.join(", ");
    row.querySelector(".row-tags").hidden = !job.tags.length;
    state.title = `${QUALITIES[job.quality] ?? job.quality} quality, ${exactly(job.created_at)}`;
    const bar = row.querySelector("progress");
    bar.hidden = !moving;
    bar.value = job.progress;
    bar.setAttribute("aria-label", `Progress of ${job.name}`);
    row.picture.show(api.thumbnail(job.job_id, isOver(job) ? job.status : job.stage));
    const before = this.#states.get(job.job_id);
    if (before && before !== job.status && isOver(job)) this.#news.push(`${job.name}: ${stateOf(job)}`);
    this.#states.set(job.job_id, job.status);
  }

  // What is done with a job that goes on. Only the queue knows whether it waits: a summary tells the stage either way.
  // Of those that wait, the first are numbered.
  #doing(job) {
    if (this.#running.has(job.job_id)) return `${stateOf(job)} · ${percent(job.progress)}`;
    return stateOf({ ...job, status: "pending", queue_position: this.#waiting.get(job.job_id)?.position });
  }

  #mark(id, row) {
    if (id === this.#marked) row.firstElementChild.setAttribute("aria-current", "true");
    else row.firstElementChild.removeAttribute("aria-current");
  }

  #forget(id, row) {
    row.picture.clear();
    row.remove();
    this.#rows.delete(id);
    this.#states.delete(id);
  }
}
