"use strict";
// The page: it has the whole text, and asks the server to write on from any place in it.

const get = (id) => document.getElementById(id);
const tab = crypto.randomUUID();
const fields = [...document.querySelectorAll("[data-setting]")];

let about = null; // of the network
let symbols = []; // of the text: {id, nats, likeliest, given}
let cells = []; // elements, one for each character; a character may have several bytes
let before = []; // the texts that undo comes back to
let writtenFrom = null; // where the last writing began
let turn = 0; // so that writing again writes another text
let running = null; // what stops the writing
let last = Promise.resolve(); // the writing, until it is over

// The text as elements ---------------------------------------------------------------

/** How many bytes a character has whose first byte this is. */
function lengthFrom(byte) {
  if (byte < 0xc2 || byte > 0xf4) return 1;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/** The characters of some symbols; of bytes that are none, U+FFFD. */
function decoded(ids) {
  if (!about.bytes) return ids.map((id) => about.characters[id]).join("");
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(ids));
}

function show(cell) {
  const { from, to } = cell;
  const its = symbols.slice(from, to);
  const text = decoded(its.map((symbol) => symbol.id));
  const nats = its.reduce((sum, symbol) => sum + symbol.nats, 0);
  const shade = Math.min(Math.floor(nats / about.step), about.shades - 1);
  const isOdd = about.bytes && text.includes("\ufffd");
  cell.className = `c${shade}`;
  cell.classList.toggle("given", its.some((symbol) => symbol.given));
  cell.classList.toggle("line", text === "\n");
  cell.classList.toggle("odd", isOdd);
  const hex = (symbol) => `\\x${symbol.id.toString(16).padStart(2, "0")}`;
  cell.textContent = isOdd ? its.map(hex).join("") : text;
}

/** Shows the symbols that are not shown yet. */
function showMore() {
  const text = get("text");
  const atEnd = text.scrollTop + text.clientHeight > text.scrollHeight - 40;
  const added = document.createDocumentFragment();
  for (let at = cells.at(-1)?.to ?? 0; at < symbols.length; at++) {
    const last = cells.at(-1);
    const isMore = symbols[at].id >= 0x80 && symbols[at].id < 0xc0;
    if (about.bytes && isMore && last && last.to - last.from < last.size) {
      last.to++;
      show(last);
      continue;
    }
    const cell = document.createElement("b");
    cell.from = at;
    cell.to = at + 1;
    cell.size = about.bytes ? lengthFrom(symbols[at].id) : 1;
    cell.at = cells.length;
    show(cell);
    cells.push(cell);
    added.append(cell);
  }
  text.append(added);
  if (atEnd) text.scrollTop = text.scrollHeight;
}

/** Shows another text. What both begin with stays where it is. */
function become(other) {
  close();
  let same = 0;
  while (same < symbols.length && symbols[same] === other[same]) same++;
  symbols = other;
  while (cells.length && cells.at(-1).to > same) cells.pop().remove();
  showMore();
}

// Writing ------------------------------------------------------------------------------

function settings() {
  const found = fields.map((field) => {
    if (field.type === "checkbox") return [field.dataset.setting, field.checked];
    return [field.dataset.setting, field.value === "" ? null : field.valueAsNumber];
  });
  return Object.fromEntries(found);
}

/** The lines of JSON of an answer, as they come. */
async function* lines(answer) {
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}

/** Goes on from the first `keep` symbols with what is given, and lets the network write. */
async function go(keep, given) {
  if (!get("form").reportValidity()) return false;
  const earlier = symbols;
  const begin = performance.now();
  let written = 0;
  let answered = false;
  let wrong = "";
  tell("Reading");
  running = new AbortController();
  enable();
  try {
    const answer = await fetch("/write", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        tab, given, turn: turn++, settings: settings(),
        ids: symbols.slice(0, keep).map((symbol) => symbol.id),
      }),
      signal: running.signal,
    });
    if (!answer.ok) throw new Error((await answer.json()).problem);
    answered = true;
    before.push({ symbols: earlier, writtenFrom });
    become(symbols.slice(0, keep));
    get("text").scrollTop = get("text").scrollHeight;
    writtenFrom = keep;
    for await (const piece of lines(answer)) {
      for (const [id, nats, likeliest, isGiven] of piece) {
        symbols.push({ id, nats, likeliest, given: isGiven });
        if (isGiven) writtenFrom = symbols.length;
        else written++;
      }
      showMore();
      const speed = written / ((performance.now() - begin) / 1000);
      tell(`${summary()}, ${counted(Math.round(speed))} a second`);
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      const isGone = error instanceof TypeError; // as fetch calls it
      wrong = isGone ? "The server does not answer. Is talk.py still running?" : error.message;
    }
  }
  running = null;
  tell(answered ? summary() : "Nothing was written.");
  get("problem").textContent = wrong;
  get("problem").hidden = wrong === "";
  enable();
  return answered;
}

/** The same from any place, even while something is written. */
function goFrom(keep, given) {
  running?.abort();
  last = last.then(() => go(keep, given));
}

function summary() {
  if (!symbols.length) return "Type a beginning, or let the network begin.";
  const nats = symbols.reduce((sum, symbol) => sum + symbol.nats, 0) / symbols.length;
  const unit = about.bytes ? "byte" : "character";
  const what = `${counted(symbols.length)} ${unit}${symbols.length === 1 ? "" : "s"}`;
  return `${what}, ${(nats / Math.LN2).toFixed(2)} bits each`;
}

async function submit() {
  if (running) return;
  const given = get("given").value;
  last = go(symbols.length, given);
  if ((await last) && get("given").value === given) get("given").value = "";
}

function undo() {
  const last = before.pop();
  become(last.symbols);
  writtenFrom = last.writtenFrom;
  tell(summary());
  enable();
}

function clear() {
  before.push({ symbols, writtenFrom });
  become([]);
  writtenFrom = null;
  tell(summary());
  enable();
}

function enable() {
  const isBusy = running !== null;
  get("write").disabled = isBusy;
  get("stop").disabled = !isBusy;
  get("undo").disabled = isBusy || before.length === 0;
  get("again").disabled = isBusy || writtenFrom === null;
  get("clear").disabled = isBusy || symbols.length === 0;
  get("copy").disabled = symbols.length === 0;
}

function tell(text) {
  get("problem").hidden = true;
  get("status").textContent = text;
}

// What the network expected of a character -----------------------------------------------

let chosen = null; // the cell that is looked at
let isPinned = false; // it stays when the pointer leaves
let timer = 0;

const percent = (p) => `${(100 * p).toFixed(1)} %`;

function row(kind, ...texts) {
  const made = document.createElement(kind);
  made.className = "row";
  for (const text of texts) {
    made.append(Object.assign(document.createElement("span"), { textContent: text }));
  }
  return made;
}

function alternativesAt(at, where) {
  const { id, nats, likeliest } = symbols[at];
  const bits = nats / Math.LN2;
  const title = `${about.names[id]}${where}: ${nats.toFixed(2)} nats, ${bits.toFixed(2)} bits`;
  const heading = Object.assign(document.createElement("h2"), { textContent: title });
  const head = row("div", "likeliest", "", "network", "with settings");
  head.classList.add("head");
  const rows = likeliest.map(([other, p, drawn]) => {
    const made = row("button", about.names[other], "", percent(p), percent(drawn));
    made.type = "button";
    made.title = `Go on with ${about.names[other]}`;
    made.children[1].className = "bar";
    made.children[1].style.width = `${100 * p}%`;
    made.classList.toggle("taken", other === id);
    made.classList.toggle("never", drawn === 0);
    made.addEventListener("click", () => {
      close();
      goFrom(at, [other]);
    });
    return made;
  });
  return [heading, head, ...rows];
}

function look(cell, pinned) {
  clearTimeout(timer);
  chosen?.classList.remove("chosen");
  chosen = cell;
  isPinned = pinned;
  cell.classList.add("chosen");
  const box = get("alternatives");
  const size = cell.to - cell.from;
  const parts = [];
  for (let at = cell.from; at < cell.to; at++) {
    const where = size > 1 ? `, byte ${at - cell.from + 1} of ${size}` : "";
    parts.push(...alternativesAt(at, where));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
  const rect = cell.getClientRects()[0];
  const left = Math.min(rect.left - 12, innerWidth - box.offsetWidth - 8);
  const fits = rect.bottom + box.offsetHeight < innerHeight - 8;
  const top = fits ? rect.bottom : rect.top - box.offsetHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${Math.max(8, top)}px`;
}

function close() {
  clearTimeout(timer);
  chosen?.classList.remove("chosen");
  chosen = null;
  isPinned = false;
  get("alternatives").hidden = true;
}

/** Looks at another cell soon, unless the pointer goes on to what is shown already. */
function soon(work) {
  clearTimeout(timer);
  if (!isPinned) timer = setTimeout(work, chosen ? 160 : 60);
}

function move(event) {
  const last = cells.length - 1;
  const at = chosen ? chosen.at : last + 1;
  const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
  if (event.key === "ArrowDown" && chosen) {
    get("alternatives").querySelector("button").focus();
  } else if (event.key in moves && last >= 0) {
    const cell = cells[Math.max(0, Math.min(moves[event.key], last))];
    cell.scrollIntoView({ block: "nearest" });
    look(cell, true);
  } else return;
  event.preventDefault();
}

function moveInAlternatives(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...get("alternatives").querySelectorAll("button")];
  const at = rows.indexOf(document.activeElement) + step;
  if (at < 0) get("text").focus();
  else rows[Math.min(at, rows.length - 1)].focus();
  event.preventDefault();
}

// Begin ------------------------------------------------------------------------------------

const counted = (number) => number.toLocaleString("en");

function listen() {
  const text = get("text");
  const isCell = (element) => element.parentElement === text;
  text.addEventListener("pointerover", ({ target, pointerType }) => {
    if (pointerType === "mouse" && isCell(target)) soon(() => target.isConnected && look(target, false));
  });
  text.addEventListener("pointerleave", () => soon(close));
  get("alternatives").addEventListener("pointerenter", () => clearTimeout(timer));
  get("alternatives").addEventListener("pointerleave", () => soon(close));
  text.addEventListener("click", ({ target }) => {
    if (isCell(target)) look(target, true);
    else close();
  });
  text.addEventListener("scroll", () => chosen && !isPinned && close());
  text.addEventListener("keydown", move);
  get("alternatives").addEventListener("keydown", moveInAlternatives);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (chosen) {
      if (get("alternatives").contains(document.activeElement)) text.focus();
      close();
    } else running?.abort();
  });
  get("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  get("given").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    get("form").requestSubmit();
  });
  get("given").addEventListener("focus", close);
  get("stop").addEventListener("click", () => running?.abort());
  get("undo").addEventListener("click", undo);
  get("again").addEventListener("click", () => goFrom(writtenFrom, []));
  get("clear").addEventListener("click", clear);
  get("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(decoded(symbols.map((symbol) => symbol.id)));
    tell(`Copied: ${summary()}`);
  });
  get("colours").addEventListener("change", ({ target }) => {
    document.body.classList.toggle("plain", !target.checked);
  });
}

async function start() {
  about = await (await fetch("/about")).json();
  about.characters = [...about.characters];
  document.title = get("title").textContent = about.title;
  for (let shade = 0; shade < about.shades; shade++) {
    const more = shade === about.shades - 1 ? "+" : "";
    const textContent = `${shade * about.step}${more}`;
    get("legend").append(Object.assign(document.createElement("b"), { className: `c${shade}`, textContent }));
  }
  if (about.bytes) get("unit").textContent = "Bytes";
  get("of-bytes").hidden = !about.bytes;
  for (const field of fields) {
    const value = about.settings[field.dataset.setting];
    if (field.type === "checkbox") field.checked = value;
    else field.value = value ?? "";
  }
  const temperature = document.querySelector("[data-setting=temperature]");
  const showTemperature = () => (get("temperature").value = temperature.valueAsNumber.toFixed(2));
  temperature.addEventListener("input", showTemperature);
  showTemperature();
  listen();
}

start();
