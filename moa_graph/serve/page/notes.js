// How an answer was made: what the record says, and a combiner's own calls as rows that open.

function howMade(turn) {
  const { record } = turn;
  const facts = [];
  if (record?.combine) facts.push(`combiner ${record.combine}`);
  if (typeof record?.agreement === "number") facts.push(`the drafts agree to ${Math.round(100 * record.agreement)}%`);
  if (record?.medoid) facts.push(`closest to the others: ${nameOf(record.medoid)}`);
  const how = Object.entries(record?.decision ?? {}).map(([name, value]) => [name, inOneLine(value)]).filter(([, value]) => value !== null);
  const lines = [facts, how.map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`)].filter((each) => each.length);
  return [...lines.map((each) => el("p", { class: "hint" }, each.join(" · "))), ...turn.notes.map((note) => noteView(turn, note))];
}

const isPlain = (value) => value === null || typeof value !== "object";

// A value of the record as text; null for what is nested, which stands in the notes.
function inOneLine(value) {
  if (isPlain(value)) return value;
  if (!Object.values(value).every(isPlain)) return null;
  return Array.isArray(value) ? value.join(", ") : Object.entries(value).map((pair) => pair.join(" ")).join(", ");
}

function noteView(turn, note) {
  const [word, kind] = KINDS[note.status] ?? [note.status, "warn"];
  const draft = ["review", "check", "vote"].includes(note.kind) ? draftAt(turn, note.layer, note.slot) : null;
  const facts = [draft && `of ${nameOf(draft)}`, note.usage && plural(whole(note.usage.output_tokens), "token"), note.cost !== null && note.cost !== undefined && dollars(note.cost)].filter(Boolean);
  return el("details", { class: "note" },
    el("summary", {}, el("b", {}, note.kind), ` by ${note.by} `, el("span", { class: `chip ${kind}` }, word), el("span", { class: "hint" }, ` ${facts.join(" · ")}`)),
    note.error && el("p", { class: "error" }, note.error),
    note.data ? dataView(note.data) : note.text && markdown(note.text),
    note.data && note.text && el("details", {}, el("summary", { class: "hint" }, "In its own words"), markdown(note.text)));
}

// Values that were read in a reply: flat objects in a line, others as lists; what is empty is left out.
function dataView(value) {
  const named = (name) => el("b", {}, `${name.replaceAll("_", " ")}: `);
  if (isPlain(value)) return el("span", {}, typeof value === "number" ? `${Math.round(value * 1000) / 1000}` : `${value ?? "none"}`.replace(/^p\d+-(?=\S+$)/, ""));
  const entries = Object.entries(value).filter(([, each]) => each !== null && (isPlain(each) || Object.keys(each).length));
  if (!Array.isArray(value) && entries.length > 1 && entries.every(([, each]) => isPlain(each)))
    return el("span", {}, ...entries.flatMap(([name, each], at) => [at && ", ", named(name), dataView(each)].filter(Boolean)));
  return el("ul", { class: "data", dir: "auto" }, ...entries.map(([name, each]) => el("li", {}, Array.isArray(value) ? null : named(name), dataView(each))));
}
