// The interactive page: options, asking, stopping, further questions, theme.

const data = JSON.parse($("data").textContent);
const TITLE = document.title;
const EXAMPLES = ["What is the difference between a cold and the flu?", "Why is the sky blue?", "Plan a weekend in Lisbon.", "Explain recursion to a child."];
// Questions that a model of 135 million parameters can answer.
const SIMPLE = ["What is the capital of France?", "Give me three tips for better sleep.", "What is photosynthesis?", "What are the benefits of walking?"];
const newId = () => crypto.randomUUID?.() ?? `${Date.now()}`;
const conversation = { id: newId(), title: null, turns: [] };
const views = new Map(); // of the turns on the page
let mixtures = [];
let running = null; // the AbortController of the active run
let attached = []; // the files of the next question
let editing = null; // the turn whose question is edited
let placing = Promise.resolve(); // until all turns of the conversation are shown
let placed = 0; // where the last turn was put, to see whether the reader has moved since

// A conversation on the page. Its id is in the address, so that reload, Back and bookmarks work.
function open({ id, title = null, turns }, address = "push") {
  Object.assign(conversation, { id, title, turns: turns.map(knownTurn) });
  if (address !== "keep") history.pushState(null, "", turns.length ? `#run=${id}` : location.pathname + location.search);
  endEdit();
  show(conversation.turns);
}

function show(turns) {
  // Loaded now, so that the page can save runs when the server has stopped.
  if (turns.length) more().catch(() => {});
  $("turns").replaceChildren();
  views.clear();
  $("hello").hidden = turns.length > 0;
  // With the reader loaded, no text is shown twice.
  const reader = turns.length ? loadReader().catch(() => {}) : Promise.resolve();
  placing = reader.then(() => inSlices([...turns], (turn) => addView(turn).all(), () => turns === conversation.turns));
  named();
}

function named() {
  document.title = conversation.title ?? conversation.turns[0]?.question.slice(0, 120) ?? TITLE;
  const paid = conversation.turns.flatMap((turn) => turn.record ?? received(turn));
  const cost = paid.some((each) => each.cost === null) ? null : paid.reduce((sum, each) => sum + each.cost, 0) - reused("cost");
  const calls = paid.reduce((sum, each) => sum + each.calls, 0) - reused("calls");
  $("spent").textContent = calls ? `So far: ${plural(calls, "call")}, ${cost === null ? "cost unknown" : dollars(cost)}` : "";
}

// What was paid for a turn without a record: one that failed or was stopped.
const received = ({ drafts, notes }) => [...drafts, ...notes].filter((each) => each.attempts).map(({ cost }) => ({ calls: 1, cost }));

// Costs that records contain again: drafts and notes of an earlier turn; after a retry, the drafts at these places.
function reused(what) {
  const ofTurn = ({ reused, drafts, notes }) => (reused === true ? [...drafts, ...notes] : drafts.filter((draft) => reused.includes(placeOf(draft))));
  const parts = conversation.turns.filter((turn) => turn.reused).flatMap(ofTurn);
  return parts.reduce((sum, part) => sum + (what === "cost" ? part.cost ?? 0 : Number(part.attempts > 0)), 0);
}

function addView(turn) {
  for (const node of document.querySelectorAll(".current")) node.classList.remove("current");
  const view = turnView(turn, { live: !data, reading, again: (...args) => withMore(() => again(...args)), edit: (...args) => withMore(() => edit(...args)),
    vote: (...args) => withMore(() => vote(...args)), aggregate: (before) => withMore(() => aggregate(before)), retry: (before, draft) => withMore(() => retry(before, draft)) });
  views.set(turn, view);
  $("turns").append(view.node);
  seen.disconnect();
  seen.observe(view.answer.node);
  return view;
}

// Whether the reader has scrolled away from the turn, so that the page must not scroll.
function reading(node) {
  return running && (Math.abs(node.getBoundingClientRect().top - placed) > 60 || node.querySelector(".layers").contains(document.activeElement));
}

// When the answer begins, scroll to it. If the reader has scrolled away, show a button instead.
function lead(view) {
  const { top } = view.answer.node.getBoundingClientRect();
  if (!reading(view.node) && top > innerHeight * 0.55) {
    view.answer.node.scrollIntoView({ block: "start" });
    placed = view.node.getBoundingClientRect().top;
  }
  seen.unobserve(view.answer.node);
  seen.observe(view.answer.node);
}

const seen = new IntersectionObserver(([{ isIntersecting, target }]) => { $("jump").hidden = isIntersecting || target.hidden || !running && !document.querySelector(".current"); }, { rootMargin: "-60px 0px -180px 0px" });

function endEdit() {
  editing = null;
  $("editing").hidden = true;
}

async function ask(question, files = []) {
  const chosen = mixtures.find((each) => each.name === $("mixture").value);
  const layers = Number($("layers").value) || chosen.layers;
  if (editing) replace(editing);
  endEdit();
  notice("");
  const turn = newTurn(question, { mixture: chosen.name, layers }, $("blind").checked && layers > 1);
  if (files.length) turn.files = files;
  const body = { mixture: chosen.name, layers, aggregator: $("aggregator").value === chosen.aggregator ? null : $("aggregator").value, system: $("system").value.trim() };
  turn.sent = { layers, aggregator: body.aggregator, system: body.system };
  await follow(turn, body);
}

// A run from its first event to its last. Received parts are stored at every step, because they are paid for.
async function follow(turn, body) {
  busy(true);
  const { signal } = running;
  const { turns } = conversation;
  await placing;
  if (conversation.turns !== turns) return busy(false);
  const earlier = [...turns];
  if (!earlier.length) history.pushState(null, "", `#run=${conversation.id}`);
  turns.push(turn);
  more().catch(() => {});
  $("hello").hidden = true;
  const view = addView(turn);
  view.node.classList.add("current");
  const began = performance.now();
  const now = () => (performance.now() - began) / 1000;
  named();
  if (turn.reused) view.all();
  view.update(0);
  view.node.scrollIntoView({ block: "start" });
  placed = view.node.getBoundingClientRect().top;
  const clock = setInterval(() => view.update(now()), 250);
  try {
    const messages = await messagesFor(earlier, turn);
    let from = performance.now();
    for await (const event of events({ ...body, messages }, signal)) {
      // Events that arrive together would be one task. Timers of a hidden page are slow, and nobody waits for it.
      if (!document.hidden && performance.now() - from > SLICE) {
        await pause();
        from = performance.now();
      }
      if (signal.aborted) break;
      apply(turn, event, now());
      shown(turn, view, event, now());
      if (["draft", "note", "finished"].includes(event.moa)) withMore(() => remember(conversation));
    }
    if (turn.status === "running" && !signal.aborted) apply(turn, { moa: "failed", message: "The connection ended before the answer was complete." }, now());
    if (turn.status === "running") stopped(turn, now());
  } catch (error) {
    // When the page is closed, its connection ends first. This is not a failure of the run.
    await new Promise((later) => setTimeout(later, 300));
    if (signal.aborted) stopped(turn, now());
    else apply(turn, { moa: "failed", message: inWords(error) }, now());
  }
  clearInterval(clock);
  // What follows takes time where texts are long: each part in a task of its own.
  await pause();
  if (conversation.turns !== turns) return busy(false);
  if (turn.status === "failed") { stopped(turn, now()); turn.status = "failed"; }
  view.all();
  await pause();
  await withMore(() => remember(conversation));
  await pause();
  busy(false);
  named();
  say({ done: "The answer is complete.", failed: `No answer. ${turn.error}`, stopped: "Stopped." }[turn.status]);
}

// Browsers say "Failed to fetch" or "network error" when a server is gone.
function inWords(error) {
  if (error instanceof TypeError) return "The server does not answer. Start `moa ui` or `moa serve` again, reload this page if its address changed, and ask again. Received drafts are kept.";
  return error.message;
}

// Update only the parts that an event changed, because there are hundreds of tokens.
function shown(turn, view, event, now) {
  const { layers, answer } = view;
  if (event.moa === "draft_token") layers.token(event);
  else if (event.moa === "answer_token") answer.token();
  else {
    if (event.moa === "round_started") turn.drafts.filter((draft) => draft.layer === event.layer).forEach(layers.update);
    else if (event.moa === "draft_started" || event.moa === "draft") layers.update(event);
    else if (event.moa === "aggregating") answer.update();
    if (event.moa === "draft") say(`${shownName(turn, event)}: ${KINDS[event.draft.status]?.[0] ?? event.draft.status}`);
    if (event.moa === "aggregating") say("The aggregator writes.");
    view.update(now);
    if (event.moa === "aggregating") lead(view);
  }
}

// Show an error that does not belong to a turn; hide it if `text` is empty.
function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
}

function busy(yes) {
  running = yes ? new AbortController() : null;
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  for (const id of ["new", "history-open", "mixture"]) $(id).disabled = yes;
  for (const node of document.querySelectorAll(".turn .redo")) node.disabled = yes;
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
  members(chosen);
  $("examples").replaceChildren(...(chosen.embedded ? SIMPLE : EXAMPLES).map((text) => el("li", {}, button(text, () => { $("question").value = text; submit(); }, ""))));
  count();
}

// Describe the mixture before the first question.
function members(chosen) {
  const rows = chosen.rounds.map((round, index) => el("li", {}, el("b", {}, chosen.rounds.length > 1 ? `Layer ${index + 1}: ` : "Drafts: "),
    round.map(({ name, model }) => (name === model ? model : `${name} (${model})`)).join(", ")));
  const how = chosen.combine === "synthesize" ? "" : ` (${chosen.combine})`;
  $("members").replaceChildren(...rows, el("li", {}, el("b", {}, "Answer: "), `${chosen.aggregator}${how}`));
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
  $("editor").hidden = !found.editor;
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

function waits() {
  notice("A run is active. Press Escape or Stop to end it, then ask.");
}

function submit(event) {
  event?.preventDefault();
  const question = $("question").value.trim();
  if (!question || !mixtures.length) return;
  if (running) return waits();
  $("question").value = "";
  const files = attached;
  attached = [];
  showAttached();
  ask(question, files);
}

// Add files to the next question: chosen, dropped or pasted.
const take = (files) => withMore(() => takeFiles([...files]));

function showAttached() {
  $("attached").hidden = !attached.length;
  if (attached.length) withMore(showFiles);
}

// Show the conversation of the address.
async function route() {
  running?.abort();
  const id = /^#run=([\w-]{1,64})$/.exec(location.hash)?.[1];
  if (id === conversation.id && conversation.turns.length) return;
  if (id) await more().catch(() => {});
  const known = id && globalThis.runs?.().some((each) => each.id === id) ? runOf(id) : null;
  open(known ?? { id: newId(), turns: [] }, "keep");
  notice(id && !known ? "This browser does not have that run: runs are kept only in the browser that asked, and the oldest are deleted for new ones." : "");
}

function live() {
  $("ask").addEventListener("submit", submit);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) running.abort();
  });
  addEventListener("popstate", route);
  addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
  addEventListener("pagehide", () => { if (running) globalThis.remember?.(conversation); });
  $("stop").onclick = () => running?.abort();
  $("attach").onclick = () => $("files").click();
  $("files").onchange = () => take($("files").files);
  $("question").addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("ask").classList.toggle("over-files", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
  $("jump").onclick = () => withMore(jump);
  $("edit-cancel").onclick = () => { endEdit(); $("question").value = ""; attached = []; showAttached(); };
  $("new").onclick = () => { open({ id: newId(), turns: [] }); $("question").focus(); };
  $("history-open").onclick = () => withMore(() => openHistory(open));
  $("options-toggle").onclick = () => {
    $("options").hidden = !$("options").hidden;
    $("options-toggle").setAttribute("aria-expanded", !$("options").hidden);
  };
  $("mixture").onchange = () => { store.write("moa.mixture", $("mixture").value); choose(); };
  $("layers").onchange = count;
  offer().catch((error) => notice(inWords(error)));
  route();
}

theme(store.read("moa.theme", "auto"));
addEventListener("beforeprint", () => views.forEach((view) => view.inFull()));
$("theme").onclick = () => theme({ auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.theme]);
if (data) {
  document.body.classList.add("report");
  conversation.turns = data.turns.map(knownTurn);
  show(conversation.turns);
} else if (document.hidden) {
  // A page in a background tab is not painted. In a visible one, the first paint comes before all of this.
  live();
} else {
  requestAnimationFrame(() => setTimeout(live));
}
