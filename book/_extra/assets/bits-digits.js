/* The digits' coder: a trained VAE in whole numbers, the same as vae_tutorial.coding's to the last bit.

   Weights, activations and latents are multiples of 2^−16, so that sums are exact in any order; every
   other function is taken at points of a grid and rounded to whole units.

   VAE_LIVE.digitCoder()                   a coder as in bits.js, of 8 by 8 pixels and 17 grey levels
   VAE_LIVE.digitImages(count)             the first test digits, arrays of 64 levels
   VAE_LIVE.normalSlots(x), logisticSlots(x)   2^26 times a law's cumulative function, a whole number,
                                           at the point of the grid nearest to x */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const HELD = window.VAE_BITS;
  const [UNIT, SCALE] = [2 ** -16, 2 ** -20];
  const MASS = 2 ** 26;
  const SLOTS = 2 ** 24;
  const rounded = (exact) => Math.floor(exact + 0.5);
  const onGrid = (value) => rounded(value / UNIT) * UNIT;

  /* Whole units of a function at the nearest of its points, as fixed_point.Table has them. */
  function tabled(f, [low, high, step], unit) {
    const last = (high - low) / step;
    const entries = new Float64Array(last + 1).fill(Number.NaN); // each is computed when asked for
    return (x) => {
      const place = Math.min(Math.max(rounded((x - low) / step), 0), last);
      if (Number.isNaN(entries[place])) entries[place] = rounded(f(low + step * place) / unit);
      return entries[place];
    };
  }

  /* The series of Marsaglia 2004, whose terms are all of one sign. */
  function normal(x) {
    let [sum, term] = [x, x];
    for (let k = 3; sum !== sum + term; k += 2) {
      term *= (x * x) / k;
      sum += term;
    }
    return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
  }

  LIVE.normalSlots = tabled(normal, [-8, 8, 2 ** -12], 1 / MASS);
  LIVE.logisticSlots = tabled((x) => 1 / (1 + Math.exp(-x)), [-24, 24, 2 ** -12], 1 / MASS);
  const tanh = tabled(Math.tanh, [-8, 8, 2 ** -14], UNIT);
  const deviation = tabled((log) => Math.exp(0.5 * log), [-24, 8, 2 ** -10], SCALE);

  /* Sums of products are multiples of 2^−32 and far below 2^20: exact. */
  function network(layers) {
    const unpacked = layers.map(({ weight, bias }) => [LIVE.float32(weight), LIVE.float32(bias)]);
    return (input) => {
      let values = input;
      unpacked.forEach(([weight, bias], depth) => {
        const width = values.length;
        values = Array.from(bias, (offset, row) => {
          let sum = 0;
          for (let k = 0; k < width; k += 1) sum += weight[row * width + k] * values[k];
          const out = onGrid(sum) + offset;
          return depth < unpacked.length - 1 ? tanh(out) * UNIT : out;
        });
      });
      return values;
    };
  }

  LIVE.digitImages = (count) =>
    LIVE.digits(window.VAE_DIGITS.test)
      .slice(0, count)
      .map((pixels) => Array.from(pixels, (ink) => Math.round(16 * ink)));

  LIVE.digitCoder = () => {
    const [encoder, decoder] = [network(HELD.encoder), network(HELD.decoder)];
    const cumulative = { normal: LIVE.normalSlots, logistic: LIVE.logisticSlots }[HELD.law];
    const buckets = HELD.centres.length;
    const steps = 16;
    const shape = { pixels: 64, levels: steps + 1, side: 8, latents: 2, buckets };

    function tablesOf(z) {
      const means = decoder(z.map((bucket) => HELD.centres[bucket] * UNIT));
      return means.map((mean, pixel) => {
        const scale = HELD.scales[pixel % HELD.scales.length] * SCALE;
        const inner = Array.from({ length: steps }, (_, k) => {
          const standard = ((k + 0.5) / steps - mean) / scale;
          return Math.floor((cumulative(standard) * (SLOTS - steps - 1)) / MASS) + k + 1;
        });
        return [0, ...inner, SLOTS];
      });
    }
    const remembered = new Map();
    const pixelTables = (z) => {
      const name = z.join();
      if (!remembered.has(name)) remembered.set(name, tablesOf(z));
      return remembered.get(name);
    };

    function encoderTable(image, { length: latent }) {
      const out = encoder(image.map((level) => onGrid(level / steps)));
      const wide = Math.max(1, deviation(out[2 + latent])) * SCALE;
      const inner = HELD.edges.map((edge) =>
        Math.floor(LIVE.normalSlots((edge * UNIT - out[latent]) / wide) / (MASS / SLOTS)),
      );
      return [0, ...inner, SLOTS];
    }

    /* p(x, z) of all pairs of buckets, times one number, exactly; and their sums along rows. */
    let [last, rows] = ["", []];
    function jointMasses(image) {
      if (image.join() !== last) {
        rows = Array.from({ length: buckets }, (_, a) =>
          Array.from({ length: buckets }, (_, b) =>
            pixelTables([a, b]).reduce(
              (mass, table, k) => mass * BigInt(table[image[k] + 1] - table[image[k]]),
              1n,
            ),
          ),
        );
        last = image.join();
      }
      return rows;
    }
    function exactTable(image, z) {
      const masses = jointMasses(image);
      const row =
        z.length > 0 ? masses[z[0]] : masses.map((each) => each.reduce((s, m) => s + m, 0n));
      return LIVE.startsOf(row, SLOTS);
    }

    const prior = LIVE.linspace(0, buckets, buckets + 1);
    const tables = { exact: exactTable, encoder: encoderTable, prior: () => prior };
    return { ...shape, prior, pixelTables, tables };
  };
})();
