// The service's HTTP API. Addresses are relative, so that the page also works below a path of a proxy.

const KEY = "protoscale.key";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// The API could not be reached at all: it restarts, or the network is gone.
export class Unreachable extends Error {}

let key = localStorage.getItem(KEY);
let question = async () => null;
let asking = null;
let declined = false;

// `ask` is called where the service wants a key and has none, or a wrong one; it returns a key or null.
export function onKeyWanted(ask) {
  question = ask;
}

export const hasKey = () => Boolean(key);
// The person was asked and said no: everything that needs a key fails until `enterKey`.
export const keyDeclined = () => declined;

// Many calls may want a key at once; the person is asked once, and not again after a no.
async function askForKey() {
  if (declined) return null;
  asking ??= question().finally(() => (asking = null));
  const given = await asking;
  declined = !given;
  return given;
}

export async function enterKey() {
  declined = false;
  const given = await askForKey();
  if (given) keep(given);
}

function keep(value) {
  key = value;
  if (value) localStorage.setItem(KEY, value);
  else localStorage.removeItem(KEY);
}

export function forgetKey() {
  keep(null);
}

async function request(path, options = {}) {
  for (;;) {
    const sent = key;
    const headers = { ...options.headers, ...(sent && { "X-API-Key": sent }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Unreachable(error.message);
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      // Another call may have been given the key meanwhile.
      const given = key !== sent ? key : await askForKey();
      if (given) {
        keep(given);
        continue;
      }
    }
    // A proxy in front of a server that restarts answers for it.
    if (answer.status === 502 || answer.status === 504) throw new Unreachable(answer.statusText);
    throw new Refused(answer.status, await detailOf(answer));
  }
}

async function detailOf(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

const json = async (path, options) => (await request(path, options)).json();

export const health = () => json("health");
export const job = (id) => json(`api/jobs/${id}/status`);
export const analysis = (id) => json(`api/jobs/${id}/result/analysis.json`);
// Whether the model can be printed at the size in `query`.
export const report = (id, query) => json(`api/jobs/${id}/report${query}`);
export const remove = (id) => request(`api/jobs/${id}`, { method: "DELETE" });
export const queue = (first) => json(`api/queue?first=${first}`);
// Begin no more jobs, or go on.
export const pause = () => json("api/queue/pause", { method: "POST" });
export const resume = () => json("api/queue/resume", { method: "POST" });
export const prioritise = (id, priority) =>
  json(`api/jobs/${id}/priority`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ priority }),
  });
export const ask = (id, what) => json(`api/jobs/${id}/${what}`, { method: "POST" });

// Which paths this server has, older or newer than the page.
export async function routes() {
  const told = await json("./", { headers: { Accept: "application/json" } });
  return new Set(told.routes.map((route) => route.path));
}

// One page of jobs, newest first, of all or with a tag, and the id after which the next page begins (null where
// there is none). A page of those with a tag may be short, and others still follow.
export async function jobs(limit, before = null, tag = null) {
  const query = new URLSearchParams({ limit, ...(before && { before }), ...(tag && { tag }) });
  const answer = await request(`api/jobs?${query}`);
  const next = /<([^>]+)>/.exec(answer.headers.get("Link") ?? "")?.[1];
  const rows = await answer.json();
  return { rows, next: next ? new URLSearchParams(next.split("?")[1]).get("before") : null };
}

// A name for one upload, under which it may be sent again without becoming two jobs. (`crypto.randomUUID` exists
// on https pages only, and this service is often reached by plain http in a house.)
export function uploadName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Send one photo; `progress` is called with 0 to 1. XMLHttpRequest, because fetch does not tell how much has gone.
export async function upload(file, fields, name, progress) {
  for (;;) {
    const sent = key;
    const answer = await send(file, fields, progress, { "Idempotency-Key": name, ...(sent && { "X-API-Key": sent }) });
    if (answer.status === 201) return JSON.parse(answer.responseText);
    if (answer.status === 401) {
      const given = key !== sent ? key : await askForKey();
      if (given) {
        keep(given);
        continue;
      }
    }
    throw new Refused(answer.status, detailIn(answer));
  }
}

function send(file, fields, progress, headers) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", "api/upload");
    for (const [header, value] of Object.entries(headers)) call.setRequestHeader(header, value);
    call.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    call.onload = () => resolve(call);
    call.onerror = () => reject(new Unreachable("the connection broke off"));
    call.send(form);
  });
}

function detailIn(answer) {
  try {
    return JSON.parse(answer.responseText).detail;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

// The content at `path` as a blob: address, in memory until `release`.
export async function blob(path) {
  const url = URL.createObjectURL(await (await request(path)).blob());
  return { url, release: () => URL.revokeObjectURL(url) };
}

// An address that an <img>, a link or a loader can use. With a key that is a blob, since those cannot send headers;
// `release` gives it back.
export async function address(path) {
  return key ? blob(path) : { url: path, release: () => {} };
}

export const product = (id, name) => `api/jobs/${id}/result/${name}`;
export const photo = (id) => `api/jobs/${id}/photo`;
// The picture changes when a job gets further, so the address does too.
export const thumbnail = (id, stage) => `api/jobs/${id}/thumbnail?${new URLSearchParams({ stage })}`;
