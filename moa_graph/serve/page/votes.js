// Blind votes: cast, store and save them.

function vote(turn, draft) {
  const view = views.get(turn);
  turn.blind.best = draft ? `${draft.layer}:${draft.slot}` : null;
  const before = conversation.turns.slice(0, conversation.turns.indexOf(turn));
  const kept = keepVote(voteOf(turn, plainMessages(before, turn)));
  notice(kept ? "" : "This browser's storage is full or closed: the vote is held until the page is closed. Save it now: History, Save votes.");
  view.all();
  view.node.querySelector("h2").tabIndex = -1;
  view.node.querySelector("h2").focus();
  say([kept && "Vote kept.", draft && `${nameOf(draft)} wrote the best draft.`].filter(Boolean).join(" "));
  remember(conversation);
}

// One vote: the drafts in the order in which they were shown, and the index of the best, or null when none was.
function voteOf(turn, messages) {
  const last = turn.layers - 1;
  const shown = turn.blind.order[last].map((slot) => draftAt(turn, last, slot)).filter((draft) => choices(turn).includes(draft));
  const best = shown.findIndex((draft) => turn.blind.best === `${draft.layer}:${draft.slot}`);
  return {
    prompt: turn.question,
    drafts: shown.map(({ proposer, model, layer, slot, text }) => ({ proposer, model, layer, slot, text })),
    best: best < 0 ? null : best,
    messages,
    preset: turn.mixture,
    mixture: turn.record?.mixture ?? null,
    answer: turn.answer,
    date: new Date().toISOString(),
  };
}

// Votes are more important than runs, which are deleted for them. A vote that cannot be stored is held until the page
// is closed.
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

const saveVotes = () => download("moa-votes.jsonl", votes().map((vote) => `${JSON.stringify(vote)}\n`).join(""), "application/jsonl");
