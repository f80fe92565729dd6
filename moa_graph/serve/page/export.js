// A conversation as Markdown, JSON, or one HTML file made by this same page; votes as JSON lines.

function asMarkdown(turns) {
  return turns.map((turn) => {
    const drafts = turn.drafts.map((draft) => {
      const about = [`${draft.model}`, KINDS[draft.status]?.[0] ?? draft.status, ...facts(draft).map((fact) => fact.textContent)];
      const body = [draft.error && `> ${draft.error.replaceAll("\n", "\n> ")}`, draft.text].filter(Boolean).join("\n\n");
      return `### Layer ${draft.layer}: ${nameOf(draft)}\n\n${about.join(", ")}\n\n${body}`;
    });
    const answer = turn.answer || `No answer: ${turn.error ?? turn.status}`;
    return [`# ${turn.question}`, "## Answer", turn.aggregator && `By ${turn.aggregator}`, answer, "## Drafts", ...drafts].filter(Boolean).join("\n\n");
  }).join("\n\n---\n\n") + "\n";
}

// What is kept of a turn: no clock of this page, nothing that is empty while it runs.
function plainTurn({ question, mixture, created, status, layers, drafts, starts, answer, aggregator, record, error, blind, notes, took, firstToken, replaced }) {
  return { question, mixture, created, status, layers, answer, aggregator, record, error, drafts, notes, starts, took, firstToken, ...(replaced ? { replaced } : {}), ...(blind ? { blind } : {}) };
}

const asDocument = (turns) => ({ version: 1, turns: turns.map(plainTurn) });

async function asReport(turns) {
  const page = await (await fetch("moa/report")).text();
  const start = page.indexOf(">", page.indexOf('id="data"')) + 1;
  // Nothing inside may end the element.
  const text = JSON.stringify(asDocument(turns)).replaceAll("<", "\\u003c");
  return page.slice(0, start) + text + page.slice(page.indexOf("<", start));
}

function fileName(turns, ending) {
  const words = (turns[0]?.question ?? "run").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40).replace(/^-+|-+$/g, "");
  return `moa-${words || "run"}.${ending}`;
}

function exportButtons(turns) {
  return [
    button("Save as Markdown", () => download(fileName(turns, "md"), asMarkdown(turns), "text/markdown")),
    button("Save as JSON", () => download(fileName(turns, "json"), JSON.stringify(asDocument(turns), null, 2), "application/json")),
    button("Save as HTML report", async () => download(fileName(turns, "html"), await asReport(turns), "text/html"), "plain", { class: "plain live" }),
  ];
}

// One vote: the drafts in the order in which they were shown, and the index of the best, or null when none was.
function voteOf(turn, messages) {
  const last = turn.layers - 1;
  const shown = turn.blind.order[last].map((slot) => draftAt(turn, last, slot)).filter((draft) => choices(turn).includes(draft));
  const best = shown.findIndex((draft) => turn.blind.best === `${draft.layer}:${draft.slot}`);
  return {
    prompt: turn.question,
    drafts: shown.map(({ proposer, model, layer, slot, text }) => ({ proposer, model, layer, slot, text })),
    best: best < 0 ? null : best,
    messages,
    preset: turn.mixture,
    mixture: turn.record?.mixture ?? null,
    answer: turn.answer,
    date: new Date().toISOString(),
  };
}

const saveAll = () => download("moa-runs.json", JSON.stringify({ version: 1, runs: store.read("moa.runs", []) }, null, 2), "application/json");
const saveVotes = () => download("moa-votes.jsonl", votes().map((vote) => `${JSON.stringify(vote)}\n`).join(""), "application/jsonl");
