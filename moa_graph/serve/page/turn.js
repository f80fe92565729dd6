// One turn on the page: the question, its drafts, the answer, the time line, the totals.

function turnView(turn, { onVote }) {
  const state = el("p", { class: "state" });
  const none = button("None is best", () => onVote(null), "plain", { hidden: true });
  const alarm = el("div", { class: "alarm", hidden: true });
  const layers = layersView(turn, onVote);
  const answer = answerView(turn);
  const timeline = timelineView(turn);
  const totals = el("section", { class: "part", "aria-label": "Totals", hidden: true });
  const node = el("article", { class: "turn" }, el("h2", { class: turn.question.length > 400 ? "long" : "", ...(turn.question.length > 400 ? { tabIndex: 0 } : {}) }, turn.question),
    state, el("p", {}, none), layers.node, alarm, answer.node, el("div", { class: "below" }, timeline.node, totals));

  function update(now = turn.took ?? 0) {
    state.replaceChildren(...stateOf(turn, now));
    none.hidden = !hidden(turn) || turn.status === "running";
    alarm.hidden = !turn.error;
    alarm.textContent = turn.error ?? "";
    timeline.update(now);
    totals.hidden = !turn.record || hidden(turn);
    if (turn.record) totals.replaceChildren(el("h3", {}, "Totals"), totalsOf(turn));
  }
  function all() {
    layers.all();
    answer.update();
    update();
  }
  return { node, layers, answer, update, all };
}

function stateOf(turn, now) {
  const parts = [];
  const current = Math.max(0, ...turn.drafts.map((draft) => draft.layer));
  const of = turn.drafts.filter((draft) => draft.layer === current);
  if (turn.status === "running" && turn.aggregator) parts.push(el("span", { class: "chip run" }, "the aggregator writes"));
  else if (turn.status === "running" && of.length) parts.push(el("span", { class: "chip run" }, `layer ${current} of ${turn.layers}: ${of.filter(OVER).length} of ${plural(of.length, "draft")}`));
  else if (turn.status === "running") parts.push(el("span", { class: "chip run" }, "asks"));
  else if (turn.status === "failed") parts.push(el("span", { class: "chip bad" }, "no answer"));
  else if (turn.status === "stopped") parts.push(el("span", { class: "chip warn" }, "stopped"));
  else if (turn.record?.degraded && !hidden(turn)) parts.push(el("span", { class: "chip warn" }, whyDegraded(turn)));
  if (turn.mixture) parts.push(el("span", {}, `mixture ${turn.mixture}`));
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

function totalsOf(turn) {
  const { record } = turn;
  const rows = [
    ["seconds", record.seconds < 9.95 ? record.seconds.toFixed(1) : Math.round(record.seconds)], ["calls", whole(record.calls)],
    ["tokens in", whole(record.usage.input_tokens)], ["tokens out", whole(record.usage.output_tokens)],
    ["cost", record.cost === null ? "unknown" : dollars(record.cost)],
  ];
  return el("dl", { class: "totals" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, `${value}`))));
}

function answerView(turn) {
  const model = el("span", { class: "model" });
  const body = el("div", { class: "body" });
  const foot = el("footer");
  const node = el("section", { class: "answer", "aria-label": "Answer", hidden: true }, el("header", {}, el("h3", {}, "Answer"), model), body, foot);
  let due = 0;
  let timer = 0;

  function render() {
    timer = 0;
    const began = performance.now();
    body.replaceChildren(turn.answer ? markdown(turn.answer) : el("p", { class: "wait" }, turn.status === "running" ? "…" : "No answer."));
    // At most a fifth of the time goes into rendering, however long the answer grows.
    due = performance.now() + Math.max(50, 4 * (performance.now() - began));
  }
  function token() {
    if (!timer) timer = setTimeout(render, Math.max(0, due - performance.now()));
  }
  function update() {
    clearTimeout(timer);
    node.hidden = !turn.aggregator && !turn.answer;
    model.textContent = turn.aggregator;
    render();
    const over = turn.status !== "running";
    foot.replaceChildren(...(over && turn.answer ? [button("Copy", (event) => copy(turn.answer, event.target))] : []), ...(over && !hidden(turn) ? exportButtons([turn]) : []));
    if (over && hidden(turn)) foot.append(el("span", { class: "hint" }, "Vote above to see names, times and exports."));
  }
  return { node, update, token };
}
