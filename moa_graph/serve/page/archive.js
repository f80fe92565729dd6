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

function openHistory(onOpen) {
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
    const open = button(el("strong", { dir: "auto" }, name), () => { $("history").close(); onOpen(each); }, "open");
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
  $("history-close").onclick = () => $("history").close();
  $("history-clear").onclick = () => { store.write("moa.runs", []); pruneFiles(); show(); };
  $("votes-clear").onclick = () => { forgetVotes(); show(); };
  show();
  $("history").showModal();
}
