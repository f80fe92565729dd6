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
