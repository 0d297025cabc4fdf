/* Chapter 2's smallest case, p(x|z) = N(x; 1.2 z, σ²) under p(z) = N(z; 0, 1), and what draws of the
   prior make of log p(x). A model is {x, deviation: σ}. Nothing here touches the page.

   VAE_LIVE.product(model)                 z → p(x|z) p(z)
   VAE_LIVE.strip(model)                   {mean, width, low, high, peak, share}: the product is
                                           highest at mean, where it is peak, and at least a tenth of
                                           that from low to high; share of the prior lies there
   VAE_LIVE.logEvidence(model)             log p(x) by a rule that knows where the strip is
   VAE_LIVE.logWeights(model, draws)       log p(x|z) at each z of a Float64Array
   VAE_LIVE.priorEstimates(logs, counts)   [{estimate, error, worth}, …] of the first n, for each n
                                           of counts, which rise: log of the average weight, the error
                                           that the draws state for it, the effective sample size */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SLOPE = 1.2;
  const REACH = 12; // widths of the posterior, beyond which less than 1e-32 of it is left
  const prior = LIVE.gaussian(0, 1);

  /* The posterior: the product of two Gaussians is a Gaussian up to its height. */
  function posteriorOf({ x, deviation }) {
    const precision = 1 + (SLOPE / deviation) ** 2;
    return { mean: (SLOPE * x) / (deviation * deviation * precision), width: precision ** -0.5 };
  }

  const logLikelihood = ({ x, deviation }, z) => LIVE.gaussian(x, deviation).logDensity(SLOPE * z);

  LIVE.product = (model) => (z) => Math.exp(logLikelihood(model, z) + prior.logDensity(z));

  LIVE.strip = (model) => {
    const { mean, width } = posteriorOf(model);
    const half = width * Math.sqrt(2 * Math.log(10));
    const rule = LIVE.simpson(mean - half, mean + half, 201);
    return {
      mean,
      width,
      low: mean - half,
      high: mean + half,
      peak: LIVE.product(model)(mean),
      share: LIVE.integrate(rule, prior.density),
    };
  };

  LIVE.logEvidence = (model) => {
    const { mean, width } = posteriorOf(model);
    const rule = LIVE.simpson(mean - REACH * width, mean + REACH * width, 401);
    return Math.log(LIVE.integrate(rule, LIVE.product(model)));
  };

  LIVE.logWeights = ({ x, deviation }, draws) => {
    const { logDensity } = LIVE.gaussian(x, deviation);
    return draws.map((z) => logDensity(SLOPE * z));
  };

  /* Weights are kept relative to the largest so far, so that none is rounded to zero too early. */
  LIVE.priorEstimates = (logs, counts) => {
    let [largest, sum, squares, n] = [-Infinity, 0, 0, 0];
    return counts.map((count) => {
      for (; n < count; n += 1) {
        if (logs[n] > largest) {
          const shrunk = Math.exp(largest - logs[n]);
          [largest, sum, squares] = [logs[n], sum * shrunk, squares * shrunk * shrunk];
        }
        const weight = Math.exp(logs[n] - largest);
        sum += weight;
        squares += weight * weight;
      }
      const worth = (sum * sum) / squares;
      const variance = Math.max(count / worth - 1, 0) / (count - 1);
      return { estimate: largest + Math.log(sum / count), error: Math.sqrt(variance), worth };
    });
  };
})();
