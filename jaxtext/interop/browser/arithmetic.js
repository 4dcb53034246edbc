"use strict";
// What every cell is made of: products with a matrix, gates, layer normalisation.

/**
 * out = W x, four rows at a time, so that each entry of x is loaded once for four.
 *
 * Weights and results are float32. Sums are float64, the only type that JavaScript adds
 * in: rounding each of them (Math.fround) takes half as long again.
 */
function multiply({ rows, columns, data }, x, out) {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    let a = row * columns;
    let b = a + columns;
    let c = b + columns;
    let d = c + columns;
    let sumA = 0;
    let sumB = 0;
    let sumC = 0;
    let sumD = 0;
    for (let i = 0; i < columns; i++) {
      const factor = x[i];
      sumA += data[a++] * factor;
      sumB += data[b++] * factor;
      sumC += data[c++] * factor;
      sumD += data[d++] * factor;
    }
    out[row] = sumA;
    out[row + 1] = sumB;
    out[row + 2] = sumC;
    out[row + 3] = sumD;
  }
  for (; row < rows; row++) {
    let sum = 0;
    const begin = row * columns;
    for (let i = 0; i < columns; i++) sum += data[begin + i] * x[i];
    out[row] = sum;
  }
  return out;
}

/** out = a column of W: its product with the one-hot vector of a symbol. */
function column({ rows, columns, data }, index, out) {
  for (let row = 0; row < rows; row++) out[row] = data[row * columns + index];
  return out;
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** Layer normalisation of the entries from `begin` to `end`, in place, without a bias. */
function layerNorm(x, scale, begin = 0, end = x.length) {
  let mean = 0;
  for (let i = begin; i < end; i++) mean += x[i];
  mean /= end - begin;
  let variance = 0;
  for (let i = begin; i < end; i++) variance += (x[i] - mean) ** 2;
  const factor = 1 / Math.sqrt(variance / (end - begin) + 1e-5);
  for (let i = begin; i < end; i++) x[i] = scale[i] * (x[i] - mean) * factor;
}
