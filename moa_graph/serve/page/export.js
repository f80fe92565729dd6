// The stored form of a conversation, and the buttons that save it.

// The stored form of a turn: without the page's clock, and without fields that are empty during a run.
function plainTurn({ question, mixture, created, status, layers, drafts, starts, answer, aggregator, record, error, blind, notes, took, firstToken, replaced, reused, sent, files }) {
  return { question, mixture, created, status, layers, answer, aggregator, record, error, drafts, notes, starts, took, firstToken, ...(replaced ? { replaced } : {}), ...(reused ? { reused } : {}), ...(files ? { files } : {}), sent, ...(blind ? { blind } : {}) };
}

const asDocument = (turns) => ({ version: 1, turns: turns.map(plainTurn) });

function exportButtons(turns) {
  const save = (ending, name, kind = "plain") => button(`Save as ${name}`, () => withMore(() => SAVE[ending](turns)), kind);
  return [save("md", "Markdown"), save("json", "JSON"), save("html", "HTML report", "plain live")];
}
