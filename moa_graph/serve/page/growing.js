// A growing text as elements. A text is described first, as a tree; only what differs from the elements on the page is
// made, in slices of time, so that no text stops the page.

const PART = 60_000; // characters that are shown at once; the rest follows on request
const GLANCE = 6_000; // characters of a closed card, which shows fewer
const NODES = 200; // of one slice: to lay them out takes longer than to make them
const STEP = 20_000; // characters that are read in one task: a table of all that are shown takes longer than a frame

// A description is a text, or {tag, props, children}. With a `key`, the children come from `lazy()` when they are needed,
// and descriptions with equal keys have equal children.

const sameProps = (a, b) => Object.keys(a).length === Object.keys(b).length && Object.keys(a).every((name) => a[name] === b[name]);

function place(node, at, made) {
  if (at < node.childNodes.length) node.childNodes[at].replaceWith(made);
  else node.append(made);
}

// Turn the children of `node`, which `have` describes, into `want`. Each step leaves `have` true. What is too many goes
// first, so that it is not laid out again.
function* patch(node, have, want) {
  for (; have.length > want.length; have.pop()) node.lastChild.remove();
  for (const [at, wanted] of want.entries()) {
    const old = have[at];
    if (old === wanted || old?.of === wanted) continue;
    if (typeof wanted === "string") {
      if (typeof old !== "string") place(node, at, document.createTextNode(wanted));
      else if (wanted.startsWith(old)) node.childNodes[at].appendData(wanted.slice(old.length));
      else node.childNodes[at].data = wanted;
      have[at] = wanted;
      continue;
    }
    yield;
    const { tag, props = {}, key } = wanted;
    if (old?.tag !== tag || !sameProps(old.props, props)) {
      place(node, at, el(tag, props));
      have[at] = { tag, props, children: [] };
    }
    if (key === undefined || have[at].key !== key) {
      have[at].key = undefined;
      yield* patch(node.childNodes[at], have[at].children, wanted.lazy?.() ?? wanted.children ?? []);
    }
    Object.assign(have[at], { key, of: wanted });
  }
}

// The text so far as it is written, until the Markdown reader is loaded.
const asWritten = (text) => ({ nodes: text ? [{ tag: "p", props: { class: "raw", dir: "auto" }, children: [text] }] : [], last: 0 });

// A view of a growing text. `update(text, over, glance)` shows it; `over` says that it is complete, and `glance` that its
// beginning is enough. `inFull()` shows all of it at once, for print. `top` is the level of its first heading.
function growing(top = 4) {
  const node = el("div", { class: "md" });
  const have = [];
  let want = [];
  let source = "";
  let complete = false;
  let brief = false;
  let limit = PART;
  let reach = STEP; // characters of the next reading; with each it reaches further
  let unread = false; // whether another reading follows
  let firm = 0; // blocks that cannot change any more
  let done = 0; // the characters of these
  let links = { top }; // the level of its first heading, and what the reader keeps of its beginning
  let steps = null;
  let timer = 0;
  let frame = 0;

  function update(text, over = false, glance = false) {
    text = text.replace(/\r\n?/g, "\n");
    if (!text.startsWith(source.slice(0, done))) [limit, reach, links, firm, done] = [PART, STEP, { top }, 0, 0];
    [source, complete, brief] = [text, over, glance];
    // A complete text that is new is read in a task of its own: several that open at once would stop the page.
    if (over && !have.length) later(read);
    else read();
  }

  function read() {
    hold();
    // Links may come before the definition of their target, so a complete text with definitions is read again.
    // So is the beginning when fewer characters than before are shown.
    if ((complete && links.references) || (brief && done > GLANCE)) [firm, done, links.level] = [0, 0, 0];
    const most = brief ? GLANCE : Math.min(limit, done + reach);
    const to = source.length > most ? partEnd(source, done, most) : source.length;
    unread = source.length > to && most < limit && !brief;
    reach += STEP;
    const part = source.slice(done, to);
    const describing = typeof describe === "function" ? describe : asWritten;
    const { nodes, last } = describing(part, links);
    // The targets of links are often defined at the end, behind blocks that are firm already.
    if (complete && firm && links.references && !unread) return read();
    want = [...want.slice(0, firm), ...nodes];
    if (last) [firm, done] = [want.length - 1, done + last];
    if (source.length > to && !unread && !brief) want.push({ tag: "button", props: { type: "button", class: "plain more-text", onclick: further }, children: [`Show more (${whole(to)} of ${whole(source.length)} characters shown)`] });
    if (describing === asWritten && source) loadReader().then(() => later(read), () => {});
    steps = patch(node, have, want);
    slice();
  }

  function further() {
    limit += PART;
    read();
  }

  function inFull() {
    limit = reach = Infinity;
    brief = false;
    read();
    while (!steps.next().done);
  }

  // One slice a frame. A page in the background has no frames.
  function slice() {
    const end = performance.now() + SLICE;
    for (let made = 0; !steps.next().done; made += 1) {
      if (made < NODES && performance.now() < end) continue;
      return later(slice);
    }
    if (unread) later(read);
    else node.removeAttribute("aria-busy");
  }

  function hold() {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  }

  function later(work) {
    hold();
    node.setAttribute("aria-busy", "true");
    if (document.hidden) timer = setTimeout(work);
    else frame = requestAnimationFrame(() => { timer = setTimeout(work); });
  }

  return { node, update, inFull };
}

// Where a part ends: behind a line, and never within a character.
function partEnd(text, from, limit) {
  const line = text.lastIndexOf("\n", limit - 1) + 1;
  if (line > from) return line;
  return limit - (text.codePointAt(limit - 1) > 0xffff ? 1 : 0);
}

function markdown(text) {
  const view = growing();
  view.update(text, true);
  return view.node;
}
