// The dialog with this browser's runs: search, rename, delete, save.

function forget(ids) {
  for (const id of ids) localStorage.removeItem(keyOf(id));
  writeIndex(runs().filter((each) => !ids.includes(each.id)));
  pruneFiles();
}

function rename(id, title) {
  const run = runOf(id);
  if (run && store.write(keyOf(id), { ...run, title })) writeIndex(runs().map((each) => (each.id === id ? { ...each, title } : each)));
}

// Whether every word occurs in the questions or answers of a run.
function matches(id, words) {
  const run = runOf(id);
  if (!run) return false;
  const text = [run.title ?? "", ...run.turns.flatMap((turn) => [turn.question, turn.answer ?? ""])].join("\n").toLowerCase();
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
  let search = 0;
  const show = async () => {
    const current = ++search;
    const all = runs();
    const words = $("history-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    $("history-clear").disabled = $("history-save").disabled = !all.length;
    $("votes-save").disabled = $("votes-clear").disabled = !voteCount();
    list.replaceChildren();
    const isCurrent = () => current === search;
    // Runs are megabytes of text.
    await inSlices(all, (each) => { if (!words.length || matches(each.id, words)) list.append(item(each)); }, isCurrent);
    if (isCurrent() && !list.children.length) list.append(el("li", { class: "hint" }, all.length ? "Nothing found." : "None yet."));
  };
  const item = (each) => {
    const name = each.title ?? each.question;
    const about = `${new Date(each.created).toLocaleString()} · ${each.mixture ?? ""} · ${plural(each.questions, "question")}`;
    const open = button(el("strong", { dir: "auto" }, name), () => { dialog.close(); const run = runOf(each.id); if (run) onOpen(run); }, "open");
    open.append(el("span", { class: "hint" }, about));
    const renaming = button("Rename", () => {
      const title = prompt("Name of this run", name)?.trim();
      if (title) rename(each.id, title);
      if (title && each.id === conversation.id) { conversation.title = title; named(); }
      show();
    }, "plain", { "aria-label": `Rename ${name}` });
    return el("li", {}, open, renaming, button("Forget", () => { forget([each.id]); show(); }, "plain", { "aria-label": `Forget ${name}` }));
  };
  // The owner's server has the runs of `moa tune`; it is the one with the editor.
  if (!$("editor").hidden && !$("tune-runs")) $("history").append(el("p", { id: "tune-runs" }, el("a", { class: "link", href: "moa/tune" }, "Runs of moa tune")));
  $("history-search").value = "";
  $("history-search").oninput = show;
  $("history-save").onclick = saveAll;
  $("votes-save").onclick = saveVotes;
  $("history-close").onclick = () => dialog.close();
  $("history-clear").onclick = () => { forget(runs().map(({ id }) => id)); show(); };
  $("votes-clear").onclick = () => { forgetVotes(); show(); };
  show();
  dialog.showModal();
}
