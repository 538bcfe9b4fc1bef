// The API key: asked for where the service wants one, kept in this browser once the service took it.

const KEPT = "protoscale.key";

let key = localStorage.getItem(KEPT);
let question = async () => null;
let asking = null;
let declined = false;
let refused = false;

// `ask` is called where the service wants a key and has none, or refused the one it got; `why` are the service's words
// then, else null. It returns a key or null.
export function onKeyWanted(ask) {
  question = ask;
}

export const current = () => key;
export const hasKey = () => Boolean(key);
// The person was asked and said no: everything that needs a key fails until `enterKey`.
export const keyDeclined = () => declined;
// The last key that was tried is none of the service's.
export const keyRefused = () => refused;

// Another key than `sent`, which was refused with these words; null where the person has none. Many calls may want a key
// at once: the person is asked once, and not again after a no.
export async function keyInsteadOf(sent, why) {
  if (key !== sent) return key; // another call was given one meanwhile
  if (declined) return null;
  if (sent) refused = true;
  await ask(sent ? why : null);
  return key;
}

export async function enterKey() {
  await ask(null);
}

// The service took this key: only now it is kept.
export function accepted(sent) {
  if (!sent || sent !== key) return;
  refused = false;
  if (localStorage.getItem(KEPT) !== sent) localStorage.setItem(KEPT, sent);
}

export function forgetKey() {
  key = null;
  localStorage.removeItem(KEPT);
}

function ask(why) {
  asking ??= question(why)
    .then(take)
    .finally(() => (asking = null));
  return asking;
}

// A no ends the use of a key that was refused: a service that is open without one serves the page again.
function take(given) {
  declined = !given;
  key = given || null;
}
