// What a combiner's own call came to, as a row that opens.

function noteView(turn, note) {
  const [word, kind] = KINDS[note.status] ?? [note.status, "warn"];
  const draft = ["review", "check", "vote"].includes(note.kind) ? draftAt(turn, note.layer, note.slot) : null;
  const facts = [draft && `of ${nameOf(draft)}`, note.usage && plural(whole(note.usage.output_tokens), "token"), note.cost !== null && note.cost !== undefined && dollars(note.cost)].filter(Boolean);
  return el("details", { class: "note" },
    el("summary", {}, el("b", {}, note.kind), ` by ${note.by} `, el("span", { class: `chip ${kind}` }, word), el("span", { class: "hint" }, ` ${facts.join(" · ")}`)),
    note.error && el("p", { class: "error" }, note.error),
    note.text && markdown(note.text),
    note.data && el("pre", { class: "raw data", tabIndex: 0 }, JSON.stringify(note.data, null, 2)));
}
