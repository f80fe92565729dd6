// Files of a question: chosen, dropped or pasted. They are kept in IndexedDB, because localStorage is too small.

const MOST_FILES = 8;
const MOST_BYTES = 14_000_000; // in total: the server accepts requests of 20 MB, and base64 makes files a third larger
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const texts = new Map(); // data URLs by the files' ids

function database() {
  return new Promise((done, failed) => {
    const request = indexedDB.open("moa", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("files");
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

// The result of one request to the database; null if the browser refuses one (private windows) or it is full.
async function stored(mode, work) {
  try {
    const db = await database();
    return await new Promise((done, failed) => {
      const request = work(db.transaction("files", mode).objectStore("files"));
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(request.error);
    });
  } catch {
    return null;
  }
}

const address = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => failed(reader.error);
  reader.readAsDataURL(file);
});

// Whether a file is text: valid UTF-8 without control bytes.
async function isText(file) {
  try {
    return !new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()).includes("\0");
  } catch {
    return false;
  }
}

// Add files to those of the next question. Returns an error message for a file that cannot be sent.
async function attach(files, attached) {
  for (const file of files) {
    const kind = IMAGES.includes(file.type) ? "image" : file.type === "application/pdf" ? "pdf" : (await isText(file)) ? "text" : null;
    if (!kind) return `${file.name} is neither an image (PNG, JPEG, GIF, WebP), a PDF, nor UTF-8 text.`;
    if (attached.length >= MOST_FILES) return `A question can have ${MOST_FILES} files.`;
    if (attached.reduce((sum, each) => sum + each.size, file.size) > MOST_BYTES) return `${file.name} is too large: the files of a question may have ${whole(MOST_BYTES)} bytes together.`;
    const entry = { id: newId(), name: file.name || `pasted.${file.type.split("/")[1]}`, kind, type: kind === "text" ? "text/plain" : file.type, size: file.size };
    texts.set(entry.id, await address(file));
    await stored("readwrite", (all) => all.put(texts.get(entry.id), entry.id));
    attached.push(entry);
  }
  return "";
}

// The content of a question with files, in the form of the server. A file that was deleted is replaced by its name.
async function contentOf(turn) {
  const blocks = [{ type: "text", text: turn.question }];
  for (const file of turn.files) {
    const url = texts.get(file.id) ?? (await stored("readonly", (all) => all.get(file.id)));
    if (!url) blocks.push({ type: "text", text: `[the file ${file.name} is not kept any longer]` });
    else if (file.kind === "image") blocks.push({ type: "image_url", image_url: { url } });
    else blocks.push({ type: "file", base64: url.slice(url.indexOf(",") + 1), mime_type: file.type, filename: file.name });
    if (url) texts.set(file.id, url);
  }
  return blocks;
}

// The files of a question as a list: images small, others by name; `onRemove` makes each removable.
function filesView(files, onRemove = null) {
  const list = el("ul", { class: "files", "aria-label": "Files" });
  for (const file of files) {
    const item = el("li", {}, el("span", {}, file.name), el("span", { class: "hint" }, `${whole(Math.ceil(file.size / 1024))} kB`));
    if (file.kind === "image") shownImage(file, item);
    if (onRemove) item.append(button("Remove", () => onRemove(file), "plain", { "aria-label": `Remove ${file.name}` }));
    list.append(item);
  }
  return list;
}

async function shownImage(file, item) {
  const url = texts.get(file.id) ?? (await stored("readonly", (all) => all.get(file.id)));
  if (url?.startsWith("data:image/")) item.prepend(el("img", { src: url, alt: "" }));
}

async function takeFiles(files) {
  if (!files.length) return;
  notice(await attach(files, attached));
  $("files").value = "";
  showAttached();
  $("question").focus();
}

function showFiles() {
  $("attached").replaceChildren(filesView(attached, (file) => {
    attached = attached.filter((each) => each !== file);
    showAttached();
    $("attach").focus();
    pruneFiles();
  }));
}

// Delete files that no run refers to.
async function pruneFiles() {
  const current = [...conversation.turns.flatMap((turn) => turn.files ?? []), ...attached].map(({ id }) => id);
  const named = new Set([...runs().flatMap((each) => each.files ?? []), ...current]);
  for (const id of (await stored("readonly", (all) => all.getAllKeys())) ?? [])
    if (!named.has(id)) await stored("readwrite", (all) => all.delete(id));
}
