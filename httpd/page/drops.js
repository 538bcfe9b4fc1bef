// Photos dropped anywhere on the page, and folders of them.

// What a photo is called; browsers know no type of some of them.
const PHOTO = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|heic|heif|avif|mpo)$/i;
const $ = (id) => document.getElementById(id);

// `dropped(files)` is called with what was dropped and can be sent, `failed(name, why)` for what cannot.
export function listenForDrops({ dropped, failed }) {
  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const curtain = (shown) => ($("curtain").hidden = !shown);
  addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) curtain(++depth > 0);
  });
  addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) curtain(--depth > 0);
  });
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    curtain(false);
    const files = await photosOf(event.dataTransfer, failed);
    if (files.length) dropped(files);
  });
}

// The files, and the photos of each folder and below it.
async function photosOf(transfer, failed) {
  // Read before anything is waited for: after the event they are gone.
  const things = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = await Promise.all(
    things.map(({ entry, file }) => (entry?.isDirectory ? photosIn(entry, failed) : file ? [file] : [])),
  );
  return found.flat();
}

async function photosIn(folder, failed) {
  try {
    const photos = await below(folder);
    if (!photos.length) failed(folder.name, "there is no photo in this folder.");
    return photos;
  } catch (error) {
    failed(folder.name, `this folder cannot be read (${error.message}). Choose the photos in it instead.`);
    return [];
  }
}

async function below(folder) {
  const entries = (await listed(folder)).filter(({ name }) => !name.startsWith("."));
  entries.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const photos = [];
  for (const entry of entries) {
    if (entry.isDirectory) photos.push(...(await below(entry)));
    else if (PHOTO.test(entry.name)) photos.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  }
  return photos;
}

// Browsers tell a hundred at a time, and none at the end.
async function listed(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
