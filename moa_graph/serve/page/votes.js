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
// A key each, so that a vote does not write the earlier ones again. Earlier versions of this page kept one list.
const voteKeys = () => Object.keys(localStorage).filter((key) => key.startsWith("moa.vote.")).sort();
const votes = () => [...store.read("moa.votes", []), ...voteKeys().map((key) => store.read(key, null)).filter(Boolean), ...unkept];
const voteCount = () => store.read("moa.votes", []).length + voteKeys().length + unkept.length;

// Whether the vote is kept.
function keepVote(vote) {
  unkept.push(vote);
  let list = runs();
  const before = list.length;
  while (unkept.length) {
    if (store.write(`moa.vote.${Date.now()}.${newId()}`, unkept[0])) unkept.shift();
    else if (list.length) list = dropLast(list);
    else break;
  }
  if (list.length < before) writeIndex(list);
  return !unkept.length;
}

function forgetVotes() {
  if (!confirm(`Forget ${plural(voteCount(), "vote")}? What is not saved to a file is lost.`)) return;
  unkept = [];
  for (const key of ["moa.votes", ...voteKeys()]) localStorage.removeItem(key);
}

const saveVotes = () => download("moa-votes.jsonl", votes().map((vote) => `${JSON.stringify(vote)}\n`).join(""), "application/jsonl");
