// What the answer has in common with each draft, word by word, and what combiners wrote down.

const MOST_WORDS = 2_000; // The comparison takes time in proportion to the product of both lengths.

const wordsOf = (text) => text.match(/\S+\s*/g) ?? [];
const plainWord = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || word.trim();

// Runs of words as [kind, text]: "both", only in the `draft`, or only in the `answer`. A longest common subsequence.
function differences(draft, answer) {
  const [a, b] = [wordsOf(draft).slice(0, MOST_WORDS), wordsOf(answer).slice(0, MOST_WORDS)];
  const [x, y] = [a.map(plainWord), b.map(plainWord)];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      longest[i * width + j] = x[i] === y[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const runs = [];
  const add = (kind, text) => (runs.at(-1)?.[0] === kind ? (runs.at(-1)[1] += text) : runs.push([kind, text]));
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && x[i] === y[j]) [i, j] = (add("both", b[j]), [i + 1, j + 1]);
    else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) add("draft", a[i++]);
    else add("answer", b[j++]);
  }
  return { runs, share: b.length ? longest[0] / b.length : 0, cut: Math.max(wordsOf(draft).length, wordsOf(answer).length) > MOST_WORDS };
}

// The comparison of the answer with each draft that its writer was shown; made when it is opened.
function compareView(turn) {
  const body = el("div", { class: "body" });
  const node = el("details", { class: "part compare", hidden: true }, el("summary", {}, "What the answer shares with each draft"), body);
  let made = "";

  function fill() {
    const key = `${turn.answer.length} ${turn.replaced}`;
    if (!node.open || made === key) return;
    made = key;
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

// What combiners' own calls came to, a row each, and how the drafts agree.
function notesView(turn) {
  const list = el("div");
  const node = el("section", { class: "part", "aria-label": "How the answer was made", hidden: true }, el("h3", {}, "How the answer was made"), list);
  let made = "";

  function update() {
    const { record } = turn;
    const key = JSON.stringify([turn.notes, record?.decision, record?.agreement]);
    const facts = [];
    if (record?.combine) facts.push(`combiner ${record.combine}`);
    if (record && typeof record.agreement === "number") facts.push(`the drafts agree to ${Math.round(100 * record.agreement)}%`);
    if (record?.medoid) facts.push(`closest to the others: ${nameOf(record.medoid)}`);
    node.hidden = hidden(turn) || (!turn.notes.length && !facts.length);
    if (made === key) return;
    made = key;
    const decision = Object.entries(record?.decision ?? {}).filter(([, value]) => value !== null);
    list.replaceChildren(...(facts.length ? [el("p", { class: "hint" }, facts.join(" · "))] : []),
      ...(decision.length ? [el("p", { class: "hint" }, decision.map(([name, value]) => `${name.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · "))] : []),
      ...turn.notes.map((note) => noteView(turn, note)));
  }
  return { node, update };
}

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
