// A turn: its question, its results, and its changes by the server's events. It has no elements.

// draft: as the package has it (layer, slot, proposer, model, status, text, error, usage, cost, seconds, ...), and while
// it is being written `status: "writing"` with the text so far.
function newTurn(question, chosen, blind) {
  return {
    question,
    mixture: chosen.mixture,
    created: new Date().toISOString(),
    status: "running",
    layers: chosen.layers,
    drafts: [],
    notes: [], // the notes of combiners
    starts: {}, // seconds from the beginning to each layer's, the aggregator's under "answer"
    answer: "",
    aggregator: "",
    record: null,
    error: null,
    blind: blind ? { order: {}, best: undefined } : null,
  };
}

// A turn of a file or of the history, with defaults for missing fields.
function knownTurn(given) {
  const turn = { ...newTurn("", {}, false), ...given, drafts: given.drafts ?? [], notes: given.notes ?? [] };
  turn.layers = given.record?.layers ?? given.layers ?? 1 + Math.max(0, ...turn.drafts.map((d) => d.layer));
  turn.aggregator = given.record?.aggregator ?? given.aggregator ?? "";
  // A run ends when its page is closed.
  const status = given.status === "running" ? "stopped" : given.status;
  turn.status = turn.error ? "failed" : status === "stopped" ? "stopped" : "done";
  for (const draft of turn.drafts) if (["waiting", "writing"].includes(draft.status)) draft.status = "stopped";
  if (!Object.keys(turn.starts ?? {}).length) turn.starts = startsOf(turn.drafts, turn.layers);
  return turn;
}

// A layer begins when the slowest draft of the previous one ends.
function startsOf(drafts, layers) {
  const starts = {};
  let at = 0;
  for (let layer = 1; layer < layers; layer += 1) {
    starts[layer] = at;
    at += Math.max(0, ...drafts.filter((d) => d.layer === layer).map((d) => d.seconds || 0));
  }
  starts.answer = at;
  return starts;
}

const waiting = (place, layer) => ({ layer, ...place, status: "waiting", text: "", error: null, usage: null, cost: null, seconds: null, first_token_seconds: null });

const placeOf = ({ layer, slot }) => `${layer}:${slot}`;

function draftAt(turn, layer, slot) {
  return turn.drafts.find((draft) => draft.layer === layer && draft.slot === slot);
}

// Changes the turn by one event; `now` in seconds from the turn's beginning.
function apply(turn, event, now) {
  const draft = event.layer && event.slot !== undefined ? draftAt(turn, event.layer, event.slot) : null;
  if (event.moa === "round_started") {
    turn.layers = event.layers;
    turn.starts[event.layer] = now;
    for (const { slot, proposer, model } of event.proposers)
      turn.drafts.push(waiting({ slot, proposer, model }, event.layer));
    if (turn.blind) turn.blind.order[event.layer] = shuffled(event.proposers.map(({ slot }) => slot));
  } else if (event.moa === "draft_started" && draft) {
    Object.assign(draft, { status: "writing", text: "", began: now });
  } else if (event.moa === "draft_token" && draft) {
    draft.text += event.text;
    draft.first_token_seconds ??= now - turn.starts[event.layer];
  } else if (event.moa === "draft" && draft) {
    Object.assign(draft, event.draft);
  } else if (event.moa === "note") {
    const same = (each) => each.layer === event.layer && each.slot === event.slot && each.kind === event.kind;
    turn.notes = [...turn.notes.filter((each) => !same(each)), event.note];
  } else if (event.moa === "aggregating") {
    // Sent again when a fallback is called: the text so far is void.
    Object.assign(turn, { aggregator: event.model, answer: "", firstToken: undefined });
    turn.starts.answer = now;
  } else if (event.moa === "answer_token") {
    turn.firstToken ??= now;
    turn.answer += event.text;
  } else if (event.moa === "finished") {
    turn.record = event.record;
  } else if (event.moa === "answer") {
    Object.assign(turn, { answer: event.text, drafts: event.drafts, record: event.record, receipt: event.receipt, status: "done", took: now });
  } else if (event.moa === "failed") {
    Object.assign(turn, { error: event.message, status: "failed", took: now });
  }
}

function stopped(turn, now) {
  turn.status = "stopped";
  turn.took = now;
  for (const draft of turn.drafts)
    if (["waiting", "writing"].includes(draft.status)) Object.assign(draft, { status: "stopped", seconds: now - (turn.starts[draft.layer] ?? 0) });
}

function shuffled(list) {
  const left = [...list];
  const out = [];
  while (left.length) out.push(...left.splice(crypto.getRandomValues(new Uint32Array(1))[0] % left.length, 1));
  return out;
}

// The turns that are sent to models: those with a complete answer.
const answeredTurns = (turns) => turns.filter((turn) => turn.answer && turn.status === "done" && !turn.replaced);

// The conversation as texts: questions and complete answers, never drafts or partial answers.
function plainMessages(turns, last) {
  const said = answeredTurns(turns).flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
  return [...said, { role: "user", content: last.question }];
}

// The same with the files of questions.
async function messagesFor(turns, last) {
  const messages = plainMessages(turns, last);
  for (const [at, turn] of [...answeredTurns(turns), last].entries()) {
    if (!turn.files?.length) continue;
    await more();
    messages[2 * at].content = await contentOf(turn);
  }
  return messages;
}

// Events of one run, in order. The signal ends it, here and at the server.
async function* events(body, signal) {
  const response = await fetch("moa/run", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw new Error(problem?.error?.message ?? `The server answered ${response.status}.`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}
