// Saving a run. If storage is full, the oldest are deleted.

const KEPT = 500;
const LONGEST = 5_000_000; // characters: browsers keep no longer text

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
