// A conversation as it is stored, as Markdown, JSON, or one HTML file made by this same page.

// The stored form of a turn: without the page's clock, and without fields that are empty during a run.
function plainTurn({ question, mixture, created, status, layers, drafts, starts, answer, aggregator, record, error, blind, notes, took, firstToken, replaced, reused, sent, files }) {
  return { question, mixture, created, status, layers, answer, aggregator, record, error, drafts, notes, starts, took, firstToken, ...(replaced ? { replaced } : {}), ...(reused ? { reused } : {}), ...(files ? { files } : {}), sent, ...(blind ? { blind } : {}) };
}

const asDocument = (turns) => ({ version: 1, turns: turns.map(plainTurn) });

function asMarkdown(turns) {
  return turns.map((turn) => {
    const drafts = turn.drafts.map((draft) => {
      const about = [`${draft.model}`, KINDS[draft.status]?.[0] ?? draft.status, ...facts(draft).map((fact) => fact.textContent)];
      const body = [draft.error && `> ${draft.error.replaceAll("\n", "\n> ")}`, draft.text].filter(Boolean).join("\n\n");
      return `### Layer ${draft.layer}: ${nameOf(draft)}\n\n${about.join(", ")}\n\n${body}`;
    });
    const cut = turn.status !== "done" && `${turn.answer ? "Incomplete" : "No answer"}: ${turn.error ?? turn.status}`;
    return [`# ${turn.question}`, "## Answer", turn.aggregator && `By ${turn.aggregator}`, cut, turn.answer, "## Drafts", ...drafts].filter(Boolean).join("\n\n");
  }).join("\n\n---\n\n") + "\n";
}

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

const SAVE = {
  md: (turns) => download(fileName(turns, "md"), asMarkdown(turns), "text/markdown"),
  json: (turns) => download(fileName(turns, "json"), JSON.stringify(asDocument(turns), null, 2), "application/json"),
  html: async (turns) => download(fileName(turns, "html"), await asReport(turns), "text/html"),
};

// The runs as they are stored: to read and to write several megabytes again would stop the page.
function saveAll() {
  const texts = runs().map(({ id }) => localStorage.getItem(keyOf(id))).filter(Boolean);
  download("moa-runs.json", `{"version": 1, "runs": [\n${texts.join(",\n")}\n]}\n`, "application/json");
}
