// Markdown to elements. Every text ends in a text node and every link is http, https or mailto, so whatever a model
// writes, it stays text. Images become links: showing one would tell its host that somebody reads this.

const LONGEST = 60_000; // Beyond, a text is shown as it is: nobody reads it formatted, and it must not stall the page.
const SHOWN = 200_000;

// Each takes time in proportion to the line, whatever the line: no two repetitions may share a text between them.
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]{0,30})/;
const HEADING = /^ {0,3}(#{1,6})(?=\s)/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const TABLE_RULE = /^ {0,3}\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;

function markdown(text) {
  const root = el("div", { class: "md" });
  if (text.length > LONGEST) {
    root.className = "raw";
    root.append(text.slice(0, SHOWN));
    if (text.length > SHOWN) root.append(el("p", { class: "hint" }, `Shown in part; all ${whole(text.length)} characters are in the export.`));
    return root;
  }
  root.append(...blocks(text.replace(/\t/g, "    ").split(/\r?\n/), 0));
  return root;
}

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (!line.trim()) {
      at += 1;
    } else if ((found = FENCE.exec(line))) {
      let end = at + 1;
      while (end < lines.length && !(lines[end].trim().startsWith(found[1]) && !lines[end].trim().replaceAll(found[1][0], ""))) end += 1;
      nodes.push(el("pre", {}, el("code", {}, lines.slice(at + 1, end).join("\n"))));
      at = end + 1;
    } else if ((found = HEADING.exec(line))) {
      nodes.push(el(`h${Math.min(6, found[1].length + 3)}`, {}, ...inline(title(line.slice(found[0].length)))));
      at += 1;
    } else if (RULE.test(line)) {
      nodes.push(el("hr"));
      at += 1;
    } else if (QUOTE.test(line) && depth < 6) {
      const end = run(lines, at, (each) => QUOTE.test(each));
      nodes.push(el("blockquote", {}, ...blocks(lines.slice(at, end).map((each) => each.replace(QUOTE, "")), depth + 1)));
      at = end;
    } else if (ITEM.test(line) && depth < 6) {
      const [list, end] = listOf(lines, at, depth);
      nodes.push(list);
      at = end;
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) {
      const end = run(lines, at + 2, (each) => each.includes("|"));
      nodes.push(table(line, lines.slice(at + 2, end)));
      at = end;
    } else {
      const end = run(lines, at + 1, (each) => each.trim() && !FENCE.test(each) && !HEADING.test(each) && !RULE.test(each) && !QUOTE.test(each) && !ITEM.test(each));
      nodes.push(el("p", {}, ...inline(lines.slice(at, end).map((each) => each.trim()).join("\n"))));
      at = end;
    }
  }
  return nodes;
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
    const own = [item[4]];
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
    list.append(el("li", {}, ...parts));
    // Items may stand apart by one blank line.
    if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  return [list, Math.max(at, from + 1)];
}

function table(head, rows) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const line = (kind) => (row) => el("tr", {}, ...cells(row).map((cell) => el(kind, {}, ...inline(cell))));
  return el("table", {}, el("thead", {}, line("th")(head)), el("tbody", {}, ...rows.map(line("td"))));
}

// Bounded repetitions everywhere: a text of nothing but brackets must not take for ever.
const INLINE = new RegExp(
  [
    "\\\\(?<escaped>[\\\\`*_{}\\[\\]()#+.!~|>-])",
    "(?<ticks>`{1,3})(?<code>[^`][^]{0,2000}?)\\k<ticks>(?!`)",
    "!?\\[(?<label>[^\\[\\]\\n]{0,500})\\]\\((?<target>[^\\s()]{1,2000})(?: +\"[^\"\\n]{0,200}\")?\\)",
    "(?<url>https?://[^\\s<>()\"'`*]{1,2000}[^\\s<>()\"'`*.,;:!?])",
    "\\*\\*(?<strong>[^\\s*](?:[^]{0,2000}?[^\\s])?)\\*\\*",
    "(?<![\\w_])__(?<strong2>[^\\s_](?:[^]{0,2000}?[^\\s])?)__(?![\\w_])",
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
    if (g.escaped) nodes.push(g.escaped);
    else if (g.code) nodes.push(el("code", {}, g.code.trim() || g.code));
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
