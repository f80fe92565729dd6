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
    withMore(compare);
  }

  function compare() {
    const rows = choices(turn).map((draft) => {
      const { runs, share, cut } = differences(draft.text, turn.answer);
      const marks = { both: "span", draft: "del", answer: "ins" };
      const text = el("p", { class: "diff", dir: "auto" }, ...runs.map(([kind, words]) => el(marks[kind], { class: kind }, words)));
      const about = `${Math.round(100 * share)}% of the answer's words, in their order${cut ? `; the first ${whole(MOST_WORDS)} words are compared` : ""}`;
      return el("details", { class: hue(turn, draft) }, el("summary", {}, el("b", {}, nameOf(draft)), ` ${about}`), text);
    });
    body.replaceChildren(el("p", { class: "hint" }, "Underlined: only in the answer. Struck through: only in the draft. Shared words do not prove where a thought came from."), ...rows);
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
  const node = el("section", { class: "part", "aria-label": "How the answer was made", hidden: true }, el("h3", {}, "How the answer was made"), list);
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
