// The service's HTTP API. Addresses are relative, so that the page also works below a path of a proxy.

import { accepted, current, hasKey, keyInsteadOf } from "./key.js";

// Milliseconds until a call about state or for a change of it is told as unanswered: a network that hangs would
// otherwise hold up whoever waits for it for ever. Products, exports and reports take as long as they take.
const PATIENCE = 10000;
// The same for an upload of which nothing more goes out, or that is not answered once it is out.
const STALLED = 30000;

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// The API could not be reached at all: it restarts, or the network is gone or hangs.
export class Unreachable extends Error {
  constructor(message = "The service does not answer. Try again in a moment.") {
    super(message);
  }
}

// `patience` in milliseconds, where the answer's head and body are waited for no longer.
async function request(path, { patience, ...options } = {}) {
  for (;;) {
    const sent = current();
    const headers = { ...options.headers, ...(sent && { "X-API-Key": sent }) };
    // A new one each time: a person who is asked for a key may take longer.
    const signal = patience && AbortSignal.timeout(patience);
    const answer = await reached(fetch(path, { ...options, headers, signal }));
    if (answer.ok) {
      if (path.startsWith("api/")) accepted(sent); // the others are told without a key, and with any
      return answer;
    }
    // A proxy in front of a server that restarts answers for it.
    if (answer.status === 502 || answer.status === 504) throw new Unreachable();
    const detail = await detailOf(answer);
    if (answer.status === 401 && (await keyInsteadOf(sent, detail))) continue;
    throw new Refused(answer.status, detail);
  }
}

// What `call` gives. Raises Unreachable where the network did not carry it, or not in time.
async function reached(call) {
  try {
    return await call;
  } catch (error) {
    if (error instanceof SyntaxError) throw error; // an answer, but none of the API's
    throw new Unreachable();
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

const json = async (path, options) => reached((await request(path, options)).json());
const state = (path, options) => json(path, { patience: PATIENCE, ...options });
const change = (path, options) => state(path, { method: "POST", ...options });

export const health = () => state("health");
export const job = (id) => state(`api/jobs/${id}/status`);
export const analysis = (id) => state(`api/jobs/${id}/result/analysis.json`);
// Whether the model can be printed at the size in `query`.
export const report = (id, query) => json(`api/jobs/${id}/report${query}`);
export const remove = (id) => request(`api/jobs/${id}`, { method: "DELETE", patience: PATIENCE });
export const queue = (first) => state(`api/queue?first=${first}`);
// Begin no more jobs, or go on.
export const pause = () => change("api/queue/pause");
export const resume = () => change("api/queue/resume");
export const prioritise = (id, priority) =>
  change(`api/jobs/${id}/priority`, {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ priority }),
  });
export const ask = (id, what) => change(`api/jobs/${id}/${what}`);

// Which paths this server has, older or newer than the page.
export async function routes() {
  const told = await state("./", { headers: { Accept: "application/json" } });
  return new Set(told.routes.map((route) => route.path));
}

// One page of jobs, newest first, of all or with a tag, and the id after which the next page begins (null where
// there is none). A page of those with a tag may be short, and others still follow.
export async function jobs(limit, before = null, tag = null) {
  const query = new URLSearchParams({ limit, ...(before && { before }), ...(tag && { tag }) });
  const answer = await request(`api/jobs?${query}`, { patience: PATIENCE });
  const next = /<([^>]+)>/.exec(answer.headers.get("Link") ?? "")?.[1];
  const rows = await reached(answer.json());
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
    const sent = current();
    const answer = await send(file, fields, progress, { "Idempotency-Key": name, ...(sent && { "X-API-Key": sent }) });
    if (answer.status === 201) {
      accepted(sent);
      return JSON.parse(answer.responseText);
    }
    const detail = detailIn(answer);
    if (answer.status === 401 && (await keyInsteadOf(sent, detail))) continue;
    throw new Refused(answer.status, detail);
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
    let stall;
    const moves = () => {
      clearTimeout(stall);
      stall = setTimeout(() => call.abort(), STALLED);
    };
    call.upload.onprogress = (event) => {
      moves();
      if (event.lengthComputable) progress(event.loaded / event.total);
    };
    call.onload = () => resolve(call);
    call.onerror = () => reject(new Unreachable("the connection broke off"));
    call.onabort = () => reject(new Unreachable("the connection hung"));
    call.onloadend = () => clearTimeout(stall);
    moves();
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
  const url = URL.createObjectURL(await reached((await request(path)).blob()));
  return { url, release: () => URL.revokeObjectURL(url) };
}

// An address that an <img>, a link or a loader can use. With a key that is a blob, since those cannot send headers;
// `release` gives it back.
export async function address(path) {
  return hasKey() ? blob(path) : { url: path, release: () => {} };
}

export const product = (id, name) => `api/jobs/${id}/result/${name}`;
export const photo = (id) => `api/jobs/${id}/photo`;
// The picture changes when a job gets further, so the address does too.
export const thumbnail = (id, stage) => `api/jobs/${id}/thumbnail?${new URLSearchParams({ stage })}`;
