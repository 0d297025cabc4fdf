/* From a drawing to a digit like those of the data. Nothing here touches the page.

   The data were bitmaps of 32 by 32, each digit stretched to the full height and to about 20 columns
   in the middle; a pixel of theirs counts the ink in a block of 4 by 4, from 0 to 16. A bitmap here is
   a Uint8Array of 1,024, row after row, 1 for ink.

   VAE_LIVE.drawn.stroke(bitmap, from, to)   inks a round pen's way; places are [column, row]
   VAE_LIVE.drawn.fitted(bitmap)             → a bitmap stretched and centred as the data are
   VAE_LIVE.drawn.digit(bitmap)              → 64 pixels of it from 0 to 1, blank if nothing is drawn
   VAE_LIVE.drawn.text(bitmap), bitmap(text)   as hexadecimal digits, and back; any text is taken */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [SIDE, BLOCK] = [32, 4];
  const PEN = 2.2; // radius: the data's lines are about four and a half wide
  const COLUMNS = 20; // that a digit of the data is wide
  const WIDEN = 1.5; // at most this much more than it is heightened: a 1 stays a line

  const inside = (value) => value >= 0 && value < SIDE;

  function stroke(bitmap, [fromColumn, fromRow], [toColumn, toRow]) {
    const steps = Math.ceil(2 * Math.hypot(toColumn - fromColumn, toRow - fromRow)) + 1;
    for (let step = 0; step <= steps; step += 1) {
      const column = fromColumn + ((toColumn - fromColumn) * step) / steps;
      const row = fromRow + ((toRow - fromRow) * step) / steps;
      for (let y = Math.floor(row - PEN); y <= row + PEN; y += 1) {
        for (let x = Math.floor(column - PEN); x <= column + PEN; x += 1) {
          const near = (x + 0.5 - column) ** 2 + (y + 0.5 - row) ** 2 <= PEN ** 2;
          if (near && inside(x) && inside(y)) bitmap[SIDE * y + x] = 1;
        }
      }
    }
  }

  /* The rows and columns that hold ink, first and last, or null. */
  function box(bitmap) {
    const places = [...bitmap.keys()].filter((i) => bitmap[i]);
    if (places.length === 0) return null;
    const rows = places.map((i) => Math.floor(i / SIDE));
    const columns = places.map((i) => i % SIDE);
    return {
      top: Math.min(...rows),
      left: Math.min(...columns),
      height: Math.max(...rows) - Math.min(...rows) + 1,
      width: Math.max(...columns) - Math.min(...columns) + 1,
    };
  }

  function fitted(bitmap) {
    const found = box(bitmap);
    const result = new Uint8Array(SIDE * SIDE);
    if (!found) return result;
    const taller = SIDE / found.height;
    const columns = Math.min(COLUMNS, Math.round(WIDEN * taller * found.width));
    const first = Math.round((SIDE - columns) / 2);
    for (let row = 0; row < SIDE; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const y = found.top + Math.floor((row + 0.5) / taller);
        const x = found.left + Math.floor(((column + 0.5) * found.width) / columns);
        result[SIDE * row + first + column] = bitmap[SIDE * y + x];
      }
    }
    return result;
  }

  function digit(bitmap) {
    const pixels = new Float64Array(64);
    fitted(bitmap).forEach((ink, i) => {
      const [row, column] = [Math.floor(i / SIDE / BLOCK), Math.floor((i % SIDE) / BLOCK)];
      pixels[8 * row + column] += ink / BLOCK ** 2;
    });
    return pixels;
  }

  function text(bitmap) {
    const nibble = (_, i) =>
      bitmap.subarray(4 * i, 4 * i + 4).reduce((sum, bit) => 2 * sum + bit, 0);
    const words = Array.from({ length: bitmap.length / 4 }, (...at) => nibble(...at).toString(16));
    return words.join("").replace(/0+$/, "");
  }

  function bitmap(words) {
    const result = new Uint8Array(SIDE * SIDE);
    if (!/^[0-9a-f]{0,256}$/.test(words)) return result;
    [...words].forEach((letter, i) => {
      for (let bit = 0; bit < 4; bit += 1) {
        result[4 * i + bit] = (Number.parseInt(letter, 16) >> (3 - bit)) & 1;
      }
    });
    return result;
  }

  LIVE.drawn = { SIDE, stroke, fitted, digit, text, bitmap };
})();
