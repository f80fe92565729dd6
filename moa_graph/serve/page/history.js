// This browser's runs, on this computer only: an index, newest first, and every run under a key of its own, so that no
// run is written again when another one is saved.

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
