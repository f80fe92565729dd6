// This browser's runs, newest first, on this computer only. When storage is full the oldest go.

const KEPT = 50;

function remember(conversation) {
  const rest = store.read("moa.runs", []).filter((each) => each.id !== conversation.id);
  let runs = [{ ...asDocument(conversation.turns), id: conversation.id, created: conversation.turns[0].created }, ...rest].slice(0, KEPT);
  while (runs.length && !store.write("moa.runs", runs)) runs = runs.slice(0, -1);
}

function forget(id) {
  store.write("moa.runs", store.read("moa.runs", []).filter((each) => each.id !== id));
}

// Votes are a person's work: runs make room for them. What this browser will not keep is held until the page is closed.
let unkept = [];
const votes = () => [...store.read("moa.votes", []), ...unkept];

// Whether the vote is kept.
function keepVote(vote) {
  const all = [...votes(), vote];
  let runs = store.read("moa.runs", []);
  while (!store.write("moa.votes", all)) {
    if (!runs.length) {
      unkept.push(vote);
      return false;
    }
    runs = runs.slice(0, -1);
    store.write("moa.runs", runs);
  }
  unkept = [];
  return true;
}

function forgetVotes() {
  if (!confirm(`Forget ${plural(votes().length, "vote")}? What is not saved to a file is lost.`)) return;
  unkept = [];
  store.write("moa.votes", []);
}

function openHistory(onOpen) {
  const list = $("history-list");
  const show = () => {
    const runs = store.read("moa.runs", []);
    list.replaceChildren(...runs.map((each) => item(each)));
    if (!runs.length) list.append(el("li", { class: "hint" }, "None yet."));
    $("history-clear").disabled = !runs.length;
    $("votes-save").disabled = $("votes-clear").disabled = !votes().length;
  };
  const item = (each) => {
    const [first] = each.turns;
    const about = `${new Date(each.created).toLocaleString()} · ${first.mixture ?? ""} · ${plural(each.turns.length, "question")}`;
    const open = button(el("strong", {}, first.question), () => { $("history").close(); onOpen(each); }, "open");
    open.append(el("span", { class: "hint" }, about));
    return el("li", {}, open, button("Forget", () => { forget(each.id); show(); }, "plain", { "aria-label": `Forget ${first.question}` }));
  };
  $("votes-save").onclick = saveVotes;
  $("history-close").onclick = () => $("history").close();
  $("history-clear").onclick = () => { store.write("moa.runs", []); show(); };
  $("votes-clear").onclick = () => { forgetVotes(); show(); };
  show();
  $("history").showModal();
}
