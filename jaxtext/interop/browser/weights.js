"use strict";
// The weights of the network: base64 in the page, Float32Arrays once they are unpacked.

/** The bytes that a text in base64 stands for. */
function fromBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The number that the 16 bits of an IEEE 754 half stand for; none is infinite here. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * One array of weights, as float32 in the order of its rows.
 *
 * An array of `int8` has a scale for each row before its entries: w = scale * q.
 *
 * @param {Uint8Array} bytes All weights. The entries of an array begin at a multiple of
 *   four, and are little-endian, as typed arrays are in every browser.
 * @param {{type: string, shape: number[], offset: number}} about Where the array is.
 * @returns {{rows: number, columns: number, data: Float32Array}} A vector has one row.
 */
function unpack(bytes, { type, shape, offset }) {
  const columns = shape[shape.length - 1];
  const rows = shape.length > 1 ? shape[0] : 1;
  const size = rows * columns;
  const begin = bytes.byteOffset + offset;
  const data = new Float32Array(size);
  if (type === "float32") {
    data.set(new Float32Array(bytes.buffer, begin, size));
  } else if (type === "float16") {
    const halves = new Uint16Array(bytes.buffer, begin, size);
    for (let i = 0; i < size; i++) data[i] = fromHalf(halves[i]);
  } else {
    const scales = new Float32Array(bytes.buffer, begin, rows);
    const entries = new Int8Array(bytes.buffer, begin + 4 * rows, size);
    for (let i = 0; i < size; i++) data[i] = scales[(i / columns) | 0] * entries[i];
  }
  return { rows, columns, data };
}
