/* Exact densities on the plane: data smoothed by noise, what a generator makes, and how far apart.

   Both are averages of round Gaussians of deviation σ: of the reader's points, and of f(z) over the
   prior of two latents, which becomes a sum over a lattice of z. Each is wanted on a square grid,
   where sums are integrals: a grid whose step is below σ integrates a Gaussian to ten digits and more.
   Nothing here touches the page.

   VAE_LIVE.mixtures.lattice(count)        → {z, weights, count}: the prior's rule, count² nodes, pairs
   VAE_LIVE.mixtures.images(generator, deviation)   a generator function that returns {means, weights}:
                                           f at the nodes, flat, of the first of LATTICES whose nodes
                                           f takes to neighbours that are near enough, or of the last
   VAE_LIVE.mixtures.grid(all, deviation)  → {low, step, count}: a grid with all means of several
                                           arrays on it, and 5σ around
   VAE_LIVE.mixtures.density(means, weights, deviation, grid)   a generator function that returns the
                                           mixture's density, row after row from below
   VAE_LIVE.mixtures.divergences(p, q, grid)  → {forward, reverse, jensenShannon, missing}: KL(p‖q), KL(q‖p),
                                           JS, in nats, and what the sum of q over the grid misses of 1
   VAE_LIVE.mixtures.shares(points, p, q, {grid, deviation})   → what q has of p's mass within REACH
                                           deviations of each point
   VAE_LIVE.mixtures.game(discriminator, p, q, grid)   → E_p log D + E_q log(1 − D), on the grid
   VAE_LIVE.mixtures.finish(job)              → what a generator function returns, without a pause
   Those that take long pause after every PIECE nodes, so that the page answers. */

/** @typedef {{low: number, step: number, count: number}} Grid */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { layers, game } = LIVE;
  const LATTICES = [100, 200]; // nodes in one direction
  const [WIDE, FEW] = [2, 0.01]; // fewer than FEW of the nodes, by weight, lie WIDE deviations apart
  const END = 4.2; // of the lattice, to either side: beyond it lies less than 1e-4 of the prior
  const PIECE = 400; // nodes from one pause to the next
  const FINE = 0.8; // the grid's step in deviations
  const MARGIN = 5; // deviations between the last mean and the grid's edge
  const MOST = 160; // of the grid's lines: where it would have more, its step grows
  const REACH = 3; // deviations: how near to a point is at the point
  const LEAST = 1e-300; // a density that underflows is this

  function lattice(count) {
    const places = LIVE.linspace(-END, END, count);
    const heights = places.map((z) => Math.exp(-0.5 * z * z));
    const total = heights.reduce((sum, height) => sum + height, 0);
    const [z, weights] = [new Float64Array(2 * count * count), new Float64Array(count * count)];
    for (let i = 0, n = 0; i < count; i += 1) {
      for (let j = 0; j < count; j += 1, n += 1) {
        z[2 * n] = places[i];
        z[2 * n + 1] = places[j];
        weights[n] = (heights[i] / total) * (heights[j] / total);
      }
    }
    return { z, weights, count };
  }
  const rules = new Map(); // by their count, made when first asked for
  function ruleOf(count) {
    if (!rules.has(count)) rules.set(count, lattice(count));
    return rules.get(count);
  }

  /* The weight of the nodes that f takes far from a neighbour: there the sum is coarse. */
  function coarse(means, { weights, count }, far) {
    let share = 0;
    const apart = (n, m) =>
      Math.hypot(means[2 * n] - means[2 * m], means[2 * n + 1] - means[2 * m + 1]);
    for (let n = 0; n < weights.length - count; n += 1) {
      const beside = (n + 1) % count === 0 ? n - 1 : n + 1;
      if (Math.max(apart(n, beside), apart(n, n + count)) > far) share += weights[n];
    }
    return share;
  }

  function* images(generator, deviation) {
    const trace = layers.trace(generator.sizes);
    for (const count of LATTICES) {
      const rule = ruleOf(count);
      const means = new Float64Array(rule.z.length);
      for (let n = 0; n < means.length; n += 2) {
        means.set(layers.forward(generator, trace, rule.z.subarray(n, n + 2)), n);
        if (n % (2 * PIECE) === 0) yield;
      }
      const last = count === LATTICES.at(-1);
      if (last || coarse(means, rule, WIDE * deviation) < FEW) {
        return { means, weights: rule.weights };
      }
    }
    throw new Error("no lattice");
  }

  /**
   * @param {ArrayLike<number>[]} all
   * @returns {Grid}
   */
  function grid(all, deviation) {
    let reach = 0;
    for (const means of all) {
      for (let i = 0; i < means.length; i += 1) reach = Math.max(reach, Math.abs(means[i]));
    }
    const half = reach + MARGIN * deviation;
    const count = Math.min(MOST, Math.ceil((2 * half) / (FINE * deviation)) + 1);
    return { low: -half, step: (2 * half) / (count - 1), count };
  }

  /* A round Gaussian is a product of two: of a column of the grid and of a row. */
  function* density(means, weights, deviation, { low, step, count }) {
    const found = new Float64Array(count * count);
    const [across, up] = [new Float64Array(count), new Float64Array(count)];
    function bell(values, mean, height) {
      for (let i = 0; i < count; i += 1) {
        const off = (low + step * i - mean) / deviation;
        values[i] = height * Math.exp(-0.5 * off * off);
      }
    }
    const top = 1 / (2 * Math.PI * deviation * deviation);
    for (let n = 0; n < weights.length; n += 1) {
      bell(across, means[2 * n], top * weights[n]);
      bell(up, means[2 * n + 1], 1);
      for (let row = 0, at = 0; row < count; row += 1) {
        const height = up[row];
        for (let column = 0; column < count; column += 1, at += 1) {
          found[at] += height * across[column];
        }
      }
      if (n % PIECE === 0) yield;
    }
    return found;
  }

  function divergences(p, q, { step }) {
    let [forward, reverse, middle, mass] = [0, 0, 0, 0];
    for (let i = 0; i < p.length; i += 1) {
      const [left, right] = [Math.max(p[i], LEAST), Math.max(q[i], LEAST)];
      const [logLeft, logRight] = [Math.log(left), Math.log(right)];
      const logMiddle = Math.log(0.5 * (left + right));
      forward += left * (logLeft - logRight);
      reverse += right * (logRight - logLeft);
      middle += 0.5 * (left * (logLeft - logMiddle) + right * (logRight - logMiddle));
      mass += right;
    }
    const area = step * step;
    return {
      forward: forward * area,
      reverse: reverse * area,
      jensenShannon: middle * area,
      missing: 1 - mass * area,
    };
  }

  function shares(points, p, q, { grid: { low, step, count }, deviation }) {
    const reach = REACH * deviation;
    const first = (centre) => Math.max(0, Math.ceil((centre - reach - low) / step));
    const last = (centre) => Math.min(count - 1, Math.floor((centre + reach - low) / step));
    return points.map(([x, y]) => {
      let [due, had] = [0, 0];
      for (let row = first(y); row <= last(y); row += 1) {
        for (let column = first(x); column <= last(x); column += 1) {
          const off = Math.hypot(low + step * column - x, low + step * row - y);
          if (off > reach) continue;
          due += p[row * count + column];
          had += q[row * count + column];
        }
      }
      return had / due;
    });
  }

  function gameValue(discriminator, p, q, { low, step, count }) {
    const [trace, point] = [layers.trace(discriminator.sizes), new Float64Array(2)];
    let value = 0;
    for (let row = 0, at = 0; row < count; row += 1) {
      point[1] = low + step * row;
      for (let column = 0; column < count; column += 1, at += 1) {
        point[0] = low + step * column;
        const [t] = layers.forward(discriminator, trace, point);
        value -= p[at] * game.softplus(-t) + q[at] * game.softplus(t);
      }
    }
    return value * step * step;
  }

  function finish(job) {
    for (;;) {
      const { done, value } = job.next();
      if (done) return value;
    }
  }

  LIVE.mixtures = {
    ...{ lattice, images, grid, density },
    ...{ divergences, shares, game: gameValue, finish },
  };
})();
