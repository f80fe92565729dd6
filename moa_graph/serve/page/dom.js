// Elements, formatted numbers, and this browser's storage.

const $ = (id) => document.getElementById(id);

// An element: properties by name, those with a hyphen as attributes. Children are nodes or text.
// HTML text is not accepted.
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const button = (text, listener, kind = "plain", props = {}) =>
  el("button", { type: "button", class: kind, onclick: listener, ...props }, text);

const seconds = (value) =>
  value === null || value === undefined ? "" : value < 9.95 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;

const whole = (value) => Number(value || 0).toLocaleString("en");

function dollars(cost) {
  if (cost === null || cost === undefined) return "price unknown";
  if (cost === 0) return "free";
  return cost < 0.01 ? `$${cost.toPrecision(2)}` : `$${cost.toFixed(cost < 1 ? 3 : 2)}`;
}

const pause = () => new Promise((later) => setTimeout(later));

const SLICE = 8; // milliseconds of work before the browser has its turn

// Do `work` on every item in slices of time, until `current()` is false.
async function inSlices(items, work, current = () => true) {
  for (let from = performance.now(), at = 0; at < items.length && current(); at += 1) {
    work(items[at]);
    if (document.hidden || performance.now() - from < SLICE) continue; // timers of a hidden page are slow
    await pause();
    from = performance.now();
  }
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function say(text) {
  $("say").textContent = text;
}

// Call `work` soon, but so rarely that it takes at most a fifth of the time.
function seldom(work) {
  let timer = 0;
  let due = 0;
  const now = () => {
    timer = 0;
    const began = performance.now();
    work();
    due = performance.now() + Math.max(50, 4 * (performance.now() - began));
  };
  const later = () => { timer ||= setTimeout(now, Math.max(0, due - performance.now())); };
  later.cancel = () => { clearTimeout(timer); timer = 0; };
  return later;
}

// JSON in localStorage. Browsers may refuse it (private windows) and it may be full; the page works without it.
const store = {
  read(name, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(name)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  write(name, value) {
    return store.put(name, JSON.stringify(value));
  },
  put(name, text) {
    try {
      localStorage.setItem(name, text);
      return true;
    } catch {
      return false;
    }
  },
};

// What a first paint does not need is in two further scripts, with their hashes: history, exports, comparison and files in
// one, the reader of Markdown in the other. A report holds all of them.
const SCRIPTS = { more: "/*more*/", reader: "/*reader*/" };
const loading = {};
let policy = null;
function load(name) {
  if (!SCRIPTS[name]) return Promise.resolve();
  loading[name] ??= new Promise((done, failed) => {
    const address = `moa/${name}.js?${encodeURIComponent(SCRIPTS[name])}`;
    policy ??= globalThis.trustedTypes?.createPolicy("moa", { createScriptURL: (text) => text }) ?? { createScriptURL: (text) => text };
    const fail = () => failed(new Error("A part of this page could not be loaded. Save what you need, and reload the page."));
    document.head.append(el("script", { src: policy.createScriptURL(address), integrity: SCRIPTS[name], onload: done, onerror: fail }));
  });
  return loading[name];
}
const more = () => load("more");
const loadReader = () => load("reader");
const withMore = (work) => more().then(work).catch((error) => notice(error.message));

function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
