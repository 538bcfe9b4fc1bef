// The two questions the page asks. Native dialogs: Escape closes them, the focus goes back where it was.

const $ = (id) => document.getElementById(id);

// What tells whoever asked last, by dialog.
const tell = new Map();
for (const dialog of document.querySelectorAll("dialog")) {
  // The event comes a moment after the dialog closed: by then it may be open again, with the next question.
  dialog.addEventListener("close", () => dialog.open || tell.get(dialog)?.());
}

function answered(dialog) {
  tell.get(dialog)?.();
  return new Promise((resolve) => {
    tell.set(dialog, () => resolve(dialog.returnValue === "yes"));
    dialog.returnValue = "";
    dialog.showModal();
  });
}

// Whether the person means it.
export function confirmed(question) {
  $("confirm-words").textContent = question;
  return answered($("confirm"));
}

// An API key, or null; `why` the service refused the one before, or null. Enter means yes here, so the other button is
// none that a form knows.
$("no-key").addEventListener("click", () => $("ask-key").close());

export async function askKey(why) {
  $("key").value = "";
  $("key-refused").textContent = why ? `The service refused that key: ${why}.` : "";
  return (await answered($("ask-key"))) ? $("key").value.trim() : null;
}
