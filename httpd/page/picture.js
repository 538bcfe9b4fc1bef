// An <img> whose picture comes from the API: also with a key, and asked for again where it was not there yet.

import { address } from "./api.js";

export class Picture {
  #image;
  #path = null;
  #release = () => {};

  constructor(image) {
    this.#image = image;
    image.addEventListener("error", () => {
      // Not there (yet), or not one a browser shows: an empty frame, and the next `show` tries again.
      image.hidden = true;
      this.#path = null;
    });
    image.addEventListener("load", () => (image.hidden = false));
  }

  async show(path) {
    if (path === this.#path) return;
    this.#path = path;
    let made;
    try {
      made = await address(path);
    } catch {
      if (path === this.#path) this.clear();
      return;
    }
    if (path !== this.#path) return made.release();
    this.#release();
    this.#release = made.release;
    // A hidden lazy picture would never begin to load.
    this.#image.hidden = false;
    this.#image.src = made.url;
  }

  clear() {
    this.#path = null;
    this.#release();
    this.#release = () => {};
    this.#image.removeAttribute("src");
    this.#image.hidden = true;
  }
}
