// The dialog with this browser's runs: search, rename, delete, save.

function forget(id) {
  store.write("moa.runs", store.read("moa.runs", []).filter((each) => each.id !== id));
  pruneFiles();
}

function rename(id, title) {
  store.write("moa.runs", store.read("moa.runs", []).map((each) => (each.id === id ? { ...each, title } : each)));
}

// Whether every word occurs in the questions or answers of a run.
function matches(each, words) {
  const text = [each.title ?? "", ...each.turns.flatMap((turn) => [turn.question, turn.answer ?? ""])].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// The dialog, made when it is first opened.
function historyDialog() {
  if ($("history")) return $("history");
  const action = (id, text) => button(text, null, "plain", { id });
  const dialog = el("dialog", { id: "history", "aria-labelledby": "history-title" },
    el("div", { class: "dialog-head" }, el("h2", { id: "history-title" }, "Runs of this browser"), action("history-close", "Close")),
    el("p", { class: "hint" }, "Stored on this computer only."),
    el("input", { type: "search", id: "history-search", class: "search", placeholder: "Search", ariaLabel: "Search questions and answers" }),
    el("ol", { id: "history-list", class: "runs" }),
    el("div", { class: "row" }, action("history-save", "Save all runs (JSON)"), action("votes-save", "Save votes (JSONL)"), action("votes-clear", "Forget votes"), el("span", { class: "gap" }), action("history-clear", "Forget all runs")));
  $("say").before(dialog);
  return dialog;
}

function openHistory(onOpen) {
  const dialog = historyDialog();
  const list = $("history-list");
  const show = () => {
    const runs = store.read("moa.runs", []);
    const words = $("history-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = runs.filter((each) => matches(each, words));
    list.replaceChildren(...found.map((each) => item(each)));
    if (!found.length) list.append(el("li", { class: "hint" }, runs.length ? "Nothing found." : "None yet."));
    $("history-clear").disabled = $("history-save").disabled = !runs.length;
    $("votes-save").disabled = $("votes-clear").disabled = !votes().length;
  };
  const item = (each) => {
    const [first] = each.turns;
    const name = each.title ?? first.question;
    const about = `${new Date(each.created).toLocaleString()} · ${first.mixture ?? ""} · ${plural(each.turns.length, "question")}`;
    const open = button(el("strong", { dir: "auto" }, name), () => { dialog.close(); onOpen(each); }, "open");
    open.append(el("span", { class: "hint" }, about));
    const renaming = button("Rename", () => {
      const title = prompt("Name of this run", name)?.trim();
      if (title) rename(each.id, title);
      if (title && each.id === conversation.id) { conversation.title = title; named(); }
      show();
    }, "plain", { "aria-label": `Rename ${name}` });
    return el("li", {}, open, renaming, button("Forget", () => { forget(each.id); show(); }, "plain", { "aria-label": `Forget ${name}` }));
  };
  // The owner's server has the runs of `moa tune`; it is the one with the editor.
  if (!$("editor").hidden && !$("tune-runs")) $("history").append(el("p", { id: "tune-runs" }, el("a", { class: "link", href: "moa/tune" }, "Runs of moa tune")));
  $("history-search").value = "";
  $("history-search").oninput = show;
  $("history-save").onclick = saveAll;
  $("votes-save").onclick = saveVotes;
  $("history-close").onclick = () => dialog.close();
  $("history-clear").onclick = () => { store.write("moa.runs", []); pruneFiles(); show(); };
  $("votes-clear").onclick = () => { forgetVotes(); show(); };
  show();
  dialog.showModal();
}
