// Markdown as descriptions of elements, read by markdown-it. No HTML is made of it: every text ends in a text node, every
// link is http, https or mailto, and images become links, because loading one would notify its host.

const reader = markdownit({ breaks: true, linkify: true });
reader.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
reader.validateLink = (address) => /^(https?:|mailto:)/i.test(address);

const TASK = /^\[([ xX])\] +/;
const RTL = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
const SIDED = ["ul", "ol", "table", "blockquote"]; // `dir="auto"` skips children that have a direction of their own

// Formulas are kept as they are written: their backslashes are not Markdown's. Bounded repetitions, so that a text of
// nothing but signs takes no long time.
const FORMULA = /\\\([^]{1,2000}?\\\)|\\\[[^]{1,2000}?\\\]|\$\$[^$]{1,2000}\$\$|(?<![\w$\\])\$(?![\s$])[^$\n]{0,500}(?<![\s\\])\$(?![\w$])/y;
const LONGEST_FORMULA = 20_000;

reader.inline.ruler.before("escape", "formula", (state, silent) => {
  FORMULA.lastIndex = state.pos;
  const found = "\\$".includes(state.src[state.pos]) && FORMULA.exec(state.src);
  if (!found) return false;
  if (!silent) state.push("formula", "code", 0).content = found[0];
  state.pos += found[0].length;
  return true;
});

reader.block.ruler.before("fence", "formula", (state, line, end, silent) => {
  const from = state.bMarks[line] + state.tShift[line];
  const close = { "\\[": "\\]", $$: "$$" }[state.src.slice(from, from + 2)];
  const length = close ? state.src.slice(from + 2, from + LONGEST_FORMULA).indexOf(close) : -1;
  if (length < 0) return false;
  const to = from + length + 4;
  let last = line;
  while (last < end && state.eMarks[last] < to) last += 1;
  if (last === end || state.src.slice(to, state.eMarks[last]).trim()) return false;
  if (silent) return true;
  const token = state.push("formula_block", "code", 0);
  Object.assign(token, { content: state.getLines(line, last + 1, state.blkIndent, false).trim(), map: [line, last + 1] });
  state.line = last + 1;
  return true;
}, { alt: ["paragraph", "blockquote", "list"] });

// Models write <br> in the cells of tables.
reader.inline.ruler.before("autolink", "br", (state, silent) => {
  const found = /^<br ?\/?>/i.exec(state.src.slice(state.pos, state.pos + 6));
  if (!found) return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += found[0].length;
  return true;
});

// The blocks of a text, and where the last of them begins. `links` gets the targets that the text defines.
function describe(text, links) {
  const tokens = [];
  reader.block.parse(text.replaceAll("\0", "\ufffd"), reader, links, tokens);
  const nodes = blocksOf(tokens, links);
  links.level = levels(nodes.slice(0, -1), links) || links.level;
  levels(nodes.slice(-1), links);
  const first = nodes.length > 1 ? tokens.findLast((token) => token.level === 0 && token.nesting >= 0 && token.tag).map[0] : 0;
  let last = 0;
  for (let line = 0; line < first; line += 1) last = text.indexOf("\n", last) + 1;
  return { nodes, last };
}

// Give headings their levels: the first of a text is of level `top`, and none skips one. Returns the last.
function levels(nodes, links) {
  const { top = 4 } = links;
  let last = links.level || top - 1;
  for (const node of nodes) {
    if (!node.heading) continue;
    links.first ??= node.heading;
    last = Math.min(Math.max(top, top + node.heading - links.first), last + 1, 6);
    node.tag = `h${last}`;
  }
  return last < top ? 0 : last;
}

function blocksOf(tokens, links) {
  const root = { children: [] };
  const open = [root];
  for (const [at, token] of tokens.entries()) {
    if (token.nesting < 0) {
      open.pop();
      continue;
    }
    const parent = open.at(-1);
    if (token.type === "inline") {
      fill(parent, token.content, tokens[at - 2]?.type === "list_item_open" ? open.at(-2) : null, links);
      const sided = /\p{L}/u.exec(token.content);
      for (const { tag, props } of sided ? open : []) if (SIDED.includes(tag)) props.dir ??= RTL.test(sided[0]) ? "rtl" : "ltr";
      continue;
    }
    if (!token.tag) continue; // the definition of a link's target
    const node = blockOf(token);
    parent.children.push(token.type === "table_open" ? scrolling("Table", node) : node);
    if (token.nesting > 0) open.push(node);
  }
  return root.children;
}

function blockOf(token) {
  if (token.type === "fence" || token.type === "code_block") return codeBlock(token.info.trim().split(/\s/)[0].slice(0, 30), token.content.replace(/\n$/, ""));
  if (token.type === "formula_block") return scrolling("Formula", { tag: "code", props: { class: "math", dir: "ltr" }, children: [token.content] });
  const props = {};
  if (token.type === "heading_open" || token.type === "paragraph_open") props.dir = "auto";
  if (token.tag === "th" || token.tag === "td") Object.assign(props, { dir: "auto", class: /center|right/.exec(token.attrGet("style"))?.[0] ?? "" });
  if (token.type === "ordered_list_open" && token.attrGet("start")) props.start = Number(token.attrGet("start"));
  const heading = token.type === "heading_open" ? Number(token.tag[1]) : null;
  // The paragraphs of a dense list are no paragraphs. A heading inside of another block is below all others.
  return { tag: heading ? "h6" : token.hidden ? "span" : token.tag, heading, props, children: [] };
}

const scrolling = (name, node) => ({ tag: "div", props: { class: "scroll", tabIndex: 0, role: "group", ariaLabel: name }, children: [node] });

// The text of a block. That of an item which is a task begins with its box.
function fill(node, content, item, links) {
  const task = item && TASK.exec(content);
  const text = task ? content.slice(task[0].length) : content;
  if (task) {
    const done = task[1] !== " ";
    item.props.class = "task";
    item.children.unshift({ tag: "input", props: { type: "checkbox", disabled: true, checked: done, ariaLabel: done ? "done" : "to do" } });
  }
  node.key = `${Object.keys(links.references ?? {}).length} ${text}`;
  node.lazy = () => inline(reader.parseInline(text, links)[0].children);
}

const copyCode = ({ target }) => withMore(() => copy(target.closest("figure").querySelector("code").textContent, target));

function codeBlock(language, text) {
  const copying = { tag: "button", props: { type: "button", class: "plain", onclick: copyCode, ariaLabel: language ? `Copy the ${language} code` : "Copy the code" }, children: ["Copy"] };
  const caption = { tag: "figcaption", children: [{ tag: "span", children: [language] }, copying] };
  return { tag: "figure", props: { class: "code", dir: "ltr" }, children: [caption, { tag: "pre", children: [{ tag: "code", children: [text] }] }] };
}

const LINK = { target: "_blank", rel: "noopener noreferrer nofollow" };

function inline(tokens) {
  const open = [[]];
  for (const token of tokens) {
    const children = open.at(-1);
    if (token.nesting < 0) open.pop();
    else if (token.nesting > 0) {
      const node = { tag: token.tag === "s" ? "del" : token.tag, props: token.tag === "a" ? { ...LINK, href: token.attrGet("href") } : {}, children: [] };
      children.push(node);
      open.push(node.children);
    } else if (token.type === "code_inline") children.push({ tag: "code", props: { dir: "ltr" }, children: [token.content] });
    else if (token.type === "formula") children.push({ tag: "code", props: { class: "math", dir: "ltr" }, children: [token.content] });
    else if (token.type === "softbreak" || token.type === "hardbreak") children.push({ tag: "br" });
    else if (token.type === "image") children.push({ tag: "a", props: { ...LINK, href: token.attrGet("src") }, children: [token.content || token.attrGet("src")] });
    else children.push(token.content);
  }
  return open[0];
}
