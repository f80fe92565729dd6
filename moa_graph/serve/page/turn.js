// One turn on the page: the question, its drafts, the answer, the time line, the totals.

const PHONE = matchMedia("(max-width: 760px)");

function turnView(turn, actions) {
  const state = el("p", { class: "state" });
  const none = button("None is best", () => actions.vote(turn, null), "plain", { hidden: true });
  const alarm = el("div", { class: "alarm", hidden: true });
  const layers = layersView(turn, (draft) => actions.vote(turn, draft), actions.live && ((draft) => actions.retry(turn, draft)));
  const answer = answerView(turn, actions);
  const timeline = el("div", { class: "part", role: "group", "aria-label": "Time line", hidden: true });
  const compared = compareView(turn);
  const notes = notesView(turn);
  const totals = el("div", { class: "part", role: "group", "aria-label": "Totals", hidden: true });
  const folding = button("", () => fold(folded !== true), "plain fold", { hidden: true });
  const drafts = el("div", { class: "drafts" }, el("p", { class: "row" }, folding, none), layers.node);
  const node = el("article", { class: "turn" }, questionView(turn), ...filesOf(turn), state, drafts, alarm, answer.node, notes.node, compared.node, el("div", { class: "below" }, timeline, totals));
  let folded = null; // null until the answer begins, or a person decides
  let leads = false; // whether the answer is first on a phone

  function fold(yes) {
    folded = yes;
    layers.fold(yes);
    folding.textContent = yes ? "Show the drafts" : "Fold the drafts";
    folding.setAttribute("aria-expanded", !yes);
  }

  function update(now = turn.took ?? 0) {
    state.replaceChildren(...stateOf(turn, now));
    none.hidden = !hidden(turn) || turn.status === "running";
    alarm.hidden = !turn.error;
    alarm.textContent = turn.error ?? "";
    notes.update();
    compared.update();
    totals.hidden = !turn.record || hidden(turn);
    more().then(() => {
      showTimeline(timeline, turn, now);
      if (turn.record) showTotals(totals, turn);
    }, () => {});
    arrange();
  }

  // When there is an answer, the drafts fold to their headers, and on a phone they come after it.
  function arrange() {
    const answered = !answer.node.hidden && turn.status !== "failed" && !hidden(turn);
    folding.hidden = !actions.live || !answered || !turn.drafts.length;
    if (!answered && folded) fold(false);
    if (answered && folded === null && actions.live) fold(!actions.reading(node));
    leads = answered && (leads || folded);
    const first = leads && PHONE.matches ? answer.node : drafts;
    if (state.nextSibling !== first) state.after(first, first === drafts ? alarm : drafts, first === drafts ? answer.node : alarm);
  }

  function all() {
    node.classList.toggle("replaced", Boolean(turn.replaced));
    layers.all();
    answer.update();
    update();
  }
  // All of every text at once, for print.
  function inFull() {
    layers.inFull();
    answer.inFull();
  }
  return { node, layers, answer, update, all, fold, inFull };
}

// A long question is cut, and can be opened; its line breaks and indents are kept.
function questionView(turn) {
  const long = turn.question.length > 400 || turn.question.split("\n").length > 8;
  const text = el("h2", { class: long ? "long" : "", dir: "auto" }, turn.question);
  if (!long) return text;
  const more = button("Show all of the question", () => {
    const open = text.classList.toggle("open");
    more.textContent = open ? "Show less of the question" : "Show all of the question";
    more.setAttribute("aria-expanded", open);
  }, "plain", { "aria-expanded": "false" });
  return el("div", { class: "question" }, text, more);
}

// The files of a question; the second script shows them.
function filesOf(turn) {
  if (!turn.files?.length) return [];
  const node = el("div");
  withMore(() => node.replaceChildren(filesView(turn.files)));
  return [node];
}

function stateOf(turn, now) {
  const parts = [];
  const current = Math.max(0, ...turn.drafts.map((draft) => draft.layer));
  const of = turn.drafts.filter((draft) => draft.layer === current);
  if (turn.status === "running" && turn.aggregator) parts.push(el("span", { class: "chip run" }, "the aggregator writes"));
  else if (turn.status === "running" && of.length) parts.push(el("span", { class: "chip run" }, `layer ${current} of ${turn.layers}: ${of.filter(OVER).length} of ${plural(of.length, "draft")}`));
  else if (turn.status === "running") parts.push(el("span", { class: "chip run" }, "asks"));
  else if (turn.status === "failed") parts.push(el("span", { class: "chip bad" }, turn.answer ? "broken off" : "no answer"));
  else if (turn.replaced) parts.push(el("span", { class: "chip warn" }, "replaced by the next question"));
  else if (turn.status === "stopped") parts.push(el("span", { class: "chip warn" }, "stopped"));
  else if (turn.record?.degraded && !hidden(turn)) parts.push(el("span", { class: "chip warn" }, whyDegraded(turn)));
  if (turn.mixture) parts.push(el("span", {}, `mixture ${turn.mixture}`));
  if (turn.reused) parts.push(el("span", {}, turn.reused === true ? "reused drafts, one new call" : "reused drafts"));
  if (turn.status === "running") parts.push(el("span", {}, seconds(now)));
  if (hidden(turn) && turn.status !== "running") parts.push(el("span", {}, "Which draft is best? Names come after your vote."));
  return parts;
}

function whyDegraded(turn) {
  const { unused, fallback, status } = turn.record;
  if (fallback) return `answered by the fallback ${fallback}`;
  if (status === "best_draft") return "the best draft: no aggregator answered";
  if (unused.length) return `${plural(unused.length, "draft")} not used`;
  return "an answer or draft was cut short";
}

function answerView(turn, { live, again, aggregate, edit }) {
  const model = el("span", { class: "model" });
  const body = el("div", { class: "body" });
  const foot = el("footer");
  const node = el("div", { class: "answer", role: "group", "aria-label": "Answer", hidden: true }, el("header", {}, el("h3", {}, "Answer"), model), body, foot);
  const text = growing();
  const token = seldom(render);

  function render() {
    text.update(turn.answer, turn.status !== "running");
    const instead = el("p", { class: "wait" }, turn.status === "running" ? "…" : "No answer.");
    // Kept in place while it grows, so that a selection in it stays.
    if (!turn.answer || text.node.parentNode !== body) body.replaceChildren(turn.answer ? text.node : instead);
  }
  function update() {
    token.cancel();
    const over = turn.status !== "running";
    // After a failure without any answer text, only the buttons are shown.
    node.hidden = !over && !turn.aggregator && !turn.answer;
    model.textContent = turn.aggregator;
    render();
    foot.replaceChildren(...(over && turn.answer ? [button("Copy", ({ target }) => withMore(() => copy(turn.answer, target)))] : []), ...(over && !hidden(turn) ? exportButtons([turn]) : []));
    if (over && live && !turn.replaced) {
      const usable = !hidden(turn) && turn.drafts.some((draft) => COUNTED.includes(draft.status));
      const redo = [["Ask again", again], usable && ["Ask the aggregator again", aggregate], ["Edit the question", edit]].filter(Boolean);
      foot.append(...redo.map(([text, work]) => button(text, () => work(turn), "plain redo")));
    }
    if (over && hidden(turn)) foot.append(el("span", { class: "hint" }, "Vote above to see names, times and exports."));
  }
  return { node, update, token, inFull: text.inFull };
}

// The buttons that save a conversation.
function exportButtons(turns) {
  const save = (ending, name, kind = "plain") => button(`Save as ${name}`, () => withMore(() => SAVE[ending](turns)), kind);
  return [save("md", "Markdown"), save("json", "JSON"), save("html", "HTML report", "plain live")];
}
