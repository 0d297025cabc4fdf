/* Bits-back coding with one integer as the stack. Nothing here touches the page.

   A symbol has the slots start … start + F − 1 of 2^bits; a table lists the starts of all symbols, and
   at its end 2^bits. The stack s is a BigInt, and every step is a bijection, so that it can be undone.

   VAE_LIVE.push(s, symbol, table)         ⌊s / F⌋ · 2^bits + start + (s mod F)
   VAE_LIVE.pop(s, table)                  {symbol, s}: the same backwards
   VAE_LIVE.bitLength(s), log2(s)          how long s is, in whole bits and exactly; 0 for zero
   VAE_LIVE.startsOf(masses, total)        a table of `total` slots in which symbol k starts at the
                                           floor of total · (the masses before k) / (all masses);
                                           masses are whole numbers, as BigInt
   VAE_LIVE.toyCoder()                     the smallest model: 2 by 2 pixels, on or off, 8 buckets of z
   VAE_LIVE.forwards(coder, q, image, state)   the next step of the encoder: {state, step}
   VAE_LIVE.backwards(coder, q, image, state)  the decoder's answer to the last one
   VAE_LIVE.encode(coder, q, images, s)    → every state of the encoder, the first and the last as well
   VAE_LIVE.lengths(coder, q, image)       {elbo, evidence}: what the image takes in bits on average
                                           over q, and at least; both under the whole masses
   A coder is {pixels, levels, side, buckets, pixelTables(z), prior, tables}: prior is the table of z's
   buckets, and tables[q](image) that of z under a q. A state is {s, place, z, image}: place counts
   the steps of this image that are done; z and the image are known while the coder knows them. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const bitsOf = (table) => BigInt(Math.log2(table.at(-1)));

  LIVE.push = (s, symbol, table) => {
    const start = BigInt(table[symbol]);
    const size = BigInt(table[symbol + 1]) - start;
    return ((s / size) << bitsOf(table)) + start + (s % size);
  };

  LIVE.pop = (s, table) => {
    const bits = bitsOf(table);
    const slot = s & ((1n << bits) - 1n);
    const symbol = table.findLastIndex((start) => BigInt(start) <= slot);
    const start = BigInt(table[symbol]);
    const size = BigInt(table[symbol + 1]) - start;
    return { symbol, s: size * (s >> bits) + slot - start };
  };

  LIVE.bitLength = (s) => (s === 0n ? 0 : s.toString(2).length);

  /* A number holds the upper 53 bits; the others are counted. */
  LIVE.log2 = (s) => {
    if (s === 0n) return 0;
    const low = Math.max(0, LIVE.bitLength(s) - 53);
    return Math.log2(Number(s >> BigInt(low))) + low;
  };

  LIVE.startsOf = (masses, total) => {
    const all = masses.reduce((sum, mass) => sum + mass, 0n);
    let before = 0n;
    const starts = masses.map((mass) => {
      const start = Number((BigInt(total) * before) / all);
      before += mass;
      return start;
    });
    return [...starts, total];
  };

  const TOY = 16; // slots of a pixel, and of z under a q
  const TOY_BUCKETS = 8;
  /* Of 16 slots, those of a dark pixel, in each of the eight buckets of z: ink moves from the upper
     left to the lower right. */
  const DARK = [
    [15, 14, 12, 8, 4, 2, 1, 1], // upper left
    [8, 12, 14, 12, 8, 4, 2, 1], // upper right
    [1, 2, 4, 8, 12, 14, 12, 8], // lower left
    [1, 1, 2, 4, 8, 12, 14, 15], // lower right
  ];

  /* z under p(z) ∏ p(x|z) of some of the pixels: all of them make the posterior, none the prior. */
  function toyPosterior(image, seen) {
    const masses = Array.from({ length: TOY_BUCKETS }, (_, z) =>
      seen.reduce((mass, k) => mass * BigInt(image[k] ? DARK[k][z] : TOY - DARK[k][z]), 1n),
    );
    return LIVE.startsOf(masses, TOY);
  }

  LIVE.toyCoder = () => ({
    pixels: 4,
    levels: 2,
    side: 2,
    buckets: TOY_BUCKETS,
    prior: LIVE.linspace(0, TOY_BUCKETS, TOY_BUCKETS + 1),
    pixelTables: (z) => DARK.map((dark) => [0, TOY - dark[z], TOY]),
    tables: {
      exact: (image) => toyPosterior(image, [0, 1, 2, 3]),
      encoder: (image) => toyPosterior(image, [0, 1]), // it overlooks the lower row
      prior: (image) => toyPosterior(image, []),
    },
  });

  /* The words, table and symbol of a step of an image: pop z, push each pixel, push z. */
  function plan(coder, q, { place, z, image }) {
    if (place === 0) return { kind: "pop z", table: coder.tables[q](image) };
    if (place > coder.pixels) return { kind: "push z", table: coder.prior, symbol: z };
    const pixel = place - 1;
    return { kind: "push x", pixel, table: coder.pixelTables(z)[pixel], symbol: image[pixel] };
  }

  const described = ({ kind, pixel, table }, symbol, before, after) => ({
    ...{ kind, pixel, symbol, before, after },
    start: table[symbol],
    size: table[symbol + 1] - table[symbol],
    total: table.at(-1),
  });

  LIVE.forwards = (coder, q, image, state) => {
    const { s, place } = state;
    const known = { ...state, image };
    const next = plan(coder, q, known);
    const popped = place === 0 ? LIVE.pop(s, next.table) : null;
    const symbol = popped ? popped.symbol : next.symbol;
    const after = popped ? popped.s : LIVE.push(s, symbol, next.table);
    const z = popped ? symbol : place > coder.pixels ? null : state.z; // no longer needed
    return {
      state: { s: after, place: place + 1, z, image: state.image },
      step: described(next, symbol, s, after),
    };
  };

  /* The decoder knows no image: what it has not popped yet stands in state.image as null. An encoder
     that goes back in the middle of an image knows the rest of it. */
  LIVE.backwards = (coder, q, image, state) => {
    const [s, place] = [state.s, state.place - 1];
    const decoded = state.image.map((level, k) => level ?? image?.[k] ?? null);
    const last = plan(coder, q, { place, z: state.z, image: place === 0 ? decoded : state.image });
    const popped = place === 0 ? null : LIVE.pop(s, last.table);
    const symbol = popped ? popped.symbol : state.z;
    const before = popped ? popped.s : LIVE.push(s, symbol, last.table);
    return {
      state: {
        s: before,
        place,
        z: last.kind === "push z" ? symbol : place === 0 ? null : state.z,
        image: state.image.map((level, k) => (k === last.pixel ? symbol : level)),
      },
      step: described(last, symbol, before, s),
    };
  };

  LIVE.unknown = (coder) => Array(coder.pixels).fill(null);

  LIVE.encode = (coder, q, images, s) => {
    const states = [{ s, place: 0, z: null, image: LIVE.unknown(coder) }];
    for (const image of images) {
      let state = { s: states.at(-1).s, place: 0, z: null, image: LIVE.unknown(coder) };
      for (let place = 0; place < coder.pixels + 2; place += 1) {
        state = LIVE.forwards(coder, q, image, state).state;
        states.push(state);
      }
    }
    return states;
  };

  const share = (table, symbol) => (table[symbol + 1] - table[symbol]) / table.at(-1);

  LIVE.lengths = (coder, q, image) => {
    const table = coder.tables[q](image);
    let [elbo, evidence] = [0, 0];
    for (let z = 0; z < coder.buckets; z += 1) {
      const joint = coder
        .pixelTables(z)
        .reduce((log, each, k) => log + Math.log2(share(each, image[k])), Math.log2(share(coder.prior, z)));
      const mass = share(table, z);
      if (mass > 0) elbo += mass * (joint - Math.log2(mass));
      evidence += 2 ** joint;
    }
    return { elbo: -elbo, evidence: -Math.log2(evidence) };
  };
})();
