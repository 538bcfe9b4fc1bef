// When to look again: the server says so (EventSource) where it can, else once a second.
// What is shown is always read from the API; an event only says that something changed.

import { routes } from "./api.js";
import { hasKey } from "./key.js";

const EVENTS = "api/events";
const EVERY = 1000;
const SLOWLY = 10000; // beside events: the devices' figures, and what an event lost
const CLOSEST = 300; // a job reports five times a second; people read more slowly
const REFUSED = 30000; // too many streams are open: ask again this much later
const NAMES = ["job", "deleted", "queue"];

export class Watch {
  #look;
  #source = null;
  #timer = 0;
  #soon = 0;
  #looking = false;
  #again = false;
  #offered = null;
  #notBefore = 0;

  // `look` is async, reads the API and shows what it says; it never throws.
  constructor(look) {
    this.#look = look;
    // A hidden tab holds no connection (a browser allows six to one server) and asks nothing.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.start()));
  }

  // "events" or "polling": how changes are heard of now.
  get means() {
    return this.#source?.readyState === EventSource.OPEN ? "events" : "polling";
  }

  async start() {
    this.#stop();
    await this.now();
    await this.#listen();
    this.#next();
  }

  // Look at once; while a look is under way, once more after it.
  async now() {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    do {
      this.#again = false;
      await this.#look();
    } while (this.#again);
    this.#looking = false;
  }

  #next() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    this.#timer = setTimeout(
      async () => {
        await this.now();
        if (!this.#source) await this.#listen();
        this.#next();
      },
      this.means === "events" ? SLOWLY : EVERY,
    );
  }

  async #listen() {
    // EventSource cannot send a key.
    if (this.#source || hasKey() || document.hidden || Date.now() < this.#notBefore) return;
    try {
      this.#offered ??= (await routes()).has(`/${EVENTS}`);
    } catch {
      return; // not reachable now; asked again with the next look
    }
    if (!this.#offered) return;
    const source = new EventSource(EVENTS);
    this.#source = source;
    source.onopen = () => this.#changed();
    source.onerror = () => {
      // It tries again by itself, unless the server refused. Meanwhile: polling.
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        this.#source = null;
        this.#notBefore = Date.now() + REFUSED;
      }
      this.#next();
    };
    for (const name of NAMES) source.addEventListener(name, () => this.#changed());
  }

  #changed() {
    this.#soon ||= setTimeout(async () => {
      await this.now();
      this.#soon = 0;
      this.#next();
    }, CLOSEST);
  }

  #stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#soon);
    this.#soon = 0;
    this.#source?.close();
    this.#source = null;
  }
}
