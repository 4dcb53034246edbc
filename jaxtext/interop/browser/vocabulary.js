"use strict";
// Text to ids and back.

class Vocabulary {
  /** @param {{kind: string, characters: string}} about As `Vocabulary.to_json`. */
  constructor({ kind, characters }) {
    this.ofBytes = kind === "bytes";
    this.characters = Array.from(characters); // by code points, not by UTF-16 units
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
  }

  /** The distinct characters of a text that the network does not know. */
  unknown(text) {
    if (this.ofBytes) return [];
    return [...new Set(text)].filter((character) => !this.ids.has(character));
  }

  /** The ids of a text whose characters are known. */
  encode(text) {
    if (this.ofBytes) return Array.from(new TextEncoder().encode(text));
    return Array.from(text, (character) => this.ids.get(character));
  }

  /**
   * A function from ids, one after the other, to text.
   *
   * A character of several bytes comes with the last of them. What is not UTF-8 becomes
   * U+FFFD.
   */
  decoder() {
    if (!this.ofBytes) return (id) => this.characters[id];
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => utf8.decode(Uint8Array.of(id), { stream: true });
  }
}
