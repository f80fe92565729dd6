// The common words of two texts.

const MOST_WORDS = 2_000; // The comparison takes time in proportion to the product of both lengths.

const wordsOf = (text) => text.match(/\S+\s*/g) ?? [];
const plainWord = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || word.trim();

// Runs of words as [kind, text]: "both", only in the `draft`, or only in the `answer`. A longest common subsequence.
function differences(draft, answer) {
  const [a, b] = [wordsOf(draft).slice(0, MOST_WORDS), wordsOf(answer).slice(0, MOST_WORDS)];
  const [x, y] = [a.map(plainWord), b.map(plainWord)];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      longest[i * width + j] = x[i] === y[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const runs = [];
  const add = (kind, text) => (runs.at(-1)?.[0] === kind ? (runs.at(-1)[1] += text) : runs.push([kind, text]));
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && x[i] === y[j]) [i, j] = (add("both", b[j]), [i + 1, j + 1]);
    else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) add("draft", a[i++]);
    else add("answer", b[j++]);
  }
  return { runs, share: b.length ? longest[0] / b.length : 0, cut: Math.max(wordsOf(draft).length, wordsOf(answer).length) > MOST_WORDS };
}

// Put the comparison of the answer with each draft into `body`, one row each. A row takes milliseconds, so each is made in
// a task of its own.
async function compared(turn, body) {
  const hint = el("p", { class: "hint" }, "Underlined: only in the answer. Struck through: only in the draft. Shared words do not prove where a thought came from.");
  body.replaceChildren(hint);
  for (const draft of choices(turn)) {
    await pause();
    if (hint.parentNode !== body) return; // another comparison has begun
    const { runs, share, cut } = differences(draft.text, turn.answer);
    const marks = { both: "span", draft: "del", answer: "ins" };
    const text = el("p", { class: "diff", dir: "auto" }, ...runs.map(([kind, words]) => el(marks[kind], { class: kind }, words)));
    const about = `${Math.round(100 * share)}% of the answer's words, in their order${cut ? `; the first ${whole(MOST_WORDS)} words are compared` : ""}`;
    body.append(el("details", { class: hue(turn, draft) }, el("summary", {}, el("b", {}, nameOf(draft)), ` ${about}`), text));
  }
}
