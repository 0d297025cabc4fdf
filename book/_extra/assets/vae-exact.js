/* log p(x) of a small VAE exactly, and what its bound leaves below it. Nothing here touches the page.

   Each is a generator function: it yields often, so that a page may do other things in between, and
   VAE_LIVE.exact.finish(job) runs one to its end. images: arrays of 64 pixels.

   VAE_LIVE.exact.evidence(model, variance, images)
                                           → {logEvidence, posteriors, change, nodes}: log p(x) in
                                           nats; of each p(z|x) mean, variance and mode, two numbers
                                           each; how far the last refinement moved a log p(x); how
                                           many z there were
   VAE_LIVE.exact.bound(model, variance, image, q)   the bound of a diagonal Gaussian q, no generator;
                                           q = {mean: [2], logVariance: [2]}
   VAE_LIVE.exact.best(model, variance, image, starts)   → {q, elbo}: the highest that climbs reach
   VAE_LIVE.exact.dissect(model, variance, images)
                                           → {logEvidence, best, encoder, change}: log p(x), the bound
                                           of the best diagonal Gaussian, the encoder's; each (images)

   The integral over z is a sum over a lattice inside a disc. A lattice sum of a smooth function errs by
   its Fourier transform at the points of the dual lattice, which for a posterior of width s on steps
   d is about exp(−2π²s²/d²). A lattice of half the area a point has twice that exponent. So where a
   refinement moves log p(x) by c, what is left is about c²/4: it stops where c is below TOLERANCE. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { vae } = LIVE;
  const RULES = window.VAE_DIGITS.rules; // Gauss–Hermite for N(0, 1): {climb, bound}
  const REACH = 7; // the prior's mass beyond is 2e-11
  const SPACING = 0.15;
  const TOLERANCE = 1e-3;
  const MOST_ROUNDS = 6;
  const NEGLIGIBLE = -50; // e to this changes no sum
  const FAR = 0.5; // standard deviations of p(z|x)
  const SMALLEST = 1e-6; // a variance that a coarse lattice may see as zero
  const [PACE, GROWTH, MOST_STEPS, SMALL_GRADIENT, SLACK] = [0.7, 1.3, 100, 1e-8, 1e-8]; // those of
  // vae_tutorial.evaluation, with fewer steps
  const LOG_TWO_PI = Math.log(2 * Math.PI);

  const squared = (values) => values.reduce((sum, value) => sum + value * value, 0);

  function finish(job) {
    for (;;) {
      const { done, value } = job.next();
      if (done) return value;
    }
  }

  /* What is known of one image while a lattice grows: the sums over z of exp(log p(x, z) − peak),
     alone, times z and times z². */
  const nothingYet = (image) => ({
    image,
    square: squared(image),
    peak: -Infinity,
    mode: [0, 0],
    sums: new Float64Array(5),
  });

  function add(known, logJoint, first, second) {
    const { sums } = known;
    if (logJoint > known.peak) {
      const shrink = Math.exp(known.peak - logJoint);
      for (let i = 0; i < sums.length; i += 1) sums[i] *= shrink;
      known.peak = logJoint;
      known.mode = [first, second];
    }
    if (logJoint - known.peak < NEGLIGIBLE) return;
    const share = Math.exp(logJoint - known.peak);
    sums[0] += share;
    sums[1] += share * first;
    sums[2] += share * second;
    sums[3] += share * first * first;
    sums[4] += share * second * second;
  }

  function posterior({ mode, sums }) {
    const mean = [sums[1] / sums[0], sums[2] / sums[0]];
    const variance = mean.map((m, i) => sums[3 + i] / sums[0] - m * m);
    return { mean, variance, mode };
  }

  /* Adds the points of a lattice, moved by `shift` of its steps; yields after every row. */
  function* addLattice(known, decode, variance, spacing, shift) {
    const constant = -0.5 * 64 * Math.log(2 * Math.PI * variance) - LOG_TWO_PI;
    const most = Math.ceil(REACH / spacing);
    let nodes = 0;
    for (let i = -most; i <= most; i += 1) {
      const first = (i + shift[0]) * spacing;
      for (let j = -most; j <= most; j += 1) {
        const second = (j + shift[1]) * spacing;
        const radius = first * first + second * second;
        if (radius > REACH * REACH) continue;
        nodes += 1;
        const pixels = decode(first, second); // f(z)
        const square = squared(pixels);
        for (const at of known) {
          let product = 0;
          for (let k = 0; k < 64; k += 1) product += at.image[k] * pixels[k];
          const distance = at.square - 2 * product + square; // ‖x − f(z)‖²
          add(at, constant - 0.5 * (distance / variance + radius), first, second);
        }
      }
      yield;
    }
    return nodes;
  }

  function* evidence(model, variance, images) {
    const decode = vae.decoder(model);
    const known = images.map(nothingYet);
    const logs = (area) => known.map(({ peak, sums }) => peak + Math.log(sums[0] * area));
    let spacing = SPACING;
    let nodes = yield* addLattice(known, decode, variance, spacing, [0, 0]);
    let logEvidence = logs(spacing ** 2);
    let change = Infinity;
    for (let round = 0; round < MOST_ROUNDS && !(change < TOLERANCE); round += 1) {
      const before = logEvidence;
      if (round % 2 === 0) {
        nodes += yield* addLattice(known, decode, variance, spacing, [0.5, 0.5]);
        logEvidence = logs(spacing ** 2 / 2);
      } else {
        nodes += yield* addLattice(known, decode, variance, spacing, [0.5, 0]);
        nodes += yield* addLattice(known, decode, variance, spacing, [0, 0.5]);
        spacing /= 2;
        logEvidence = logs(spacing ** 2);
      }
      change = Math.max(...logEvidence.map((value, i) => Math.abs(value - before[i])));
    }
    return { logEvidence, posteriors: known.map(posterior), change, nodes };
  }

  /* The bound of q, and its slopes: E[log w], E[ε log w] and E[(ε² − 1) log w] on each axis. */
  function look(decode, variance, image, { mean, logVariance }, { nodes, weights }) {
    const constant = -0.5 * 64 * Math.log(2 * Math.PI * variance);
    const [s, t] = logVariance.map((value) => Math.exp(value / 2));
    const half = 0.5 * (logVariance[0] + logVariance[1]);
    const moments = { elbo: 0, gradient: [0, 0], curvature: [0, 0] };
    for (let i = 0; i < nodes.length; i += 1) {
      for (let j = 0; j < nodes.length; j += 1) {
        const [a, b] = [nodes[i], nodes[j]];
        const [first, second] = [mean[0] + s * a, mean[1] + t * b];
        const pixels = decode(first, second);
        let distance = 0;
        for (let k = 0; k < 64; k += 1) distance += (image[k] - pixels[k]) ** 2;
        const prior = -0.5 * (first * first + second * second); // less log 2π, as in log q
        const logWeight =
          constant - (0.5 * distance) / variance + prior + half + 0.5 * (a * a + b * b);
        const part = weights[i] * weights[j] * logWeight;
        moments.elbo += part;
        moments.gradient[0] += part * a;
        moments.gradient[1] += part * b;
        moments.curvature[0] += part * (a * a - 1);
        moments.curvature[1] += part * (b * b - 1);
      }
    }
    return moments;
  }

  const bound = (model, variance, image, q) =>
    look(vae.decoder(model), variance, image, q, RULES.bound).elbo;

  /* A natural-gradient step at a pace. Source: Khan & Rue 2023; evaluation.best_posterior. */
  const step = ({ mean, logVariance }, { gradient, curvature }, pace) => ({
    mean: mean.map(
      (m, i) => m + pace * Math.exp(logVariance[i] / 2) * Math.exp(curvature[i]) * gradient[i],
    ),
    logVariance: logVariance.map((value, i) => value + pace * curvature[i]),
  });

  const steepness = ({ gradient, curvature }) => squared(gradient) + 0.5 * squared(curvature);

  function* climb(decode, variance, image, start) {
    let [q, here, pace] = [start, look(decode, variance, image, start, RULES.climb), PACE];
    for (let count = 0; count < MOST_STEPS && steepness(here) > SMALL_GRADIENT; count += 1) {
      const next = step(q, here, pace);
      const there = look(decode, variance, image, next, RULES.climb);
      const rises = there.elbo > here.elbo - SLACK;
      if (rises) [q, here] = [next, there];
      pace = rises ? Math.min(PACE, GROWTH * pace) : pace / 2;
      yield;
    }
    return q;
  }

  function* best(model, variance, image, starts) {
    const decode = vae.decoder(model);
    let highest = { q: starts[0], elbo: -Infinity };
    for (const start of starts) {
      const q = yield* climb(decode, variance, image, start);
      const { elbo } = look(decode, variance, image, q, RULES.bound);
      if (elbo > highest.elbo) highest = { q, elbo };
    }
    return highest;
  }

  /* A climb starts at the mean of p(z|x) with its variances; where the mode lies far from there, p(z|x)
     may have several hills, and a second climb starts at it. */
  function starts({ mean, variance, mode }) {
    const logVariance = variance.map((value) => Math.log(Math.max(value, SMALLEST)));
    const far = mean.some((m, i) => Math.abs(m - mode[i]) > FAR * Math.sqrt(variance[i]));
    return (far ? [mean, mode] : [mean]).map((centre) => ({ mean: centre, logVariance }));
  }

  function* dissect(model, variance, images) {
    const exact = yield* evidence(model, variance, images);
    const found = { logEvidence: exact.logEvidence, best: [], encoder: [], change: exact.change };
    for (const [i, image] of images.entries()) {
      const code = vae.encode(model, image);
      const q = { mean: [code[0], code[1]], logVariance: [code[2], code[3]] };
      const elbo = bound(model, variance, image, q);
      const top = yield* best(model, variance, image, starts(exact.posteriors[i]));
      found.encoder.push(elbo);
      found.best.push(Math.max(top.elbo, elbo)); // the encoder's own q is of the family too
    }
    return found;
  }

  LIVE.exact = { finish, evidence, bound, best, dissect };
})();
