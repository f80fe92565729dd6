// What is asked again: a question, the aggregator, one proposer.

// Ask the same question again. The earlier answer stays on the page, but is not a part of the conversation any more.
function again(turn) {
  if (running) return waits();
  replace(turn);
  ask(turn.question, turn.files);
}

// Mark the turn and those after it: they are not a part of the conversation any more.
function replace(turn) {
  const turns = conversation.turns.slice(conversation.turns.indexOf(turn));
  for (const each of turns) each.replaced = true;
  placing = placing.then(() => inSlices(turns, (each) => views.get(each)?.all()));
}

// Edit a question in the composer.
function edit(turn) {
  editing = turn;
  $("editing").hidden = false;
  attached = [...(turn.files ?? [])];
  showAttached();
  $("question").value = turn.question;
  $("question").focus();
}

// Call the aggregator again with the existing drafts, which costs one call. Options may name another aggregator.
async function aggregate(before) {
  const chosen = served(before);
  if (!chosen) return;
  const other = $("mixture").value === chosen.name && $("aggregator").value !== chosen.aggregator ? $("aggregator").value : null;
  const turn = reusing(before, () => true);
  turn.notes = before.notes;
  turn.sent.aggregator = other ?? before.sent?.aggregator ?? null;
  await follow(turn, { mixture: before.mixture, ...turn.sent, drafts: turn.drafts.map(plainDraft), notes: turn.notes });
}

// Ask one proposer again. The other drafts of its round stay; what depends on its draft is made anew.
async function retry(before, { layer, slot, proposer, model }) {
  if (!served(before)) return;
  const turn = reusing(before, (draft) => draft.layer < layer || (draft.layer === layer && draft.slot !== slot));
  const drafts = turn.drafts.map(plainDraft);
  turn.drafts = [...turn.drafts, waiting({ slot, proposer, model }, layer)].sort((a, b) => a.layer - b.layer || a.slot - b.slot);
  turn.starts = { [layer]: 0 };
  turn.reused = drafts.map(placeOf);
  await follow(turn, { mixture: before.mixture, ...turn.sent, drafts, retry: { layer, slot } });
}

// The mixture of a turn, if it can be asked now.
function served({ mixture }) {
  const chosen = mixtures.find((each) => each.name === mixture);
  if (running) waits();
  else if (!chosen) notice(`The mixture ${mixture} is not served here any longer. Ask again with another one.`);
  return running ? null : chosen;
}

// A turn that replaces another one, with those of its finished drafts that `keeps` names.
function reusing(before, keeps) {
  replace(before);
  endEdit();
  notice("");
  const turn = { ...newTurn(before.question, { mixture: before.mixture, layers: before.layers }, false), reused: true, files: before.files };
  turn.drafts = before.drafts.filter((draft) => OVER(draft) && draft.status !== "stopped" && keeps(draft));
  turn.sent = { ...before.sent };
  return turn;
}

// A draft in the form of the server.
function plainDraft({ layer, slot, proposer, model, status, text, error, usage, cost, seconds, first_token_seconds, attempts }) {
  return { layer, slot, proposer, model, status, text, error, usage, cost, seconds, first_token_seconds, attempts };
}
