// The queue as a whole: how much waits, until when, and whether it is paused.

import * as api from "./api.js";
import { about, exactly } from "./words.js";

const $ = (id) => document.getElementById(id);

export class QueueView {
  #changed;
  #failed;

  // `changed` is called after the queue was paused or resumed, `failed(error)` where that was refused.
  constructor({ changed, failed }) {
    this.#changed = changed;
    this.#failed = failed;
    $("pause").addEventListener("click", () => this.#ask(api.pause));
    $("resume").addEventListener("click", () => this.#ask(api.resume));
  }

  show({ paused, counts, all_done, may }, engine) {
    const waiting = counts.cutout + counts.geometry + counts.texture;
    const words = [
      engine && `engine ${engine}`,
      waiting ? `${waiting} waiting` : "queue empty",
      all_done !== null && waiting + counts.running && `all ready in ${about(all_done)}`,
    ];
    $("waiting").textContent = words.filter(Boolean).join(" · ");
    $("pause").hidden = Boolean(paused) || !may.pause;
    $("resume").hidden = !may.pause;
    $("paused").hidden = !paused;
    if (paused) tell(paused);
    for (const option of document.querySelectorAll("option[value=high]")) option.hidden = option.disabled = !may.prioritise_high;
  }

  async #ask(what) {
    try {
      await what();
      this.#changed();
    } catch (error) {
      this.#failed(error);
    }
  }
}

function tell({ since, reason }) {
  const words = [
    since ? `The queue is paused since ${exactly(since)}.` : "The queue is paused.",
    reason && `Why: ${reason}.`,
    "Photos are taken and wait.",
  ];
  const said = words.filter(Boolean).join(" ");
  // Only when it changed: a screen reader says it each time.
  if ($("paused-words").textContent !== said) $("paused-words").textContent = said;
}
