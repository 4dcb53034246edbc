"use strict";
// The recurrent cells. Each equation is in the docstring of the cell in jaxtext/cells/.
//
// Kernels have a row for each of their outputs: W here is the transpose of W there. So
// `multiply(kernel, x, z)` is z = x W, and the gates follow one another in z.

const MATRICES = new Set(["kernel", "recurrent_kernel", "projection"]);

/**
 * A cell that is not made of others.
 *
 * What it makes of its input (`inputs`) is apart from how that changes its state
 * (`update`). A symbol always makes the same of it, which is kept.
 */
class Cell {
  constructor({ hidden, weights }) {
    this.hidden = hidden;
    for (const [name, array] of Object.entries(weights)) {
      this[name] = array.rows === 1 && !MATRICES.has(name) ? array.data : array;
    }
    this.z = new Float32Array(this.kernel.rows);
    this.u = new Float32Array(this.recurrent_kernel ? this.recurrent_kernel.rows : 0);
    this.known = new Map();
    this.h = new Float32Array(this.projection ? this.projection.rows : hidden);
    this.state = { h: this.h };
  }

  /** Gives the cell a memory beside its hidden state, as the LSTM has. */
  remember() {
    this.c = new Float32Array(this.hidden);
    this.state = { c: this.c, h: this.h };
  }

  reset() {
    for (const part of Object.values(this.state)) part.fill(0);
  }

  /**
   * Takes one step.
   *
   * @param {?Float32Array} x The input; null if the cell reads symbols.
   * @param {?number} symbol The symbol that x stands for, if it is always the same x.
   * @returns {Float32Array} The output, which the next step overwrites.
   */
  step(x, symbol = null) {
    if (symbol === null) return this.update(this.inputs(this.product(x, null, this.z)));
    if (!this.known.has(symbol)) {
      const z = this.product(x, symbol, new Float32Array(this.kernel.rows));
      this.known.set(symbol, this.inputs(z));
    }
    return this.update(this.known.get(symbol));
  }

  product(x, symbol, out) {
    return x ? multiply(this.kernel, x, out) : column(this.kernel, symbol, out);
  }

  /** What is done to the product of input and kernel, in place. */
  inputs(z) {
    for (let j = 0; j < z.length; j++) z[j] += this.bias[j];
    return z;
  }
}

class Rnn extends Cell {
  update(z) {
    const { h, u } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < h.length; j++) h[j] = Math.tanh(z[j] + u[j]);
    return h;
  }
}

class LayerNormRnn extends Cell {
  inputs(z) {
    return z; // the bias comes after the layer norm
  }

  update(z) {
    const { h, u } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < u.length; j++) u[j] += z[j];
    layerNorm(u, this.scale);
    for (let j = 0; j < h.length; j++) h[j] = Math.tanh(u[j] + this.bias[j]);
    return h;
  }
}

class Lstm extends Cell {
  constructor(about) {
    super(about);
    this.remember();
  }

  update(z) {
    const { c, h, u, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < n; j++) {
      const i = sigmoid(z[j] + u[j]);
      const f = sigmoid(z[n + j] + u[n + j]);
      const g = Math.tanh(z[2 * n + j] + u[2 * n + j]);
      const o = sigmoid(z[3 * n + j] + u[3 * n + j]);
      c[j] = f * c[j] + i * g;
      h[j] = o * Math.tanh(c[j]);
    }
    return h;
  }
}

class LayerNormLstm extends Lstm {
  constructor(about) {
    super(about);
    this.read = new Float32Array(this.hidden);
  }

  inputs(z) {
    layerNorm(z, this.input_scale);
    return super.inputs(z);
  }

  update(z) {
    const { c, h, u, read, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    layerNorm(u, this.recurrent_scale);
    for (let j = 0; j < n; j++) {
      const i = sigmoid(z[j] + u[j]);
      const f = sigmoid(z[n + j] + u[n + j]);
      const g = Math.tanh(z[2 * n + j] + u[2 * n + j]);
      c[j] = f * c[j] + i * g;
    }
    read.set(c);
    layerNorm(read, this.cell_scale);
    for (let j = 0; j < n; j++) {
      const o = sigmoid(z[3 * n + j] + u[3 * n + j]);
      h[j] = o * Math.tanh(read[j] + this.cell_bias[j]);
    }
    return h;
  }
}

class CoupledLstm extends Lstm {
  update(z) {
    const { c, h, u, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < n; j++) {
      const i = sigmoid(z[j] + u[j]);
      const g = Math.tanh(z[n + j] + u[n + j]);
      const o = sigmoid(z[2 * n + j] + u[2 * n + j]);
      c[j] = (1 - i) * c[j] + i * g;
      h[j] = o * Math.tanh(c[j]);
    }
    return h;
  }
}

class PeepholeLstm extends Lstm {
  update(z) {
    const { c, h, u, peephole: p, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < n; j++) {
      const i = sigmoid(z[j] + u[j] + p[j] * c[j]);
      const f = sigmoid(z[n + j] + u[n + j] + p[n + j] * c[j]);
      const g = Math.tanh(z[2 * n + j] + u[2 * n + j]);
      c[j] = f * c[j] + i * g;
      const o = sigmoid(z[3 * n + j] + u[3 * n + j] + p[2 * n + j] * c[j]);
      h[j] = o * Math.tanh(c[j]);
    }
    return h;
  }
}

class ProjectedLstm extends Lstm {
  constructor(about) {
    super(about);
    this.read = new Float32Array(this.hidden);
  }

  update(z) {
    const { c, u, read, hidden: n } = this;
    multiply(this.recurrent_kernel, this.h, u);
    for (let j = 0; j < n; j++) {
      const i = sigmoid(z[j] + u[j]);
      const f = sigmoid(z[n + j] + u[n + j]);
      const g = Math.tanh(z[2 * n + j] + u[2 * n + j]);
      const o = sigmoid(z[3 * n + j] + u[3 * n + j]);
      c[j] = f * c[j] + i * g;
      read[j] = o * Math.tanh(c[j]);
    }
    return multiply(this.projection, read, this.h);
  }
}

class Gru extends Cell {
  update(z) {
    const { h, u, recurrent_bias: b, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    for (let j = 0; j < n; j++) {
      const r = sigmoid(z[j] + u[j]);
      const keep = sigmoid(z[n + j] + u[n + j]);
      const candidate = Math.tanh(z[2 * n + j] + r * (u[2 * n + j] + b[j]));
      h[j] = (1 - keep) * candidate + keep * h[j];
    }
    return h;
  }
}

class LayerNormGru extends Gru {
  inputs(z) {
    layerNorm(z, this.input_scale, 0, 2 * this.hidden);
    layerNorm(z, this.input_scale, 2 * this.hidden, 3 * this.hidden);
    return super.inputs(z);
  }

  update(z) {
    const { h, u, recurrent_scale: scale, recurrent_bias: b, hidden: n } = this;
    multiply(this.recurrent_kernel, h, u);
    layerNorm(u, scale, 0, 2 * n);
    layerNorm(u, scale, 2 * n, 3 * n);
    for (let j = 0; j < n; j++) {
      const r = sigmoid(z[j] + u[j]);
      const keep = sigmoid(z[n + j] + u[n + j]);
      const candidate = Math.tanh(z[2 * n + j] + r * (u[2 * n + j] + b[j]));
      h[j] = (1 - keep) * candidate + keep * h[j];
    }
    return h;
  }
}

/** Some rows of a matrix, as a matrix that shares its memory. */
function rowsOf({ columns, data }, begin, end) {
  return { rows: end - begin, columns, data: data.subarray(begin * columns, end * columns) };
}

/** A cell whose candidate sees the state through a gate that has to be known first. */
class GatedFirst extends Cell {
  constructor(about, gates) {
    super(about);
    const n = this.hidden;
    this.ofGates = rowsOf(this.recurrent_kernel, 0, gates * n);
    this.ofCandidate = rowsOf(this.recurrent_kernel, gates * n, (gates + 1) * n);
    this.seen = new Float32Array(n);
    this.v = new Float32Array(n);
  }
}

class GruResetBefore extends GatedFirst {
  constructor(about) {
    super(about, 2);
  }

  update(z) {
    const { h, u, v, seen, hidden: n } = this;
    multiply(this.ofGates, h, u);
    for (let j = 0; j < n; j++) seen[j] = sigmoid(z[j] + u[j]) * h[j];
    multiply(this.ofCandidate, seen, v);
    for (let j = 0; j < n; j++) {
      const keep = sigmoid(z[n + j] + u[n + j]);
      h[j] = (1 - keep) * Math.tanh(z[2 * n + j] + v[j]) + keep * h[j];
    }
    return h;
  }
}

class MinimalGatedUnit extends GatedFirst {
  constructor(about) {
    super(about, 1);
  }

  update(z) {
    const { h, u, v, seen, hidden: n } = this;
    multiply(this.ofGates, h, u);
    for (let j = 0; j < n; j++) {
      u[j] = sigmoid(z[j] + u[j]);
      seen[j] = u[j] * h[j];
    }
    multiply(this.ofCandidate, seen, v);
    for (let j = 0; j < n; j++) {
      h[j] = (1 - u[j]) * h[j] + u[j] * Math.tanh(z[n + j] + v[j]);
    }
    return h;
  }
}

class MinGru extends Cell {
  update(z) {
    const { h, hidden: n } = this;
    for (let j = 0; j < n; j++) {
      const write = sigmoid(z[j]);
      h[j] = (1 - write) * h[j] + write * z[n + j];
    }
    return h;
  }
}

class MinLstm extends Cell {
  update(z) {
    const { h, hidden: n } = this;
    for (let j = 0; j < n; j++) {
      // f / (f + i) from the logarithm of f / i: both gates may be as good as zero.
      const keep = sigmoid(logSigmoid(z[j]) - logSigmoid(z[n + j]));
      h[j] = keep * h[j] + (1 - keep) * z[2 * n + j];
    }
    return h;
  }
}

class ParaGru extends Cell {
  update(z) {
    const { h, recurrent_diagonal: a, hidden: n } = this;
    for (let j = 0; j < n; j++) {
      const r = sigmoid(z[j] + a[j] * h[j]);
      const keep = sigmoid(z[n + j] + a[n + j] * h[j]);
      const candidate = Math.tanh(z[2 * n + j] + a[2 * n + j] * r * h[j]);
      h[j] = (1 - keep) * candidate + keep * h[j];
    }
    return h;
  }
}

class ParaLstm extends Cell {
  constructor(about) {
    super(about);
    this.remember();
  }

  update(z) {
    const { c, h, recurrent_diagonal: a, peephole: p, hidden: n } = this;
    for (let j = 0; j < n; j++) {
      const f = sigmoid(z[j] + a[j] * h[j] + p[j] * c[j]);
      const g = Math.tanh(z[n + j] + a[n + j] * h[j]);
      c[j] = f * c[j] + (1 - f) * g;
      const o = sigmoid(z[2 * n + j] + a[2 * n + j] * h[j] + p[n + j] * c[j]);
      h[j] = o * Math.tanh(c[j]);
    }
    return h;
  }
}

function logSigmoid(x) {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

/** Cells side by side that read the same input. Their outputs follow one another. */
class Heads {
  constructor({ cells }) {
    this.cells = cells.map(build);
    this.y = new Float32Array(cells.length * cells[0].hidden);
  }

  reset() {
    for (const cell of this.cells) cell.reset();
  }

  step(x, symbol = null) {
    this.cells.forEach((cell, n) => this.y.set(cell.step(x, symbol), n * cell.hidden));
    return this.y;
  }
}

/** Layers, each reading the output of the one below. */
class Stack {
  constructor({ cells }) {
    this.cells = cells.map(build);
  }

  reset() {
    for (const cell of this.cells) cell.reset();
  }

  step(x, symbol = null) {
    for (const cell of this.cells) {
      x = cell.step(x, symbol);
      symbol = null; // what a cell puts out depends on more than the symbol
    }
    return x;
  }
}

/** Adds the input of a cell to its output. */
class Residual {
  constructor({ cell }) {
    this.cell = build(cell);
    this.y = null;
  }

  reset() {
    this.cell.reset();
  }

  step(x, symbol = null) {
    const added = this.cell.step(x, symbol);
    this.y ??= new Float32Array(added.length);
    for (let j = 0; j < added.length; j++) this.y[j] = x[j] + added[j];
    return this.y;
  }
}

/** Keeps a share of each unit's state: the mean over the noise that it was trained with. */
class Zoneout {
  constructor({ cell, rates }) {
    this.cell = build(cell);
    this.rates = rates;
    this.before = {};
    for (const part of Object.keys(rates)) this.before[part] = this.cell.state[part].slice();
  }

  reset() {
    this.cell.reset();
  }

  step(x, symbol = null) {
    const { state } = this.cell;
    for (const [part, before] of Object.entries(this.before)) before.set(state[part]);
    this.cell.step(x, symbol);
    for (const [part, before] of Object.entries(this.before)) {
      const rate = this.rates[part];
      const after = state[part];
      for (let j = 0; j < after.length; j++) {
        after[j] = rate * before[j] + (1 - rate) * after[j];
      }
    }
    return state.h;
  }
}

const KINDS = {
  rnn: Rnn,
  lstm: Lstm,
  gru: Gru,
  gru_reset_before: GruResetBefore,
  layer_norm_rnn: LayerNormRnn,
  layer_norm_lstm: LayerNormLstm,
  layer_norm_gru: LayerNormGru,
  coupled_lstm: CoupledLstm,
  peephole_lstm: PeepholeLstm,
  projected_lstm: ProjectedLstm,
  minimal_gated_unit: MinimalGatedUnit,
  min_gru: MinGru,
  min_lstm: MinLstm,
  para_gru: ParaGru,
  para_lstm: ParaLstm,
  heads: Heads,
  stack: Stack,
  residual: Residual,
  zoneout: Zoneout,
};

/** The cell of a description, its weights unpacked. */
function build(about) {
  return new KINDS[about.kind](about);
}
