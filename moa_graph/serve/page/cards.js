// The drafts: a column for each layer, a card for each proposer.

const KINDS = {
  waiting: ["waits", "run"], writing: ["writes", "run"], ok: ["done", "ok"], truncated: ["cut short", "warn"],
  late: ["too late", "warn"], skipped: ["skipped", "warn"], dropped: ["dropped", "warn"], stopped: ["stopped", "warn"],
  empty: ["empty", "bad"], refused: ["refused", "bad"], filtered: ["filtered", "bad"], failed: ["failed", "bad"],
};
const TAIL = 3_000; // characters of a draft that are shown while it is written
const COUNTED = ["ok", "truncated"];
const OVER = (draft) => !["waiting", "writing"].includes(draft.status);

const nameOf = (draft) => draft.proposer.replace(/^p\d+-/, "");
const letter = (turn, draft) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[turn.blind.order[draft.layer].indexOf(draft.slot)] ?? `${draft.slot + 1}`;
// What a blind vote is about: the drafts that the aggregator reads, once the turn is over.
const choices = (turn) => (turn.status === "running" ? [] : turn.drafts.filter((draft) => draft.layer === turn.layers - 1 && COUNTED.includes(draft.status)));
// Where nothing can be voted on, there is nothing to hide.
const hidden = (turn) => turn.blind && turn.blind.best === undefined && (turn.status === "running" || choices(turn).length > 0);
const shownName = (turn, draft) => (hidden(turn) ? `Draft ${letter(turn, draft)}` : nameOf(draft));
const hue = (turn, draft) => (hidden(turn) ? "" : `hue-${draft.slot % 8}`);

// The columns of one turn; `update(draft)` and `token(draft, text)` change one card, `all()` every one.
function layersView(turn, onVote) {
  const node = el("div", { class: "layers" });
  const columns = new Map();
  const cards = new Map();
  const key = (draft) => `${draft.layer}:${draft.slot}`;

  function column(layer) {
    if (!columns.has(layer)) {
      const count = el("span");
      const grid = el("div", { class: "cards" });
      const title = el("h3", {}, `Layer ${layer}`, count);
      node.append(el("section", { class: "layer", "aria-label": `Layer ${layer}` }, title, grid));
      columns.set(layer, { grid, count });
      const many = columns.size > 3;
      node.classList.toggle("many", many);
      if (many) Object.assign(node, { tabIndex: 0, role: "group", ariaLabel: "Layers" });
    }
    return columns.get(layer);
  }

  function place(draft) {
    const { grid } = column(draft.layer);
    const view = cardView(turn, draft, onVote);
    cards.set(key(draft), view);
    grid.append(view.node);
    // Shown in the drawn order while blind, so that a place does not give a name away.
    if (turn.blind) {
      const order = turn.blind.order[draft.layer] ?? [];
      for (const slot of order) if (cards.has(`${draft.layer}:${slot}`)) grid.append(cards.get(`${draft.layer}:${slot}`).node);
    }
    return view;
  }

  function update(draft) {
    (cards.get(key(draft)) ?? place(draft)).update(draftAt(turn, draft.layer, draft.slot));
    const mine = turn.drafts.filter((each) => each.layer === draft.layer);
    const done = mine.filter((each) => COUNTED.includes(each.status)).length;
    column(draft.layer).count.textContent = `${done} of ${plural(mine.length, "draft")}`;
  }

  return { node, update, all: () => turn.drafts.forEach(update), token: (draft, text) => cards.get(key(draft))?.token(text) };
}

function cardView(turn, first, onVote) {
  const name = el("h4");
  const model = el("div", { class: "model" });
  const chip = el("span", { class: "chip" });
  const clip = el("div", { class: "clip" });
  const foot = el("footer");
  const more = button("Show all", () => {
    const open = node.classList.toggle("open");
    more.textContent = open ? "Show less" : "Show all";
    more.setAttribute("aria-expanded", open);
  }, "more", { "aria-expanded": "false", hidden: true });
  const vote = button("This draft is best", () => onVote(draftAt(turn, first.layer, first.slot)), "plain vote", { hidden: true });
  const node = el("article", { class: "card" }, el("header", {}, el("div", { class: "who" }, name, model), chip),
    el("div", { class: "body" }, clip, more), foot, vote);
  let frame = 0;
  let stream = null; // the text node that tokens are added to
  let shown = null; // what the body was made from, so that it is made once

  function update(draft) {
    const [word, kind] = KINDS[draft.status] ?? [draft.status, "warn"];
    const bad = kind === "bad";
    name.textContent = shownName(turn, draft);
    model.textContent = model.title = hidden(turn) || draft.model === nameOf(draft) ? "" : draft.model;
    chip.textContent = word;
    chip.className = `chip ${kind}`;
    node.className = ["card", hue(turn, draft), bad && "failed", turn.blind?.best === `${draft.layer}:${draft.slot}` && "best", node.classList.contains("open") && "open"].filter(Boolean).join(" ");
    if (OVER(draft)) finish(draft);
    else if (!stream) wait();
    foot.replaceChildren(...(hidden(turn) ? [] : facts(draft)));
    vote.hidden = !hidden(turn) || !choices(turn).includes(draft);
    vote.setAttribute("aria-label", `${name.textContent} is best`);
  }

  function wait() {
    stream = document.createTextNode("");
    clip.replaceChildren(el("p", { class: "raw" }, el("span", { class: "wait" }, "…")));
  }

  function token(text) {
    if (!stream.isConnected) clip.replaceChildren(el("p", { class: "raw" }, stream));
    stream.appendData(text);
    // Only the end is seen while it grows, and laying out all of a long draft for each token would stall the page.
    if (stream.length > 2 * TAIL) stream.deleteData(0, stream.length - TAIL);
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      clip.scrollTop = clip.scrollHeight;
    });
  }

  function finish(draft) {
    const source = `${draft.status} ${draft.error} ${draft.text}`;
    if (shown !== source) {
      shown = source;
      clip.replaceChildren(...(draft.error ? [el("p", { class: "error" }, draft.error)] : []), ...(draft.text ? [markdown(draft.text)] : []));
      cancelAnimationFrame(frame);
      clip.scrollTop = 0;
    }
    requestAnimationFrame(() => {
      const over = clip.scrollHeight > clip.clientHeight + 4;
      if (!node.classList.contains("open")) more.hidden = !over;
      node.classList.toggle("over", over);
    });
  }

  return { node, update, token };
}

function facts(draft) {
  const parts = [];
  if (draft.first_token_seconds !== null && draft.first_token_seconds !== undefined) parts.push(`first token ${seconds(draft.first_token_seconds)}`);
  if (draft.seconds !== null && draft.seconds !== undefined) parts.push(`total ${seconds(draft.seconds)}`);
  if (draft.usage) parts.push(plural(whole(draft.usage.output_tokens), "token"));
  if (OVER(draft) && draft.usage) parts.push(dollars(draft.cost));
  if (draft.attempts > 1) parts.push(plural(draft.attempts, "attempt"));
  return parts.map((part) => el("span", {}, part));
}
