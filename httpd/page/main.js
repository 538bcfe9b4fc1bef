// The page: which job is shown (the address's fragment says so), and when everything is read again.

import * as api from "./api.js";
import { askKey } from "./dialogs.js";
import * as key from "./key.js";
import { JobList } from "./list.js";
import { JobView } from "./job.js";
import { Watch } from "./live.js";
import { askAgain } from "./picture.js";
import { QueueView } from "./queue.js";
import { showService } from "./service.js";
import { Uploads } from "./uploads.js";
import * as words from "./words.js";

const $ = (id) => document.getElementById(id);
const WIDE = matchMedia("(min-width: 52rem)");

const selected = () => /^#([0-9a-f-]{36})$/.exec(location.hash)?.[1] ?? null;

const list = new JobList($("jobs"), $("none"), $("older"), () => watch.now());
const queue = new QueueView({ changed: () => watch.now(), failed: tell });
const view = new JobView({
  changed: () => watch.now(),
  tagged: (tag) => show(tag),
  gone: (id) => {
    if (selected() !== id) return watch.now(); // another one is looked at by now
    location.hash = "";
    $("gone").hidden = true; // a look that was under way may have missed it
    // The button that had the focus goes with the job.
    $("jobs-heading").focus({ preventScroll: true });
    watch.now();
  },
});
const uploads = new Uploads({
  accepted: (job, isFirst) => {
    // On a phone a batch is better watched in the list.
    if (isFirst && (WIDE.matches || job.alone)) location.hash = job.job_id;
    watch.now();
  },
});
const watch = new Watch(look);
const ESTIMATED = 50; // jobs of the list that say when they are ready

// Only the jobs with this tag in the list, or all (null).
function show(tag) {
  list.only(tag);
  $("tag-shown").hidden = !tag;
  $("tag-shown").textContent = tag ? `${tag} ×` : "";
  $("tag-shown").setAttribute("aria-label", `Only models with the tag ${tag}. Show all again`);
  if (tag && !WIDE.matches) location.hash = "";
  watch.now();
}
$("tag-shown").addEventListener("click", () => {
  show(null);
  $("jobs-heading").focus();
});

let first = true;

async function look() {
  const wanted = selected();
  try {
    const reading = api.queue(ESTIMATED);
    const [health, waits] = await Promise.all([api.health(), reading, list.refresh(reading), showSelected()]);
    showService(health);
    uploads.limit = health.max_upload_bytes ?? null; // an older server does not tell
    queue.show(waits, health.engine);
    if (!$("trouble").hidden) askAgain();
    $("trouble").hidden = true;
    list.announce($("said"));
    document.body.toggleAttribute("data-empty", list.isEmpty);
    if (first && !wanted && !selected() && WIDE.matches && list.newest) {
      history.replaceState(null, "", `#${list.newest}`);
      await showSelected();
    }
    first = false;
    document.body.dataset.heard = watch.means; // for tests and the curious
  } catch (error) {
    tell(error);
  }
  showKeyButton();
}

function showKeyButton() {
  $("key-button").hidden = !(key.hasKey() || key.keyDeclined());
  const another = key.keyRefused() ? "Enter another API key" : "Enter an API key";
  $("key-button").textContent = key.hasKey() ? "Forget the API key" : another;
}

// Two may read the same job at once (a look, and a new address), and the older answer may come last.
let asked = 0;
let shown = 0;

async function showSelected() {
  const id = selected();
  const turn = ++asked;
  document.body.dataset.showing = id ? "job" : "list";
  $("welcome").hidden = Boolean(id);
  list.mark(id);
  if (!id) {
    view.close();
    document.title = "ProtoScale";
    return;
  }
  view.expect(id);
  try {
    const job = await api.job(id);
    if (id !== selected() || turn < shown) return;
    shown = turn;
    view.show(job);
    $("gone").hidden = true;
    const far = words.isMoving(job) ? `${words.percent(job.progress)} ` : "";
    document.title = `${far}${job.name} · ProtoScale`;
  } catch (error) {
    if (id !== selected()) return; // what became of it concerns nobody here
    if (error.status !== 404) throw error;
    // Deleted in another tab, by retention, or a link that is wrong.
    view.close();
    history.replaceState(null, "", location.pathname);
    document.body.dataset.showing = "list";
    document.title = "ProtoScale";
    $("welcome").hidden = false;
    $("gone").textContent = "This model is no longer here: it was deleted, or the link to it is wrong.";
    $("gone").hidden = false;
  }
}

function wordsFor(error) {
  if (error instanceof api.Unreachable) return "The service does not answer. Trying again; nothing that was accepted is lost.";
  if (error.status === 401) return "This service wants an API key. Enter one with the button at the top.";
  return error.message;
}

function tell(error) {
  const words = wordsFor(error);
  if ($("trouble").textContent !== words) $("trouble").textContent = words;
  $("trouble").hidden = false;
  if (!(error instanceof api.Unreachable) && !(error instanceof api.Refused)) console.error(error);
}

addEventListener("hashchange", async () => {
  if (location.hash && !selected()) return; // a link within the page
  try {
    await showSelected();
    if (selected() && !WIDE.matches) $("job-name").focus({ preventScroll: true });
    if (!WIDE.matches) scrollTo(0, 0);
  } catch (error) {
    tell(error);
  }
});

key.onKeyWanted(askKey);
$("key-button").addEventListener("click", async () => {
  if (!key.hasKey()) return key.enterKey().then(() => watch.now());
  key.forgetKey();
  location.reload();
});
watch.start();
