// The page at work: choices, asking, stopping, follow-ups, theme.

const data = JSON.parse($("data").textContent);
const EXAMPLES = ["Name three fruits.", "Why is the sky blue?", "Plan a weekend in Lisbon.", "Explain recursion to a child."];
const conversation = { id: crypto.randomUUID?.() ?? `${Date.now()}`, turns: [] };
let mixtures = [];
let running = null; // the AbortController of the run under way

function show(turns) {
  conversation.turns = turns;
  $("turns").replaceChildren();
  $("hello").hidden = turns.length > 0;
  for (const turn of turns) addView(turn).all();
}

function addView(turn) {
  const view = turnView(turn, { onVote: (draft) => vote(turn, view, draft) });
  $("turns").append(view.node);
  return view;
}

function vote(turn, view, draft) {
  turn.blind.best = draft ? `${draft.layer}:${draft.slot}` : null;
  const before = conversation.turns.slice(0, conversation.turns.indexOf(turn));
  const kept = keepVote(voteOf(turn, messagesFor(before, turn.question)));
  notice(kept ? "" : "This browser's storage is full or closed: the vote is held until the page is closed. Save it now: History, Save votes.");
  view.all();
  view.node.querySelector("h2").tabIndex = -1;
  view.node.querySelector("h2").focus();
  say([kept && "Vote kept.", draft && `${nameOf(draft)} wrote the best draft.`].filter(Boolean).join(" "));
  remember(conversation);
}

async function ask(question) {
  const chosen = mixtures.find((each) => each.name === $("mixture").value);
  const layers = Number($("layers").value) || chosen.layers;
  const turn = newTurn(question, { mixture: chosen.name, layers }, $("blind").checked && layers > 1);
  const body = { mixture: chosen.name, layers, messages: messagesFor(conversation.turns, question),
    aggregator: $("aggregator").value === chosen.aggregator ? null : $("aggregator").value, system: $("system").value.trim() };
  conversation.turns.push(turn);
  $("hello").hidden = true;
  const view = addView(turn);
  const began = performance.now();
  const now = () => (performance.now() - began) / 1000;
  busy(true);
  view.update(0);
  view.node.scrollIntoView({ block: "start" });
  const clock = setInterval(() => view.update(now()), 250);
  try {
    for await (const event of events(body, running.signal)) {
      apply(turn, event, now());
      shown(turn, view, event, now());
    }
    if (turn.status === "running") apply(turn, { moa: "failed", message: "The connection ended before the answer was whole." }, now());
  } catch (error) {
    if (running.signal.aborted) stopped(turn, now());
    else apply(turn, { moa: "failed", message: error.message }, now());
  }
  clearInterval(clock);
  if (turn.status === "failed") { stopped(turn, now()); turn.status = "failed"; }
  view.all();
  busy(false);
  say({ done: "The answer is whole.", failed: `No answer. ${turn.error}`, stopped: "Stopped." }[turn.status]);
  remember(conversation);
}

// Shows what an event changed, and only that: tokens come by the hundred.
function shown(turn, view, event, now) {
  const { layers, answer } = view;
  if (event.moa === "draft_token") layers.token(event, event.text);
  else if (event.moa === "answer_token") answer.token();
  else {
    if (event.moa === "round_started") turn.drafts.filter((draft) => draft.layer === event.layer).forEach(layers.update);
    else if (event.moa === "draft_started" || event.moa === "draft") layers.update(event);
    else if (event.moa === "aggregating") answer.update();
    if (event.moa === "draft") say(`${shownName(turn, event)}: ${KINDS[event.draft.status]?.[0] ?? event.draft.status}`);
    if (event.moa === "aggregating") say("The aggregator writes.");
    view.update(now);
  }
}

// What went wrong beside the turns; nothing when `text` is empty.
function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
}

function busy(yes) {
  running = yes ? new AbortController() : null;
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  for (const id of ["new", "history-open", "mixture"]) $(id).disabled = yes;
  if (!yes) $("question").focus({ preventScroll: true });
}

function choose() {
  const chosen = mixtures.find((each) => each.name === $("mixture").value);
  const names = chosen.aggregators.map((name) => el("option", { value: name }, name));
  $("aggregator").replaceChildren(...names);
  $("aggregator").value = chosen.aggregator;
  $("layers").replaceChildren(...chosen.calls.map((_, index) => el("option", { value: `${index + 1}` }, index ? `${index + 1}` : "1 (no drafts)")));
  $("layers").value = `${chosen.layers}`;
  $("system").placeholder = chosen.system || "None";
  $("about").textContent = chosen.description;
  count();
}

function count() {
  const chosen = mixtures.find((each) => each.name === $("mixture").value);
  const layers = Number($("layers").value);
  $("calls").textContent = `${plural(layers, "layer")}, ${plural(chosen.calls[layers - 1], "call")} a question`;
}

async function offer() {
  const response = await fetch("moa/mixtures");
  const found = await response.json();
  if (!response.ok) throw new Error(found.error?.message ?? `The server answered ${response.status}.`);
  mixtures = found.mixtures;
  const options = mixtures.map((each) => el("option", { value: each.name }, each.name));
  const missing = found.missing.map((each) => el("option", { disabled: true }, `${each.name} (needs ${each.keys.join(", ")})`));
  $("mixture").replaceChildren(...options, ...missing);
  const last = store.read("moa.mixture", null);
  if (mixtures.some((each) => each.name === last)) $("mixture").value = last;
  choose();
}

const THEMES = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };
function theme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = THEMES[name];
  store.write("moa.theme", name);
}

function submit(event) {
  event?.preventDefault();
  const question = $("question").value.trim();
  if (!question || running || !mixtures.length) return;
  $("question").value = "";
  ask(question);
}

function live() {
  $("examples").append(...EXAMPLES.map((text) => el("li", {}, button(text, () => { $("question").value = text; submit(); }, ""))));
  $("ask").addEventListener("submit", submit);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) running.abort();
  });
  $("stop").onclick = () => running?.abort();
  $("new").onclick = () => { conversation.id = crypto.randomUUID?.() ?? `${Date.now()}`; show([]); $("question").focus(); };
  $("history-open").onclick = () => openHistory((each) => { conversation.id = each.id; show(each.turns.map(knownTurn)); });
  $("options-toggle").onclick = () => {
    $("options").hidden = !$("options").hidden;
    $("options-toggle").setAttribute("aria-expanded", !$("options").hidden);
  };
  $("mixture").onchange = () => { store.write("moa.mixture", $("mixture").value); choose(); };
  $("layers").onchange = count;
  offer().catch((error) => notice(`The server cannot be reached. ${error.message}`));
}

theme(store.read("moa.theme", "auto"));
$("theme").onclick = () => theme({ auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.theme]);
if (data) {
  document.body.classList.add("report");
  document.title = data.turns[0]?.question ?? "moa";
  show(data.turns.map(knownTurn));
} else {
  live();
}
