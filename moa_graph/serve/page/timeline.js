// The time line: a lane for each call on one scale. The pale part is the wait for the first token. And the totals.

function showTimeline(node, turn, now) {
  const lanes = lanesOf(turn, now);
  // The scale begins with the first call, so that it excludes the server's own time.
  const start = Math.min(...lanes.map((lane) => lane.start));
  for (const lane of lanes) Object.assign(lane, { start: lane.start - start, end: lane.end - start });
  const end = Math.max(0.1, ...lanes.map((lane) => lane.end));
  node.replaceChildren(el("h3", {}, "Time line"), el("ol", { class: "lanes" }, ...lanes.map((lane) => laneView(lane, end))));
  node.hidden = hidden(turn) || !lanes.length;
}

function lanesOf(turn, now) {
  const lanes = turn.drafts.map((draft) => {
    const start = turn.starts[draft.layer] ?? 0;
    const took = draft.seconds ?? Math.max(0, now - start);
    return { name: turn.layers > 2 ? `${draft.layer} · ${nameOf(draft)}` : nameOf(draft), start, end: start + took,
      first: draft.first_token_seconds, kind: hue(turn, draft), failed: KINDS[draft.status]?.[1] === "bad" };
  });
  if (turn.starts.answer !== undefined && turn.aggregator) {
    const start = turn.starts.answer;
    const end = turn.status === "running" ? now : Math.max(start, turn.took ?? turn.record?.seconds ?? start);
    const first = turn.firstToken === undefined ? null : turn.firstToken - start;
    lanes.push({ name: "answer", start, end, first, kind: "", failed: turn.status === "failed" });
  }
  return lanes;
}

function laneView(lane, end) {
  const percent = (value) => `${Math.min(100, Math.max(0, (100 * value) / end))}%`;
  const bar = el("span", { class: "bar" });
  bar.style.left = percent(lane.start);
  bar.style.width = percent(lane.end - lane.start);
  const lead = el("span", { class: "lead" });
  lead.style.left = percent(lane.start);
  lead.style.width = percent(Math.min(lane.first ?? 0, lane.end - lane.start));
  const track = el("span", { class: `track ${lane.failed ? "failed" : ""}`, "aria-hidden": "true" }, bar, lead);
  return el("li", { class: lane.kind }, el("span", { class: "name", title: lane.name }, lane.name), track, el("span", {}, seconds(lane.end - lane.start)));
}

function showTotals(node, turn) {
  const { record, receipt } = turn;
  const rows = [
    ["seconds", record.seconds < 9.95 ? record.seconds.toFixed(1) : Math.round(record.seconds)], ["calls", whole(record.calls)],
    ["tokens in", whole(record.usage.input_tokens)], ["tokens out", whole(record.usage.output_tokens)],
    ["cost", record.cost === null ? "unknown" : dollars(record.cost)],
  ];
  if (record.cost && receipt?.alone) rows.push(["aggregator alone, about", dollars(receipt.alone)]);
  if (receipt?.caches_saved > 0) rows.push(["saved by caches", dollars(receipt.caches_saved)]);
  node.replaceChildren(el("h3", {}, "Totals"), el("dl", { class: "totals" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, `${value}`)))));
}
