// The comparison of the answer with each draft, and the notes of combiners.

// The comparison of the answer with each draft in the aggregator's prompt. It is computed when it is opened.
function compareView(turn) {
  const body = el("div", { class: "body" });
  const node = el("details", { class: "part compare", hidden: true }, el("summary", {}, "What the answer shares with each draft"), body);
  let made = "";

  function fill() {
    const key = `${turn.answer.length} ${turn.replaced}`;
    if (!node.open || made === key) return;
    made = key;
    withMore(() => compared(turn, body));
  }

  node.addEventListener("toggle", fill);

  function update() {
    node.hidden = turn.status === "running" || !turn.answer || hidden(turn) || !choices(turn).length;
    fill();
  }
  return { node, update };
}

// The results of combiners' own calls, one row each, and the agreement of the drafts.
function notesView(turn) {
  const list = el("div");
  const node = el("div", { class: "part", role: "group", "aria-label": "How the answer was made", hidden: true }, el("h3", {}, "How the answer was made"), list);
  let made = "";

  function update() {
    const { record } = turn;
    const key = JSON.stringify([turn.notes, record?.decision, record?.agreement]);
    node.hidden = hidden(turn) || (!turn.notes.length && !record?.combine);
    if (made === key || node.hidden) return;
    made = key;
    withMore(() => { if (made === key) list.replaceChildren(...howMade(turn)); });
  }
  return { node, update };
}
