// Photos in: chosen, dropped anywhere or pasted; two are sent at a time, each with what was chosen at that moment.
// One request each, not one for all: each has its bar, and a connection that breaks costs one photo's bytes.

import * as api from "./api.js";
import { listenForDrops } from "./drops.js";
import { mebibytes } from "./words.js";

const AT_ONCE = 2;
const TRIES = 5;
const PAUSE = 2000;
const $ = (id) => document.getElementById(id);

// What the form says now, as fields of an upload.
function chosen() {
  const tags = $("upload-tags").value.trim();
  return {
    start: "true",
    quality: $("quality").querySelector(":checked").value,
    remove_bg: String($("remove-bg").checked),
    allow_lower: String($("allow-lower").checked),
    priority: $("upload-priority").value,
    ...(tags && { tags }),
  };
}

export class Uploads {
  #accepted;
  #queue = [];
  #sending = 0;
  // The largest photo that the service takes, in bytes; null where it does not say.
  limit = null;

  // `accepted(job, isFirst)` is called with the status object of each job, `isFirst` for the first of its batch.
  constructor({ accepted }) {
    this.#accepted = accepted;
    $("files").addEventListener("change", (event) => {
      this.add([...event.target.files]);
      event.target.value = ""; // the same photo may be chosen again
    });
    $("drop").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) this.add(files);
    });
    listenForDrops({ dropped: (files) => this.add(files), failed: (name, why) => this.#refused(this.#row(name), name, why) });
  }

  add(files) {
    const wishes = chosen();
    const name = $("upload-name").value.trim();
    files.forEach((file, place) => {
      const alone = files.length === 1;
      const fields = { ...wishes, ...(name && { name: alone ? name : `${name} ${place + 1}` }) };
      this.#queue.push({ file, fields, row: this.#row(file.name), isFirst: place === 0, alone });
    });
    // Tags, priority and the rest are kept for the next photos; a name is for these.
    $("upload-name").value = "";
    this.#next();
  }

  #next() {
    while (this.#sending < AT_ONCE && this.#queue.length) {
      this.#sending++;
      this.#send(this.#queue.shift()).finally(() => {
        this.#sending--;
        this.#next();
      });
    }
  }

  async #send({ file, fields, row, isFirst, alone }) {
    const bar = row.querySelector("progress");
    const name = api.uploadName();
    for (let tried = 1; ; tried++) {
      try {
        await this.#check(file);
        const job = await api.upload(file, fields, name, (share) => (bar.value = share));
        row.remove();
        this.#accepted({ ...job, alone }, isFirst);
        return;
      } catch (error) {
        if (error instanceof api.Unreachable && tried < TRIES) {
          row.querySelector("span").textContent = `${file.name}: the service does not answer, trying again`;
          await new Promise((resolve) => setTimeout(resolve, PAUSE * tried));
          continue;
        }
        this.#refused(row, file.name, error.message);
        return;
      }
    }
  }

  // Raises an Error with words for people where it need not be sent. Before each try: files change meanwhile.
  async #check(file) {
    if (this.limit !== null && file.size > this.limit)
      throw new Error(`${mebibytes(file.size)}; this service takes at most ${mebibytes(this.limit)}. Send a smaller one.`);
    if (!(await isReadable(file))) throw new Error("it is empty or cannot be read. Was it moved or changed since? Choose it again.");
  }

  #row(name) {
    const row = document.createElement("li");
    const words = document.createElement("span");
    const bar = document.createElement("progress");
    words.textContent = name;
    bar.value = 0;
    bar.setAttribute("aria-label", `Sending ${name}`);
    row.append(words, bar);
    $("sending").append(row);
    return row;
  }

  #refused(row, name, why) {
    const words = document.createElement("span");
    const close = document.createElement("button");
    words.textContent = `${name}: ${why}`;
    close.type = "button";
    close.className = "quiet";
    close.textContent = "OK";
    close.addEventListener("click", () => {
      row.remove();
      ($("sending").querySelector(".refused button") ?? $("files")).focus({ preventScroll: true });
    });
    row.className = "refused";
    row.setAttribute("role", "alert");
    row.replaceChildren(words, close);
  }
}

// Whether its first byte can be had. Of a file that is gone Chromium gives none, without an error, and a size of 0.
async function isReadable(file) {
  try {
    return (await file.slice(0, 1).arrayBuffer()).byteLength === 1;
  } catch {
    return false;
  }
}
