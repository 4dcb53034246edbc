"use strict";
// The page: reads the prompt, writes on in small pieces, and stays usable meanwhile.

const PIECE = 12; // milliseconds of work between two turns of the browser

const get = (id) => document.getElementById(id);
const about = JSON.parse(get("about").textContent);
const model = new LanguageModel(about.model, fromBase64(get("weights").textContent));
const vocabulary = new Vocabulary(about.vocabulary);
const noun = vocabulary.ofBytes ? "bytes" : "characters";

let logits = null; // of the next symbol
let decode = null;
let ready = false; // whether a prompt was read to its end
let stopped = true;

/** Lets the browser draw and react. A timer would wait for four milliseconds. */
function turn() {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}

/** Calls `work` until it says that there is no more, or until Stop is pressed. */
async function inPieces(work, afterEach) {
  for (let more = true; more && !stopped; ) {
    const until = performance.now() + PIECE;
    do more = work();
    while (more && performance.now() < until);
    afterEach();
    await turn();
  }
}

async function read(ids) {
  let done = 0;
  ready = false;
  model.reset();
  await inPieces(
    () => {
      logits = model.step(ids[done++]);
      return done < ids.length;
    },
    () => (get("status").textContent = `Reading: ${counted(done)} of ${counted(ids.length)}`),
  );
  ready = done === ids.length;
}

async function write(length) {
  const begin = performance.now();
  let done = 0;
  let piece = "";
  await inPieces(
    () => {
      const id = draw(logits, get("temperature").valueAsNumber);
      piece += decode(id);
      logits = model.step(id);
      return ++done < length;
    },
    () => {
      append(piece);
      piece = "";
      const speed = done / ((performance.now() - begin) / 1000);
      get("status").textContent =
        `${counted(done)} ${noun}, ${counted(Math.round(speed))} ${noun} a second`;
    },
  );
}

function append(piece) {
  const text = get("text");
  const atEnd = text.scrollTop + text.clientHeight > text.scrollHeight - 40;
  get("written").append(piece);
  if (atEnd) text.scrollTop = text.scrollHeight;
}

async function busy(work) {
  const length = get("length").valueAsNumber;
  stopped = false;
  get("write").disabled = get("continue").disabled = true;
  get("stop").disabled = false;
  await work();
  if (!stopped) await write(length);
  stopped = true;
  get("write").disabled = false;
  get("continue").disabled = !ready;
  get("stop").disabled = true;
}

function begin() {
  const prompt = get("prompt").value || about.prompt;
  const unknown = vocabulary.unknown(prompt);
  get("problem").hidden = unknown.length === 0;
  if (unknown.length) {
    const named = unknown.map((character) => `“${character}”`).join(", ");
    get("problem").textContent = `The network has never seen ${named}. Leave it out.`;
    return;
  }
  get("given").textContent = get("prompt").value;
  get("written").replaceChildren();
  decode = vocabulary.decoder();
  busy(() => read(vocabulary.encode(prompt)));
}

const counted = (number) => number.toLocaleString("en");

for (const [label, value] of Object.entries(about.details)) {
  for (const [name, content] of [["dt", label], ["dd", value]]) {
    const entry = Object.assign(document.createElement(name), { textContent: content });
    get("details").append(entry);
  }
}
get("prompt").placeholder =
  about.prompt === "\n" ? "Begin a text; without one, it begins a new line" : about.prompt;
get("temperature").addEventListener("input", () => {
  get("shown-temperature").value = get("temperature").valueAsNumber.toFixed(2);
});
get("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stopped) begin();
});
get("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) get("form").requestSubmit();
});
get("continue").addEventListener("click", () => {
  if (get("form").reportValidity()) busy(() => {});
});
get("stop").addEventListener("click", () => (stopped = true));
