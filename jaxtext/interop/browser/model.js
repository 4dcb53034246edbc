"use strict";
// The language model: symbols in, logits of the next symbol out; and drawing from them.

class LanguageModel {
  /**
   * @param {object} about What `jaxtext/interop/html.py` wrote into the page.
   * @param {Uint8Array} bytes All weights.
   */
  constructor(about, bytes) {
    const unpacked = (part) => {
      if (part.offset !== undefined) return unpack(bytes, part);
      if (Array.isArray(part)) return part.map(unpacked);
      if (typeof part !== "object") return part;
      const inner = Object.entries(part).map(([name, x]) => [name, unpacked(x)]);
      return Object.fromEntries(inner);
    };
    const { vocabSize, frequent, cell, embedding, output, bias } = unpacked(about);
    this.cell = build(cell);
    this.embedding = embedding ?? null;
    this.output = output ?? embedding; // tied
    this.tied = output === undefined;
    this.bias = bias.data;
    this.logits = new Float32Array(vocabSize);
    this.z = this.logits;
    if (frequent.length) {
      this.z = new Float32Array(vocabSize + 1);
      this.frequent = frequent.length;
      this.places = placesOf(frequent, vocabSize);
    }
  }

  /** Forgets what was read. */
  reset() {
    this.cell.reset();
  }

  /** Reads a symbol, and returns the logits of the next, which the next call overwrites. */
  step(symbol) {
    const h = this.cell.step(this.vectorOf(symbol), symbol);
    multiply(this.output, h, this.z);
    for (let j = 0; j < this.z.length; j++) this.z[j] += this.bias[j];
    if (this.places) adaptive(this.z, this.frequent, this.places, this.logits);
    return this.logits;
  }

  /** The symbol's row of the embedding; null if there is none. */
  vectorOf(symbol) {
    if (!this.embedding) return null;
    const row = this.tied && this.places ? this.places[symbol] : symbol;
    const { columns, data } = this.embedding;
    return data.subarray(row * columns, (row + 1) * columns);
  }
}

/** The column of each symbol: the frequent ones, their class of rare ones, the rare ones. */
function placesOf(frequent, vocabSize) {
  const places = new Int32Array(vocabSize).fill(-1);
  frequent.forEach((symbol, place) => (places[symbol] = place));
  let next = frequent.length + 1;
  for (let symbol = 0; symbol < vocabSize; symbol++) {
    if (places[symbol] < 0) places[symbol] = next++;
  }
  return places;
}

/** Log-probabilities of an adaptive softmax with two levels, in the order of symbols. */
function adaptive(z, frequent, places, out) {
  const ofFirst = logSumExp(z, 0, frequent + 1);
  const ofRare = logSumExp(z, frequent + 1, z.length);
  const rare = z[frequent] - ofFirst - ofRare;
  for (let symbol = 0; symbol < out.length; symbol++) {
    const place = places[symbol];
    out[symbol] = z[place] + (place < frequent ? -ofFirst : rare);
  }
}

function logSumExp(z, begin, end) {
  let most = -Infinity;
  for (let j = begin; j < end; j++) most = Math.max(most, z[j]);
  let sum = 0;
  for (let j = begin; j < end; j++) sum += Math.exp(z[j] - most);
  return most + Math.log(sum);
}

/**
 * Draws a symbol from softmax(logits / temperature); at 0 the likeliest, of equal ones
 * the first.
 *
 * @param {function(): number} random Uniform in [0, 1).
 */
function draw(logits, temperature, random = Math.random) {
  let best = 0;
  for (let j = 1; j < logits.length; j++) if (logits[j] > logits[best]) best = j;
  if (temperature === 0) return best;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let j = 0; j < logits.length; j++) {
    weights[j] = Math.exp((logits[j] - logits[best]) / temperature);
    total += weights[j];
  }
  let left = random() * total;
  for (let j = 0; j < weights.length; j++) {
    left -= weights[j];
    if (left < 0) return j;
  }
  return best; // rounding left a last bit
}
