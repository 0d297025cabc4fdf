/* Gaussians of one latent, for the figures that draw or integrate them.

   VAE_LIVE.gaussian(mean, width)          {mean, width, logDensity(z), density(z)}; width: σ
   VAE_LIVE.simpson(low, high, count)      {nodes, weights} of Simpson's rule; count is odd
   VAE_LIVE.integrate(rule, f)             Σ weights · f(nodes)
   VAE_LIVE.peak(slider, fromWidth)        what a pad moves up and down for a slider of widths: the
                                           height of a density's peak; higher is narrower. fromWidth
                                           turns σ into the slider's value
   VAE_LIVE.either(choose)                 what a pad moves where that changes: whatever the function
                                           choose names at that moment */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const ROOT = Math.sqrt(2 * Math.PI);

  LIVE.gaussian = (mean, width) => {
    const normaliser = Math.log(width * ROOT);
    const logDensity = (z) => -0.5 * ((z - mean) / width) ** 2 - normaliser;
    return { mean, width, logDensity, density: (z) => Math.exp(logDensity(z)) };
  };

  LIVE.simpson = (low, high, count) => {
    const third = (high - low) / (count - 1) / 3;
    const weights = Float64Array.from({ length: count }, (_, i) => third * (i % 2 === 1 ? 4 : 2));
    weights[0] = third;
    weights[count - 1] = third;
    return { nodes: LIVE.linspace(low, high, count), weights };
  };

  LIVE.integrate = ({ nodes, weights }, f) =>
    nodes.reduce((sum, z, i) => sum + weights[i] * f(z), 0);

  LIVE.peak = (slider, fromWidth) => ({
    step: slider.step,
    home: -slider.home,
    get value() {
      return -slider.value;
    },
    set: (value) => slider.set(-value),
    at: (height) => -fromWidth(1 / (ROOT * Math.max(height, 1e-3))), // below the axis: the widest
  });

  LIVE.either = (choose) => ({
    get step() {
      return choose().step;
    },
    get home() {
      return choose().home;
    },
    get value() {
      return choose().value;
    },
    set: (value) => choose().set(value),
    at: (y) => (choose().at ? choose().at(y) : y),
  });
})();
