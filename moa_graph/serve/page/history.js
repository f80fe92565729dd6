// This browser's runs, newest first, on this computer only. If storage is full, the oldest are deleted.

const KEPT = 500;

function remember(conversation) {
  const rest = store.read("moa.runs", []).filter((each) => each.id !== conversation.id);
  let runs = [{ ...asDocument(conversation.turns), id: conversation.id, title: conversation.title, created: conversation.turns[0].created }, ...rest].slice(0, KEPT);
  while (runs.length && !store.write("moa.runs", runs)) runs = runs.slice(0, -1);
}
