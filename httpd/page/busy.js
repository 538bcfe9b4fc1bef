// A button while its work goes on.

// Do `work`, whose result this is. Meanwhile the button says so and takes no second click; it is not `disabled`, which
// would take the focus away from whoever uses the keyboard. Raises what `work` raises.
export async function busy(button, work) {
  if (button.ariaDisabled === "true") return;
  const label = button.textContent;
  button.ariaDisabled = "true";
  button.textContent = `${label} …`;
  try {
    await work();
  } finally {
    button.textContent = label;
    button.ariaDisabled = null;
  }
}
