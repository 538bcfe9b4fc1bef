// The queue as a whole: how much waits, until when, and whether it is paused.

import * as api from "./api.js";
import { busy } from "./busy.js";
import { about, exactly } from "./words.js";

const $ = (id) => document.getElementById(id);

export class QueueView {
  #changed;
  #failed;

  // `changed` is called after the queue was paused or resumed, `failed(error)` where that was refused.
  constructor({ changed, failed }) {
    this.#changed = changed;
    this.#failed = failed;
    $("pause").addEventListener("click", () => this.#ask($("pause"), api.pause));
    $("resume").addEventListener("click", () => this.#ask($("resume"), api.resume));
  }

  show({ paused, counts, all_done, may }, engine) {
    const waiting = counts.cutout + counts.geometry + counts.texture;
    const words = [
      engine && `engine ${engine}`,
      counts.running && `${counts.running} running`,
      waiting && `${waiting} waiting`,
      !waiting && !counts.running && "nothing waits",
      all_done !== null && waiting + counts.running && `all ready in ${about(all_done)}`,
    ];
    $("waiting").textContent = words.filter(Boolean).join(" · ");
    this.#offer(paused, may);
    for (const option of document.querySelectorAll("option[value=high]")) option.hidden = option.disabled = !may.prioritise_high;
  }

  // Pause or Resume, whichever is possible; the focus goes from one to the other.
  #offer(paused, may) {
    const hadFocus = [$("pause"), $("resume")].includes(document.activeElement);
    $("pause").hidden = Boolean(paused) || !may.pause;
    $("resume").hidden = !may.pause;
    $("paused").hidden = !paused;
    if (paused) tell(paused);
    if (hadFocus) $(paused ? "resume" : "pause").focus({ preventScroll: true });
  }

  async #ask(button, what) {
    try {
      await busy(button, what);
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
