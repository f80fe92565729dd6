// Copying, with a word for it on the button and for screen readers.

async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without clipboard access (plain http on a network), use the older API.
    const area = el("textarea", { value: text, class: "hidden", "aria-hidden": "true" });
    from.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    from.focus();
  }
  const before = from.textContent;
  from.textContent = "Copied";
  say("Copied");
  setTimeout(() => (from.textContent = before), 1200);
}
