/* The numbers of the live figure reparameterize; nothing here touches the page.

   A law N(μ, Σ) of two latents is {mean, deviations: [σ₁, σ₂], correlation: ρ}. Noise is (2K)
   numbers, ε₁ and ε₂ in turn. Two estimates, pathwise and score function, of the gradient in μ of
   E‖z‖² are computed from the same draws. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const ESTIMATES = ["pathwise", "score"];

  /* L, lower triangular, with L Lᵀ = Σ: [L₁₁, L₂₁, L₂₂]. */
  function cholesky({ deviations, correlation }) {
    const [first, second] = deviations;
    return [first, correlation * second, second * Math.sqrt(1 - correlation ** 2)];
  }

  /* ε → z = μ + Lε. */
  LIVE.moved = (law) => {
    const [a, b, c] = cholesky(law);
    const [first, second] = law.mean;
    return (noise) => [first + a * noise[0], second + b * noise[0] + c * noise[1]];
  };

  /* The gradient in μ₁ of E‖z‖², and the exact variance of one draw of either estimate. */
  LIVE.gradientLaw = ({ mean, deviations, correlation }) => {
    const [s, t] = deviations.map((deviation) => deviation ** 2);
    const covariance = correlation * deviations[0] * deviations[1];
    const average = mean[0] ** 2 + mean[1] ** 2 + s + t; // E f
    const square =
      average ** 2 +
      2 * (s ** 2 + t ** 2 + 2 * covariance ** 2) +
      4 * (mean[0] ** 2 * s + 2 * mean[0] * mean[1] * covariance + mean[1] ** 2 * t); // E f²
    const precision = 1 / (s * (1 - correlation ** 2));
    // Two integrations by parts: E[f² score²] = precision E[f²] + E[∂² f² / ∂z₁²].
    const second = precision * square + 8 * (mean[0] ** 2 + s) + 4 * average;
    return { exact: 2 * mean[0], pathwise: 4 * s, score: second - 4 * mean[0] ** 2 };
  };

  /* Both estimates in one draw, two coordinates each: {pathwise, score}. */
  LIVE.gradients = (law) => {
    const move = LIVE.moved(law);
    const [a, b, c] = cholesky(law);
    return (noise) => {
      const [first, second] = move(noise);
      const value = first ** 2 + second ** 2; // ‖z‖²
      const score = [(noise[0] - (b * noise[1]) / c) / a, noise[1] / c]; // L⁻ᵀ ε, of log q in μ
      return { pathwise: [2 * first, 2 * second], score: score.map((slope) => value * slope) };
    };
  };

  /* Mean, variance (divisor n − 1) and standard error of the first n draws, each (2):
     {pathwise: {means, variances, errors}, score: the same}. */
  LIVE.gradientMeans = (law, noise, count) => {
    const one = LIVE.gradients(law);
    const moments = ESTIMATES.map(() => [LIVE.moments(), LIVE.moments()]);
    for (let n = 0; n < count; n += 1) {
      const drawn = one([noise[2 * n], noise[2 * n + 1]]);
      ESTIMATES.forEach((name, i) => {
        for (const axis of [0, 1]) moments[i][axis].add(drawn[name][axis]);
      });
    }
    const summary = (both) => ({
      means: both.map(({ mean }) => mean),
      variances: both.map(({ variance }) => variance),
      errors: both.map(({ error }) => error),
    });
    return Object.fromEntries(ESTIMATES.map((name, i) => [name, summary(moments[i])]));
  };
})();
