// Markdown to elements. Every text ends in a text node and every link is http, https or mailto, so everything that
// a model writes stays text. Images become links, because loading one would notify its host.

const PART = 60_000; // Characters that are formatted at once; the rest follows on request, so that the page never stalls.

// Each takes time in proportion to the line: no two adjacent repetitions may match the same text.
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]{0,30})/;
const HEADING = /^ {0,3}(#{1,6})(?=\s)/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const TABLE_RULE = /^ {0,3}\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;
const FORMULA = /^ {0,3}(\\\[|\$\$)/;
const TASK = /^\[([ xX])\] +/;
const RTL = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

// The direction of a text: that of its first letter. `dir="auto"` skips children that have a direction of their own.
const dirOf = (text) => (RTL.test(/\p{L}/u.exec(text)?.[0] ?? "") ? "rtl" : "ltr");

function markdown(text) {
  const view = growing();
  view.update(text);
  return view.node;
}

// A growing text. Only its last block is rendered again, so the total time is proportional to its length.
function growing() {
  const node = el("div", { class: "md" });
  let source = "";
  let done = 0; // characters whose blocks are final
  let tail = []; // the nodes of the last block
  let limit = PART;
  let carry = ""; // the fence of a code block that a part cuts in two

  function update(text) {
    if (!text.startsWith(source.slice(0, done))) {
      node.replaceChildren();
      [done, tail, limit, carry] = [0, [], PART, ""];
    }
    source = text;
    for (const old of tail) old.remove();
    const cut = text.length <= limit ? text.length : Math.max(text.lastIndexOf("\n", limit - 1) + 1, 0);
    const to = cut > done ? cut : limit;
    const lines = to > done ? (carry + text.slice(done, to)).split("\n") : [];
    const starts = [];
    const nodes = [];
    for (let at = 0; at < lines.length; ) {
      const [made, end] = block(lines, at, 0);
      if (made) starts.push(at);
      if (made) nodes.push(made);
      at = end;
    }
    const line = starts.at(-1) ?? 0;
    // A block that alone fills the part is final: otherwise it would be cut off again and again.
    const alone = starts.length < 2 && text.length > limit;
    if (alone && lines.length) {
      const fence = FENCE.exec(lines[line]);
      carry = fence ? `${fence[1]}${fence[2]}\n` : "";
      done = limit = to;
    } else if (line) {
      done += lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0) - carry.length;
      carry = "";
    }
    tail = alone ? [] : nodes.slice(-1);
    node.append(...nodes);
    if (text.length > to) {
      const more = button(`Show more (${whole(to)} of ${whole(text.length)} characters shown)`, () => { limit = done + PART; update(source); }, "plain more-text");
      tail.push(more);
      node.append(more);
    }
  }
  return { node, update };
}

function blocks(lines, depth) {
  const nodes = [];
  for (let at = 0; at < lines.length; ) {
    const [node, end] = block(lines, at, depth);
    if (node) nodes.push(node);
    at = end;
  }
  return nodes;
}

// The block that begins at a line, or null for an empty line, and the line after it.
function block(lines, at, depth) {
  const line = lines[at];
  let found;
  if (!line.trim()) return [null, at + 1];
  if ((found = FENCE.exec(line))) {
    const end = run(lines, at + 1, (each) => !(each.trim().startsWith(found[1]) && !each.trim().replaceAll(found[1][0], "")));
    return [codeBlock(found[2], lines.slice(at + 1, end).join("\n")), end + 1];
  }
  if ((found = FORMULA.exec(line))) {
    const close = found[1] === "$$" ? "$$" : "\\]";
    const first = line.indexOf(found[1]) + 2;
    const end = line.includes(close, first) ? at : run(lines, at + 1, (each) => !each.includes(close));
    const text = lines.slice(at, end + 1).join("\n").trim();
    if (end < lines.length && text.endsWith(close)) return [el("div", { class: "scroll", tabIndex: 0, role: "group", ariaLabel: "Formula" }, el("code", { class: "math", dir: "ltr" }, text)), end + 1];
  }
  if ((found = HEADING.exec(line))) return [el(`h${Math.min(6, found[1].length + 3)}`, { dir: "auto" }, ...inline(title(line.slice(found[0].length)))), at + 1];
  if (RULE.test(line)) return [el("hr"), at + 1];
  if (QUOTE.test(line) && depth < 6) {
    const end = run(lines, at, (each) => QUOTE.test(each));
    const inner = lines.slice(at, end).map((each) => each.replace(QUOTE, ""));
    return [el("blockquote", { dir: dirOf(inner.join("\n")) }, ...blocks(inner, depth + 1)), end];
  }
  if (ITEM.test(line) && depth < 6) return listOf(lines, at, depth);
  if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) {
    const end = run(lines, at + 2, (each) => each.trim() && each.includes("|"));
    return [table(line, lines[at + 1], lines.slice(at + 2, end)), end];
  }
  const ends = (each) => FENCE.test(each) || HEADING.test(each) || RULE.test(each) || QUOTE.test(each) || ITEM.test(each) || FORMULA.test(each);
  const end = run(lines, at + 1, (each) => each.trim() && !ends(each));
  return [el("p", { dir: "auto" }, ...inline(lines.slice(at, end).map((each) => each.trim()).join("\n"))), end];
}

function codeBlock(language, text) {
  const copying = button("Copy", (event) => copy(text, event.target), "plain", { ariaLabel: language ? `Copy the ${language} code` : "Copy the code" });
  return el("figure", { class: "code", dir: "ltr" }, el("figcaption", {}, el("span", {}, language), copying), el("pre", {}, el("code", {}, text)));
}

// A heading's text without the #s that may close it.
function title(text) {
  const all = text.trim();
  let end = all.length;
  while (all[end - 1] === "#") end -= 1;
  return end && all[end - 1].trim() ? all : all.slice(0, end).trim();
}

// Where the run of lines that `belongs` ends.
function run(lines, from, belongs) {
  let end = from;
  while (end < lines.length && belongs(lines[end])) end += 1;
  return end;
}

function listOf(lines, from, depth) {
  const first = ITEM.exec(lines[from]);
  const ordered = /\d/.test(first[2]);
  const list = el(ordered ? "ol" : "ul", ordered && first[2] !== "1." ? { start: parseInt(first[2], 10) } : {});
  let at = from;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length > first[1].length + 1 || item[1].length < first[1].length || /\d/.test(item[2]) !== ordered) break;
    const inner = item[1].length + item[2].length + 1;
    const task = TASK.exec(item[4]);
    const own = [task ? item[4].slice(task[0].length) : item[4]];
    at += 1;
    while (at < lines.length) {
      const line = lines[at];
      const indent = line.length - line.trimStart().length;
      const next = lines[at + 1] ?? "";
      if (!line.trim()) {
        // A blank line belongs to the item only when what follows is indented under it.
        if (!next.trim() || next.length - next.trimStart().length < Math.min(inner, first[1].length + 2)) break;
        own.push("");
      } else if (indent >= Math.min(inner, first[1].length + 2)) {
        own.push(line.slice(Math.min(indent, inner)));
      } else if (ITEM.test(line) || HEADING.test(line) || FENCE.test(line) || QUOTE.test(line) || RULE.test(line)) {
        break;
      } else {
        own.push(line);
      }
      at += 1;
    }
    const parts = blocks(own, depth + 1);
    if (parts[0]?.tagName === "P") parts.splice(0, 1, ...parts[0].childNodes);
    const ticked = task && task[1] !== " ";
    const box = task && el("input", { type: "checkbox", disabled: true, checked: ticked, ariaLabel: ticked ? "done" : "to do" });
    list.append(el("li", { class: task ? "task" : "" }, box, ...parts));
    // Items may stand apart by one blank line.
    if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  list.dir = dirOf(list.textContent);
  return [list, Math.max(at, from + 1)];
}

// The cells of a row: bars divide it, and a backslash keeps a bar.
function cellsOf(row) {
  const cells = row.trim().replace(/^\|/, "").split(/(?<!\\)\|/);
  if (cells.length > 1 && !cells.at(-1).trim()) cells.pop();
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(head, rule, rows) {
  const sides = cellsOf(rule).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
  const line = (kind) => (row) => el("tr", {}, ...cellsOf(row).map((cell, index) => el(kind, { dir: "auto", class: sides[index] ?? "" }, ...inline(cell))));
  const node = el("table", {}, el("thead", {}, line("th")(head)), el("tbody", {}, ...rows.map(line("td"))));
  node.dir = dirOf(node.textContent);
  return el("div", { class: "scroll", tabIndex: 0, role: "group", ariaLabel: "Table" }, node);
}

// Bounded repetitions everywhere: a text of nothing but brackets must not take for ever.
const INLINE = new RegExp(
  [
    // Formulas are kept as they are written: their backslashes are not Markdown's.
    String.raw`(?<math>\\\([^]{1,2000}?\\\)|\\\[[^]{1,2000}?\\\]|\$\$[^$]{1,2000}\$\$|(?<![\w$\\])\$(?![\s$])[^$\n]{0,500}(?<![\s\\])\$(?![\w$]))`,
    "\\\\(?<escaped>[\\\\`*_{}\\[\\]()#+.!~|>-])",
    "(?<ticks>`{1,3})(?<code>[^`][^]{0,2000}?)\\k<ticks>(?!`)",
    "!?\\[(?<label>[^\\[\\]\\n]{0,500})\\]\\((?<target>[^\\s()]{1,2000})(?: +\"[^\"\\n]{0,200}\")?\\)",
    "(?<url>https?://[^\\s<>()\"'`*]{1,2000}[^\\s<>()\"'`*.,;:!?])",
    "\\*\\*(?<strong>[^\\s*](?:[^]{0,2000}?[^\\s])??)\\*\\*",
    "(?<![\\w_])__(?<strong2>[^\\s_](?:[^]{0,2000}?[^\\s])??)__(?![\\w_])",
    "~~(?<gone>[^\\s~][^]{0,500}?)~~",
    "\\*(?<em>[^\\s*](?:[^*\\n]{0,1000}?[^\\s*])?)\\*",
    "(?<![\\w_])_(?<em2>[^\\s_](?:[^_\\n]{0,1000}?[^\\s_])?)_(?![\\w_])",
    "(?<br>\\n)",
  ].join("|"),
  "g",
);

function inline(text, depth = 0) {
  if (depth > 4) return [text];
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const g = match.groups;
    const deeper = (inner) => inline(inner, depth + 1);
    if (g.math) nodes.push(el("code", { class: "math", dir: "ltr" }, g.math));
    else if (g.escaped) nodes.push(g.escaped);
    else if (g.code) nodes.push(el("code", { dir: "ltr" }, g.code.trim() || g.code));
    else if (g.target) nodes.push(link(g.target, g.label ? deeper(g.label) : [g.target], match[0]));
    else if (g.url) nodes.push(link(g.url, [g.url], g.url));
    else if (g.strong ?? g.strong2) nodes.push(el("strong", {}, ...deeper(g.strong ?? g.strong2)));
    else if (g.gone) nodes.push(el("del", {}, ...deeper(g.gone)));
    else if (g.em ?? g.em2) nodes.push(el("em", {}, ...deeper(g.em ?? g.em2)));
    else nodes.push(el("br"));
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

function link(target, children, source) {
  if (!/^(https?:|mailto:)/i.test(target)) return source;
  return el("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}
