/* Bits-back coding with one integer as the stack. Nothing here touches the page.

   A symbol owns the slots start … start + F − 1 of 2^bits; a table lists the starts of all symbols, and
   at its end 2^bits. The stack s is a BigInt, and every step is a bijection, so that it can be undone.

   VAE_LIVE.push(s, symbol, table)         ⌊s / F⌋ · 2^bits + start + (s mod F)
   VAE_LIVE.pop(s, table)                  {symbol, s}: the same backwards
   VAE_LIVE.bitLength(s), log2(s)          how long s is, in whole bits and exactly; 0 for zero
   VAE_LIVE.startsOf(masses, total)        a table of `total` slots in which a symbol starts at the
                                           floor of total · (the masses before it) / (all masses);
                                           masses are whole numbers, as BigInt
   VAE_LIVE.toyCoder()                     the smallest model: 2 by 2 pixels, on or off, 8 buckets of z
   VAE_LIVE.forwards(coder, q, image, state)   the next step of the encoder: {state, step}
   VAE_LIVE.backwards(coder, q, image, state)  the last one undone; a decoder gives null for the image
   VAE_LIVE.begin(coder, s), end(coder, s) the state before an image, and after one
   VAE_LIVE.encode(coder, q, images, s)    → the state after each step, and at first the one before
   VAE_LIVE.joint(coder, q, image)         q(z|x) in buckets, the last latent running fastest
   VAE_LIVE.lengths(coder, q, image)       {elbo, evidence}: what the image takes in bits on average
                                           over q, and at least; both under the whole masses
   A coder is {pixels, levels, side, latents, buckets, prior, pixelTables(z), tables}: prior is the
   table of one latent's buckets under p(z), pixelTables(z) those of all pixels given z, an array of
   buckets; tables[q](image, z) that of the next latent under q, where z holds those before it.
   A state is {s, place, z, image}: place counts the steps of this image that are done; z holds the
   buckets that are known, image the levels that were popped, and null where none was. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const bitsOf = (table) => BigInt(Math.log2(table.at(-1)));
  const sizeOf = (table, symbol) => table[symbol + 1] - table[symbol];

  LIVE.push = (s, symbol, table) => {
    const size = BigInt(sizeOf(table, symbol));
    return ((s / size) << bitsOf(table)) + BigInt(table[symbol]) + (s % size);
  };

  LIVE.pop = (s, table) => {
    const bits = bitsOf(table);
    const slot = s & ((1n << bits) - 1n);
    const symbol = table.findLastIndex((start) => BigInt(start) <= slot);
    const size = BigInt(sizeOf(table, symbol));
    return { symbol, s: size * (s >> bits) + slot - BigInt(table[symbol]) };
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

  const TOY = 16; // slots of a pixel
  const TOY_Q = 64; // of z under a q
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
    return LIVE.startsOf(masses, TOY_Q);
  }

  LIVE.toyCoder = () => ({
    ...{ pixels: 4, levels: 2, side: 2, latents: 1, buckets: TOY_BUCKETS },
    prior: LIVE.linspace(0, TOY_BUCKETS, TOY_BUCKETS + 1),
    pixelTables: ([z]) => DARK.map((dark) => [0, TOY - dark[z], TOY]),
    tables: {
      exact: (image) => toyPosterior(image, [0, 1, 2, 3]),
      encoder: (image) => toyPosterior(image, [0, 1]), // it overlooks the lower row
      prior: (image) => toyPosterior(image, []),
    },
  });

  LIVE.stepsOf = ({ pixels, latents }) => pixels + 2 * latents;
  LIVE.begin = ({ pixels }, s) => ({ s, place: 0, z: [], image: Array(pixels).fill(null) });
  LIVE.end = (coder, s) => ({ ...LIVE.begin(coder, s), place: LIVE.stepsOf(coder) });

  /**
   * A step of an image: pop each latent, push each pixel, push each latent.
   * @returns {{kind: string, table: number[], latent?: number, pixel?: number, symbol?: number}}
   */
  function plan(coder, q, { place, z, image }) {
    const { pixels, latents } = coder;
    if (place < latents) {
      return { kind: "pop z", latent: place, table: coder.tables[q](image, z.slice(0, place)) };
    }
    if (place >= latents + pixels) {
      const latent = place - latents - pixels;
      return { kind: "push z", latent, table: coder.prior, symbol: z[latent] };
    }
    const pixel = place - latents;
    return { kind: "push x", pixel, table: coder.pixelTables(z)[pixel], symbol: image[pixel] };
  }

  /** @param {{kind: string, table: number[], latent?: number, pixel?: number}} step */
  const told = ({ kind, pixel, latent, table }, symbol, before, after) => ({
    ...{ kind, pixel, latent, symbol, before, after },
    ...{ start: table[symbol], size: sizeOf(table, symbol), total: table.at(-1) },
  });

  const replaced = (values, k, value) => {
    const copy = [...values];
    copy[k] = value;
    return copy;
  };

  LIVE.forwards = (coder, q, image, state) => {
    const next = plan(coder, q, { ...state, image });
    const done = { ...state, place: state.place + 1 };
    if (next.kind !== "pop z") {
      done.s = LIVE.push(state.s, next.symbol, next.table);
      if (done.place === LIVE.stepsOf(coder)) done.z = []; // forgotten: it stands on the stack
      return { state: done, step: told(next, next.symbol, state.s, done.s) };
    }
    const { symbol, s } = LIVE.pop(state.s, next.table);
    Object.assign(done, { s, z: replaced(state.z, next.latent, symbol) });
    return { state: done, step: told(next, symbol, state.s, s) };
  };

  /* An encoder that turns back in the middle of an image knows what it has not pushed yet. */
  LIVE.backwards = (coder, q, image, state) => {
    const place = state.place - 1;
    const known = state.image.map((level, k) => level ?? image?.[k] ?? null);
    const last = plan(coder, q, { place, z: state.z, image: known });
    const done = { ...state, place };
    if (last.kind === "pop z") {
      const symbol = state.z[last.latent];
      done.s = LIVE.push(state.s, symbol, last.table);
      done.z = state.z.slice(0, last.latent);
      return { state: done, step: told(last, symbol, done.s, state.s) };
    }
    const { symbol, s } = LIVE.pop(state.s, last.table);
    done.s = s;
    if (last.kind === "push z") done.z = replaced(state.z, last.latent, symbol);
    else done.image = replaced(state.image, last.pixel, symbol);
    return { state: done, step: told(last, symbol, s, state.s) };
  };

  LIVE.encode = (coder, q, images, s) => {
    const states = [LIVE.begin(coder, s)];
    for (const image of images) {
      let state = LIVE.begin(coder, states.at(-1).s);
      for (let place = 0; place < LIVE.stepsOf(coder); place += 1) {
        ({ state } = LIVE.forwards(coder, q, image, state));
        states.push(state);
      }
    }
    return states;
  };

  const share = (table, symbol) => sizeOf(table, symbol) / table.at(-1);
  const everyBucket = ({ buckets }) => Array.from({ length: buckets }, (_, k) => k);

  LIVE.joint = (coder, q, image) => {
    let cells = [{ z: [], mass: 1 }];
    for (let latent = 0; latent < coder.latents; latent += 1) {
      cells = cells.flatMap(({ z, mass }) => {
        const table = coder.tables[q](image, z);
        return everyBucket(coder).map((k) => ({ z: [...z, k], mass: mass * share(table, k) }));
      });
    }
    return cells;
  };

  LIVE.lengths = (coder, q, image) => {
    let [elbo, evidence] = [0, 0];
    for (const { z, mass } of LIVE.joint(coder, q, image)) {
      const logPrior = -coder.latents * Math.log2(coder.buckets);
      const log = coder
        .pixelTables(z)
        .reduce((sum, table, k) => sum + Math.log2(share(table, image[k])), logPrior);
      if (mass > 0) elbo += mass * (log - Math.log2(mass));
      evidence += 2 ** log;
    }
    return { elbo: -elbo, evidence: -Math.log2(evidence) };
  };
})();
