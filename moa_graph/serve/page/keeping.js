// Saving a run. If storage is full, the oldest are deleted.

const KEPT = 500;
const LONGEST = 5_000_000; // characters: browsers keep no longer text

// Delete the oldest run of an index for room. Returns the rest.
function dropLast(list) {
  localStorage.removeItem(keyOf(list.at(-1).id));
  return list.slice(0, -1);
}

let written = null; // the run as this tab wrote it last

function textOf(id) {
  try {
    return localStorage.getItem(keyOf(id));
  } catch {
    return null;
  }
}

// Another tab may have added questions or an answer to the same run. Then this tab continues under an id of its own, and
// both stay.
function goApart(conversation) {
  const { id, turns } = conversation;
  if (textOf(id) === written) return;
  const own = new Map(turns.map((turn) => [turn.created, turn]));
  const isMissing = ({ created, record }) => created && (!own.has(created) || (record && !own.get(created).record));
  if (!runOf(id)?.turns.some(isMissing)) return;
  conversation.id = newId();
  history.replaceState(null, "", `#run=${conversation.id}`);
}

function remember(conversation) {
  goApart(conversation);
  const { id, title, turns } = conversation;
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
  written = text;
  writeIndex([entryOf(run), ...rest]);
}
