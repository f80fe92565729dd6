// The drafts: a column for each layer, a card for each proposer.

const KINDS = {
  waiting: ["waits", "run"], writing: ["writes", "run"], ok: ["done", "ok"], truncated: ["cut short", "warn"],
  late: ["too late", "warn"], skipped: ["skipped", "warn"], dropped: ["dropped", "warn"], stopped: ["stopped", "warn"],
  empty: ["empty", "bad"], refused: ["refused", "bad"], filtered: ["filtered", "bad"], failed: ["failed", "bad"],
};
const COUNTED = ["ok", "truncated"];
const OVER = (draft) => !["waiting", "writing"].includes(draft.status);

const nameOf = (draft) => draft.proposer.replace(/^p\d+-/, "");
const letter = (turn, draft) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[turn.blind.order[draft.layer].indexOf(draft.slot)] ?? `${draft.slot + 1}`;
// The drafts of a blind vote: those that the aggregator reads, after the end of the turn.
const choices = (turn) => (turn.status === "running" ? [] : turn.drafts.filter((draft) => draft.layer === turn.layers - 1 && COUNTED.includes(draft.status)));
// Without drafts to vote on, nothing is hidden.
const hidden = (turn) => turn.blind && turn.blind.best === undefined && (turn.status === "running" || choices(turn).length > 0);
const shownName = (turn, draft) => (hidden(turn) ? `Draft ${letter(turn, draft)}` : nameOf(draft));
const hue = (turn, draft) => (hidden(turn) ? "" : `hue-${draft.slot % 8}`);

// The texts whose length is compared with their cards. All are measured before a card changes, and none while it is not
// shown: to measure is to lay out the page.
const lengths = new ResizeObserver((entries) => {
  const shown = entries.map(({ target }) => [target, target.parentNode]).filter(([, clip]) => clip?.clientHeight);
  const found = shown.map(([text, clip]) => [text, clip.scrollHeight > clip.clientHeight + 4]);
  requestAnimationFrame(() => { for (const [text, longer] of found) text.measured(longer); });
});

// The columns of one turn; `update(draft)` and `token(draft)` change one card, `all()` every one.
function layersView(turn, onVote, onRetry) {
  const node = el("div", { class: "layers" });
  const columns = new Map();
  const cards = new Map();
  function column(layer) {
    if (!columns.has(layer)) {
      const count = el("span");
      const grid = el("div", { class: "cards" });
      const title = el("h3", {}, `Layer ${layer}`, count);
      node.append(el("div", { class: "layer", role: "group", "aria-label": `Layer ${layer}` }, title, grid));
      columns.set(layer, { grid, count });
      const many = columns.size > 3;
      node.classList.toggle("many", many);
      if (many) Object.assign(node, { tabIndex: 0, role: "group", ariaLabel: "Layers" });
    }
    return columns.get(layer);
  }

  function place(draft) {
    const { grid } = column(draft.layer);
    const view = cardView(turn, draft, onVote, onRetry);
    cards.set(placeOf(draft), view);
    grid.append(view.node);
    // In blind mode in random order, so that a position does not reveal a name.
    if (turn.blind) {
      const order = turn.blind.order[draft.layer] ?? [];
      for (const slot of order) if (cards.has(`${draft.layer}:${slot}`)) grid.append(cards.get(`${draft.layer}:${slot}`).node);
    }
    return view;
  }

  function update(draft) {
    (cards.get(placeOf(draft)) ?? place(draft)).update(draftAt(turn, draft.layer, draft.slot));
    const mine = turn.drafts.filter((each) => each.layer === draft.layer);
    const done = mine.filter((each) => COUNTED.includes(each.status)).length;
    column(draft.layer).count.textContent = `${done} of ${plural(mine.length, "draft")}`;
  }

  return { node, update, fold: (yes) => node.classList.toggle("folded", yes), inFull: () => cards.forEach((card) => card.inFull()), all: () => turn.drafts.forEach(update), token: (draft) => cards.get(placeOf(draft))?.token() };
}

function cardView(turn, first, onVote, onRetry) {
  const name = el("h4");
  const model = el("div", { class: "model" });
  const chip = el("span", { class: "chip" });
  const clip = el("div", { class: "clip" });
  const foot = el("footer");
  const more = button("Show all", () => {
    const open = node.classList.toggle("open");
    more.textContent = open ? "Show less" : "Show all";
    called();
    more.setAttribute("aria-expanded", open);
    text.update(current.text, true, !open);
  }, "more", { "aria-expanded": "false", hidden: true });
  const copying = button("Copy", ({ target }) => withMore(() => copy(current.text, target)), "plain", { hidden: true });
  const redo = button("Retry", () => onRetry(current), "plain redo", { hidden: true });
  const vote = button("This draft is best", () => onVote(draftAt(turn, first.layer, first.slot)), "plain vote", { hidden: true });
  const node = el("article", { class: "card" }, el("header", {}, el("div", { class: "who" }, name, model), chip),
    el("div", { class: "body" }, clip, more), foot, vote);
  const text = growing(5);
  let current = first;
  let shown = null; // the state for which the body was rendered, so that it is rendered once
  const render = seldom(() => text.update(current.text));

  function update(draft) {
    const [word, kind] = KINDS[draft.status] ?? [draft.status, "warn"];
    const bad = kind === "bad";
    name.textContent = shownName(turn, draft);
    model.textContent = model.title = hidden(turn) || draft.model === nameOf(draft) ? "" : draft.model;
    chip.textContent = word;
    chip.className = `chip ${kind}`;
    node.className = ["card", hue(turn, draft), bad && "failed", turn.blind?.best === `${draft.layer}:${draft.slot}` && "best", node.classList.contains("open") && "open"].filter(Boolean).join(" ");
    if (OVER(draft)) finish(draft);
    else if (!draft.text) wait();
    current = draft;
    foot.replaceChildren(...(hidden(turn) ? [] : facts(draft)), el("span", { class: "acts" }, redo, copying));
    copying.hidden = hidden(turn) || !OVER(draft) || !draft.text;
    called();
    copying.setAttribute("aria-label", `Copy the draft of ${name.textContent}`);
    redo.hidden = !onRetry || hidden(turn) || turn.replaced || turn.status === "running";
    redo.setAttribute("aria-label", `Retry the draft of ${name.textContent}`);
    vote.hidden = !hidden(turn) || !choices(turn).includes(draft);
    vote.setAttribute("aria-label", `${name.textContent} is best`);
  }

  const called = () => more.setAttribute("aria-label", `${more.textContent} of ${name.textContent}`);

  function wait() {
    clip.replaceChildren(el("p", { class: "raw" }, el("span", { class: "wait" }, "…")));
  }

  function token() {
    if (!text.node.parentNode) clip.replaceChildren(text.node);
    clip.classList.add("grows");
    render();
  }

  function finish(draft) {
    const source = `${draft.status} ${draft.error} ${draft.text}`;
    if (shown !== source) {
      shown = source;
      render.cancel();
      text.update(draft.text, true, !node.classList.contains("open"));
      // Left in place where it is alone: to put it there again is to lay it out again.
      if (draft.error || clip.firstChild !== text.node) clip.replaceChildren(...(draft.error ? [el("p", { class: "error" }, draft.error)] : []), text.node);
      clip.classList.remove("grows");
    }
  }

  text.node.measured = (longer) => {
    const over = longer || current.text.length > GLANCE;
    if (node.classList.contains("open")) return;
    more.hidden = !over;
    node.classList.toggle("over", over);
  };
  lengths.observe(text.node);

  return { node, update, token, inFull: text.inFull };
}

function facts(draft) {
  const parts = [];
  if (draft.first_token_seconds !== null && draft.first_token_seconds !== undefined) parts.push(`first token ${seconds(draft.first_token_seconds)}`);
  if (draft.seconds !== null && draft.seconds !== undefined) parts.push(`total ${seconds(draft.seconds)}`);
  if (draft.usage) parts.push(plural(whole(draft.usage.output_tokens), "token"));
  if (OVER(draft) && draft.usage && draft.cost !== null) parts.push(dollars(draft.cost));
  if (draft.attempts > 1) parts.push(plural(draft.attempts, "attempt"));
  return parts.map((part) => el("span", {}, part));
}
