// Devices and queue at a glance, from /health.

import { bytes, percent } from "./words.js";

const $ = (id) => document.getElementById(id);

export function showService(health) {
  const devices = health.devices.map((device) => {
    const chip = document.createElement("li");
    chip.className = "device";
    chip.dataset.state = device.state;
    const doing = device.state === "busy" && device.stage ? device.stage : device.state;
    chip.textContent = `${device.name}: ${doing}`;
    chip.title = [
      `${device.role} on ${device.device}${device.node ? ` of ${device.node}` : ""}`,
      `${device.jobs_done} stages done, busy ${percent(100 * device.busy_share)} of the time`,
      ...memory(device.memory),
    ].join("\n");
    return chip;
  });
  if (!health.supervisor) {
    const chip = document.createElement("li");
    chip.className = "device";
    chip.dataset.state = "stopped";
    chip.textContent = "no worker runs: photos wait";
    devices.push(chip);
  } else if (!health.accepting_uploads) {
    const chip = document.createElement("li");
    chip.className = "device";
    chip.dataset.state = "stopped";
    chip.textContent = "the disk is almost full";
    devices.push(chip);
  }
  replaceIfChanged($("devices"), devices);
  const waiting = Object.values(health.queue).reduce((sum, count) => sum + count, 0);
  const words = [health.engine && `engine ${health.engine}`, waiting ? `${waiting} waiting` : "queue empty"];
  $("waiting").textContent = words.filter(Boolean).join(" · ");
  $("service").title = health.notes.join("\n");
}

function memory({ process_bytes, used_bytes, total_bytes }) {
  const told = [];
  if (used_bytes && total_bytes) told.push(`${bytes(used_bytes)} of ${bytes(total_bytes)} device memory in use`);
  if (process_bytes) told.push(`process ${bytes(process_bytes)}`);
  return told;
}

function replaceIfChanged(list, items) {
  const said = (nodes) => [...nodes].map((node) => node.textContent + node.dataset.state + node.title).join();
  if (said(list.children) !== said(items)) list.replaceChildren(...items);
}
