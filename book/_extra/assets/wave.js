/* The wave model of chapter 3, seen from its data point, and any q that is a broken line.

   VAE_LIVE.brokenLine(heights)            q on [−3, 3]: a straight line from each of 121 places to the
                                           next, zero elsewhere, scaled to have the area one:
                                           {heights, density(z)}, or null where nothing is left
   VAE_LIVE.nearestLine(density)           the heights of the broken line next to a density of z
   VAE_LIVE.wave.places                    the 121 places
   VAE_LIVE.wave.evidence, posterior(z)    log p(x), and p(z|x)
   VAE_LIVE.wave.gapOf(q)                  KL(q ‖ p(z|x)), in nats
   VAE_LIVE.wave.boundOf(q)                {logLikelihood, klToPrior, bound}: E_q log p(x|z),
                                           KL(q ‖ p(z)), and the first less the second
   VAE_LIVE.wave.code(heights), decode(text)   for the page's address, 4095 steps to the highest of
                                           them; decode gives null for what code never wrote

   The two sides of the identity share no sum. log p(x) and the gap are sums over nodes; the bound is
   in closed form on each straight piece. Where q is zero its integrands are zero, 0 · log 0 = 0. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const X1 = 0.8; // the data point is (0.8, 0)
  const VARIANCE = 0.1; // of each measurement, around f(z) = (z, sin 2z)
  const EDGE = 3;
  const PIECES = 120;
  const LENGTH = (2 * EDGE) / PIECES;
  const LEVELS = 4095; // two letters of the address, 64 · 64 − 1
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const ROOT = Math.log(2 * Math.PI);
  const places = LIVE.linspace(-EDGE, EDGE, PIECES + 1);

  const logPrior = (z) => -(z * z + ROOT) / 2;
  const logLikelihood = (z) =>
    -((X1 - z) ** 2 + Math.sin(2 * z) ** 2) / (2 * VARIANCE) - Math.log(VARIANCE) - ROOT;
  const logJoint = (z) => logLikelihood(z) + logPrior(z);

  /* The sum over the pieces between neighbours of what `each` makes of both heights. */
  function overPieces(heights, each) {
    let sum = 0;
    for (let i = 0; i < PIECES; i += 1) sum += each(heights[i], heights[i + 1], i);
    return sum;
  }

  LIVE.brokenLine = (drawn) => {
    const area = overPieces(drawn, (low, high) => (LENGTH * (low + high)) / 2);
    if (!(area > 0)) return null;
    const heights = Array.from(drawn, (height) => height / area);
    const density = (z) => {
      const at = (z + EDGE) / LENGTH;
      if (at < 0 || at > PIECES) return 0;
      const i = Math.min(Math.floor(at), PIECES - 1);
      return heights[i] + (at - i) * (heights[i + 1] - heights[i]);
    };
    return { heights, density };
  };

  /* A chord lies off a curve by h²/8 times its bend at most and by h²/12 on average: so much is
     taken off, and the line has the area of the curve. */
  LIVE.nearestLine = (density) =>
    places.map((z) => {
      const bend = density(z - LENGTH) - 2 * density(z) + density(z + LENGTH);
      return Math.max(0, density(z) - bend / 12);
    });

  /* Nodes on a piece for the left side: equal steps of t, u = 1 / (1 + exp(−π sinh t)), Takahashi
     and Mori's rule. q log q is not smooth where q leaves zero, and this rule needs no smoothness
     at the ends of a piece. rest is 1 − u, kept apart so that neither is rounded to zero. */
  const STEP = 0.2;
  const nodes = LIVE.linspace(-3.2, 3.2, 33).map((t) => {
    const [u, rest] = [1, -1].map((sign) => 1 / (1 + Math.exp(-sign * Math.PI * Math.sinh(t))));
    return { u, rest, weight: STEP * Math.PI * Math.cosh(t) * u * rest };
  });
  const logJoints = places
    .slice(0, PIECES)
    .map((z) => Float64Array.from(nodes, ({ u }) => logJoint(z + LENGTH * u)));

  /* log p(x) by the trapezoidal rule on [−8, 8], as on the page. */
  const line = LIVE.linspace(-8, 8, 641);
  const evidence = Math.log(line.reduce((sum, z) => sum + 0.025 * Math.exp(logJoint(z)), 0));
  const posterior = (z) => Math.exp(logJoint(z) - evidence);

  const gapOf = ({ heights }) =>
    overPieces(heights, (low, high, i) => {
      if (low === 0 && high === 0) return 0;
      let sum = 0;
      nodes.forEach(({ u, rest, weight }, k) => {
        const q = low * rest + high * u;
        if (q > 0) sum += weight * q * (Math.log(q) - logJoints[i][k] + evidence);
      });
      return LENGTH * sum;
    });

  /* ∫ q log q over one piece, in closed form. */
  function negentropy(low, high) {
    const timesLog = (height) => (height > 0 ? height * height * Math.log(height) : 0);
    if (low === high) return low > 0 ? LENGTH * low * Math.log(low) : 0;
    const slope = (timesLog(high) - timesLog(low)) / (high - low);
    return (LENGTH / 2) * (slope - (low + high) / 2);
  }

  /* E_q[g(z)] for g a square: on a piece the integrand is a cubic, and Simpson's rule is exact. */
  function meanOfSquare(heights, square) {
    return overPieces(heights, (low, high, i) => {
      const [z, middle] = [places[i], places[i] + LENGTH / 2];
      const ends = low * square(z) + high * square(z + LENGTH);
      return (LENGTH / 6) * (ends + 2 * (low + high) * square(middle));
    });
  }

  /* E_q[cos 4z], by parts twice: a piece of q has a slope and no bend. */
  function meanOfCosine(heights) {
    const ends = (heights[PIECES] + heights[0]) * Math.sin(4 * EDGE);
    const slopes = overPieces(
      heights,
      (low, high, i) =>
        ((high - low) / LENGTH) * (Math.cos(4 * (places[i] + LENGTH)) - Math.cos(4 * places[i])),
    );
    return ends / 4 + slopes / 16;
  }

  const boundOf = ({ heights }) => {
    const sineSquared = (1 - meanOfCosine(heights)) / 2; // E sin² 2z
    const misfit = meanOfSquare(heights, (z) => (X1 - z) ** 2) + sineSquared;
    const expected = -misfit / (2 * VARIANCE) - Math.log(VARIANCE) - ROOT;
    const square = meanOfSquare(heights, (z) => z * z);
    const klToPrior = overPieces(heights, negentropy) + (square + ROOT) / 2;
    return { logLikelihood: expected, klToPrior, bound: expected - klToPrior };
  };

  const levelsOf = (heights) => {
    const highest = Math.max(...heights);
    return heights.map((height) => Math.round((LEVELS * height) / highest));
  };
  const code = (heights) =>
    levelsOf(heights)
      .map((level) => LETTERS[level >> 6] + LETTERS[level & 63])
      .join("");
  const decode = (text) => {
    if (!/^[\w-]+$/.test(text) || text.length !== 2 * places.length) return null;
    const numbers = Array.from(text, (letter) => LETTERS.indexOf(letter));
    return places.map((_, i) => 64 * numbers[2 * i] + numbers[2 * i + 1]);
  };

  LIVE.wave = { places, evidence, posterior, gapOf, boundOf, levelsOf, code, decode };
})();
