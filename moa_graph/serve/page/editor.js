// The mixture editor: a form, and what the server says of it after every change.

const TEXTS = ["name", "description", "system", "combine"];
const NUMBERS = ["layers", "deadline", "run_deadline", "max_cost", "max_calls", "quorum", "grace", "min_drafts"];
const OPTIONS = [["temperature", "Temperature", { min: 0, max: 2, step: "any" }], ["max_tokens", "Longest answer, in tokens", { min: 1, step: 1 }], ["samples", "Samples", { min: 1, max: 64, step: 1 }]];
const BLANK = { name: "mine", layers: 2, combine: "synthesize", base: "", proposers: [{}, {}], aggregator: {} };
let choices = null;
let rows = []; // of proposers
let aggregator = null;
let base = "";
let answer = null; // what the server said of the form
let asked = 0;

const number = (text) => (text.trim() === "" ? null : Number(text));

// The fields of one model. `like` names the served model whose host and parameters it keeps.
function modelRow(given, kind, onRemove) {
  const inputs = {};
  const field = (name, label, node) => el("label", {}, label, (inputs[name] = node));
  const title = el("legend");
  const models = field("model", "Model", el("input", { value: given.model ?? "", autocomplete: "off", spellcheck: false, placeholder: "provider:model" }));
  inputs.model.setAttribute("list", "models");
  const numbers = OPTIONS.filter(([name]) => kind === "Proposer" || name !== "samples")
    .map(([name, label, limits]) => field(name, label, el("input", { type: "number", ...limits, value: given[name] ?? "" })));
  const named = kind === "Proposer" ? [field("name", "Name of the card", el("input", { value: given.name ?? "", maxLength: 60, autocomplete: "off" }))] : [];
  const system = field("system", "System prompt", el("textarea", { rows: 2, dir: "auto", value: given.system ?? "" }));
  const problem = el("p", { class: "error hint" });
  const remove = onRemove && el("div", { class: "row" }, button("Remove", () => onRemove(row)));
  const kept = given.like && el("p", { class: "hint" }, `Host and parameters as in ${given.like.replace(/\/\w+$/, "")}.`);
  const node = el("fieldset", { class: "model-row" }, title, el("div", { class: "pair" }, models, ...named), el("div", { class: "grid" }, ...numbers), system, kept, problem, remove);
  const read = () => ({ ...(given.like ? { like: given.like } : {}), model: inputs.model.value.trim(), system: inputs.system.value,
    ...(inputs.name ? { name: inputs.name.value.trim() } : {}),
    ...Object.fromEntries(OPTIONS.filter(([name]) => inputs[name]).map(([name]) => [name, number(inputs[name].value)])) });
  const row = { node, read, focus: () => inputs.model.focus(),
    called(text) { title.textContent = text; remove?.firstChild.setAttribute("aria-label", `Remove ${text}`); },
    wrong(text) { problem.textContent = text ?? ""; if (text) inputs.model.setAttribute("aria-invalid", "true"); else inputs.model.removeAttribute("aria-invalid"); } };
  return row;
}

function placeRows() {
  $("proposers").replaceChildren(...rows.map((row, at) => { row.called(`Proposer ${at + 1}`); row.node.className = `model-row hue-${at % 8}`; return row.node; }));
}

function addRow(given) {
  const row = modelRow(given, "Proposer", (gone) => {
    rows = rows.filter((each) => each !== gone);
    placeRows();
    changed();
    $("add").focus();
  });
  rows.push(row);
  placeRows();
  return row;
}

function fill(form) {
  base = form.base ?? "";
  $("base").value = base;
  for (const name of [...TEXTS, ...NUMBERS]) $(name).value = form[name] ?? "";
  $("combine").value = form.combine ?? "synthesize";
  rows = [];
  form.proposers.forEach(addRow);
  aggregator = modelRow(form.aggregator ?? {}, "Aggregator");
  aggregator.called("Aggregator");
  $("aggregator").replaceChildren(aggregator.node);
}

function read() {
  const texts = TEXTS.map((name) => [name, $(name).value.trim()]);
  const numbers = NUMBERS.map((name) => [name, number($(name).value)]);
  return { ...Object.fromEntries([...texts, ...numbers]), base, proposers: rows.map((row) => row.read()), aggregator: aggregator.read() };
}

async function post(path, form) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(form) });
  const found = await response.json();
  if (!response.ok) throw new Error(found.error?.message ?? `The server answered ${response.status}.`);
  return found;
}

// Says what the server found: problems at their places, calls and cost, and the file.
function show(found) {
  answer = found;
  $("form").removeAttribute("aria-busy");
  const at = (place) => found.problems.filter(({ where }) => where === place).map(({ text }) => text).join(" ");
  rows.forEach((row, index) => row.wrong(at(`proposers.${index}`)));
  aggregator.wrong(at("aggregator"));
  $("problems").replaceChildren(...found.problems.map(({ where, text }) => el("li", {}, where ? `${placeName(where)}: ${text}` : text)));
  const ok = !found.problems.length;
  const calls = found.least === found.calls ? found.calls : `${found.least} to ${found.calls}`;
  const facts = ok ? [["calls", calls], ["tokens, about", whole(found.tokens)], ["expected cost", found.money]] : [];
  $("totals").replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, `${value}`))));
  $("yaml").textContent = found.yaml ?? "";
  $("try").disabled = $("save").disabled = !ok;
  $("next").textContent = ok ? `Then: moa presets add ${fileName()}, and moa ask --preset ${$("name").value.trim() || "mine"} "..."` : "";
}

const placeName = (where) => (where === "aggregator" ? "Aggregator" : `Proposer ${Number(where.split(".")[1]) + 1}`);
const fileName = () => `${$("name").value.trim().replace(/[^\w.-]+/g, "-") || "mine"}.yaml`;

async function check() {
  const mine = ++asked;
  $("form").setAttribute("aria-busy", "true");
  const form = read();
  store.write("moa.editor", form);
  try {
    const found = await post("editor/check", form);
    if (mine === asked) show(found);
  } catch (error) {
    if (mine === asked) show({ problems: [{ where: "", text: inWords(error) }] });
  }
}

const inWords = (error) => (error instanceof TypeError ? "The server does not answer. Start `moa ui` again and reload this page." : error.message);

let timer = 0;
function changed() {
  asked += 1; // an answer that is on its way is about another form
  $("try").disabled = $("save").disabled = true;
  $("form").setAttribute("aria-busy", "true");
  clearTimeout(timer);
  timer = setTimeout(check, 250);
}

async function tryIt() {
  try {
    const found = await post("editor/add", read());
    show(found);
    if (!found.name) return;
    store.write("moa.mixture", found.name);
    location.href = "../moa";
  } catch (error) {
    show({ problems: [{ where: "", text: inWords(error) }] });
  }
}

async function begin() {
  const response = await fetch("editor/choices");
  choices = await response.json();
  if (!response.ok) throw new Error(choices.error?.message ?? `The server answered ${response.status}.`);
  $("models").replaceChildren(...choices.models.map((name) => el("option", { value: name })));
  $("base").replaceChildren(el("option", { value: "" }, "An empty mixture"), ...choices.mixtures.map(({ base: name }) => el("option", { value: name }, name)));
  $("combine").replaceChildren(...choices.combiners.map((name) => el("option", { value: name }, name)));
  $("layers").max = choices.max_layers;
  const last = store.read("moa.editor", null);
  const known = (name) => !name || choices.mixtures.some((each) => each.base === name);
  fill(last?.proposers && known(last.base) ? last : copyOf(choices.mixtures[0]) ?? BLANK);
  check();
}

// A served mixture under another name: the served one stays as it is.
const copyOf = (form) => form && { ...form, name: `my-${form.name}` };

document.documentElement.dataset.theme = store.read("moa.theme", "auto");
$("form").addEventListener("input", changed);
$("form").addEventListener("submit", (event) => event.preventDefault());
$("base").onchange = () => { fill($("base").value ? copyOf(choices.mixtures.find((each) => each.base === $("base").value)) : BLANK); check(); };
$("add").onclick = () => { addRow({}).focus(); changed(); };
$("try").onclick = tryIt;
$("save").onclick = () => download(fileName(), answer.yaml, "application/yaml");
begin().catch((error) => { $("problems").replaceChildren(el("li", {}, inWords(error))); });
