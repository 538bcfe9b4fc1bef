// An <img> whose picture comes from the API, also with a key. A path that gave no picture is not asked for again: it
// changes when the job gets further.

import { address } from "./api.js";

// Those that show nothing though they were asked to.
const blanks = new Set();

// The service was away and is back: the next `show` asks again also for what had no picture, which may have been why.
export function askAgain() {
  for (const picture of [...blanks]) picture.clear();
}

export class Picture {
  #image;
  #path = null;
  #release = () => {};

  constructor(image) {
    this.#image = image;
    image.addEventListener("error", () => this.#blank());
    image.addEventListener("load", () => (image.hidden = false));
  }

  async show(path) {
    if (path === this.#path) return;
    this.#path = path;
    let made;
    try {
      made = await address(path);
    } catch {
      if (path === this.#path) this.#blank();
      return;
    }
    if (path !== this.#path) return made.release();
    this.#release();
    this.#release = made.release;
    blanks.delete(this);
    // A hidden lazy picture would never begin to load.
    this.#image.hidden = false;
    this.#image.src = made.url;
  }

  clear() {
    this.#empty();
    this.#path = null;
    blanks.delete(this);
  }

  // There is no picture of this one, or none that a browser shows: an empty frame.
  #blank() {
    this.#empty();
    blanks.add(this);
  }

  #empty() {
    this.#release();
    this.#release = () => {};
    this.#image.removeAttribute("src");
    this.#image.hidden = true;
  }
}
