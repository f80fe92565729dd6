// This browser's runs, on this computer only: an index, newest first, and every run under a key of its own, so that no
// run is written again when another one is saved. If storage is full, the oldest are deleted.

const KEPT = 500;
const LONGEST = 5_000_000; // characters: browsers keep no longer text
const keyOf = (id) => `moa.run.${id}`;

// The index: what the list of runs shows, and the files that they refer to.
function runs() {
  const list = store.read("moa.runs", []);
  return list.some((each) => each.turns) ? split(list) : list;
}

// Earlier versions of this page kept the runs themselves in the index.
function split(list) {
  localStorage.removeItem("moa.runs");
  const kept = [];
  for (const each of list) if (each.turns?.length && store.write(keyOf(each.id), each)) kept.push(entryOf(each));
  writeIndex(kept);
  return kept;
}

function entryOf({ id, title, created, turns }) {
  const files = turns.flatMap((turn) => turn.files ?? []).map((file) => file.id);
  return { id, title, created, question: turns[0].question.slice(0, 200), mixture: turns[0].mixture, questions: turns.length, ...(files.length ? { files } : {}) };
}

const runOf = (id) => store.read(keyOf(id), null);

function writeIndex(list) {
  for (; !store.write("moa.runs", list) && list.length; list = list.slice(0, -1)) localStorage.removeItem(keyOf(list.at(-1).id));
}

// Delete the oldest run of an index for room. Returns the rest.
function dropLast(list) {
  localStorage.removeItem(keyOf(list.at(-1).id));
  return list.slice(0, -1);
}

function remember({ id, title, turns }) {
  const run = { ...asDocument(turns), id, title, created: turns[0].created };
  const text = JSON.stringify(run);
  if (text.length > LONGEST) return;
  const list = runs();
  let rest = list.filter((each) => each.id !== id);
  while (rest.length >= KEPT) rest = dropLast(rest);
  while (!store.put(keyOf(id), text)) {
    // It does not fit alone: an earlier state of it is better than none.
    if (!rest.length) return writeIndex(list.filter((each) => each.id === id));
    rest = dropLast(rest);
  }
  writeIndex([entryOf(run), ...rest]);
}
