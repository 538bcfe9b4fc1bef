// The two questions the page asks. Native dialogs: Escape closes them, the focus goes back where it was.

const $ = (id) => document.getElementById(id);

function answered(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

// Whether the person means it.
export function confirmed(question) {
  $("confirm-words").textContent = question;
  return answered($("confirm"));
}

// An API key, or null. Enter means yes here, so the other button is none that a form knows.
$("no-key").addEventListener("click", () => $("ask-key").close());

export async function askKey() {
  $("key").value = "";
  return (await answered($("ask-key"))) ? $("key").value.trim() : null;
}
