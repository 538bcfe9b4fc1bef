// Where a job is: the three stages, a bar, and the engine's own words.

import { STEPS, STEP_NAMES, expected, isMoving, percent, stateOf } from "./words.js";

const $ = (id) => document.getElementById(id);

export function showSteps(job) {
  const moving = isMoving(job);
  $("progress").hidden = !moving;
  if (!moving) return;
  // `finishing` is the last part of whichever stage publishes the result.
  const at = job.stage === "finishing" ? STEPS.length : STEPS.indexOf(job.stage);
  $("steps").replaceChildren(
    ...STEPS.map((step, number) => {
      const item = document.createElement("li");
      item.textContent = STEP_NAMES[step];
      item.dataset.step = number < at ? "done" : number === at ? "now" : "later";
      if (number === at) item.setAttribute("aria-current", "step");
      return item;
    }),
  );
  $("bar").value = job.progress;
  const said = job.queue_position ? stateOf(job) : job.message || stateOf(job);
  const when = expected(job.estimate, Boolean(job.queue_position));
  $("message").textContent = [said, percent(job.progress), when].filter(Boolean).join(" · ");
}
