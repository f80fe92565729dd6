// Call the aggregator again with the existing drafts, which costs one call. Options may name another aggregator.
async function aggregate(before) {
  if (running) return waits();
  const chosen = mixtures.find((each) => each.name === before.mixture);
  if (!chosen) return notice(`The mixture ${before.mixture} is not served here any longer. Ask again with another one.`);
  const other = $("mixture").value === chosen.name && $("aggregator").value !== chosen.aggregator ? $("aggregator").value : null;
  replace(before);
  edit(null);
  notice("");
  const turn = { ...newTurn(before.question, { mixture: before.mixture, layers: before.layers }, false), reused: true, notes: before.notes, files: before.files };
  turn.drafts = before.drafts.filter((draft) => OVER(draft) && draft.status !== "stopped");
  turn.sent = { ...before.sent, aggregator: other ?? before.sent?.aggregator ?? null };
  await follow(turn, { mixture: before.mixture, ...turn.sent, drafts: turn.drafts.map(plainDraft), notes: turn.notes });
}

// A draft in the form of the server.
function plainDraft({ layer, slot, proposer, model, status, text, error, usage, cost, seconds, first_token_seconds, attempts }) {
  return { layer, slot, proposer, model, status, text, error, usage, cost, seconds, first_token_seconds, attempts };
}
