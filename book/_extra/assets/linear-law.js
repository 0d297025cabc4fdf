/* The best linear VAE of the digits, in closed form: what chapters 7 and 13 drag.

   spectrum.js carries the eigenvalues of the pixels' covariance (all of them), the axes of the
   first, the mean image and ten test digits. There are as many latents as pixels.

   VAE_LIVE.spectrum                       {eigenvalues, average, digits, kept}: kept axes are carried
   VAE_LIVE.linearLaw(variance)            what the best model at σ² pays and leaves
   VAE_LIVE.reconstruct(image, variance)   its copy of an image
   VAE_LIVE.turned(latent, value, variance)  what its decoder draws
   VAE_LIVE.waterLevel(nats)               the σ² at which its rate is so many nats
   VAE_LIVE.levelOfError(error)            the σ² at which its squared error is so large
   VAE_LIVE.remainingError(rates)          the squared error of latents that got other nats
   VAE_LIVE.copyOf(image, rates)           and their copy of an image
*/
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SPECTRUM = window.VAE_SPECTRUM;
  const PIXELS = 64;

  const eigenvalues = SPECTRUM.eigenvalues; // (64), squared pixels, the largest first
  const axes = LIVE.float32(SPECTRUM.axes); // (kept · 64), one unit eigenvector after another
  const average = LIVE.float32(SPECTRUM.mean); // (64)
  const digits = LIVE.float32(SPECTRUM.digits); // (10 · 64), one test digit of each class
  const kept = axes.length / PIXELS;
  LIVE.spectrum = { eigenvalues, average, digits, kept };

  const total = (values) => values.reduce((sum, value) => sum + value, 0);

  /* Averaged over the training images: rate and distortion −E log p(x|z) in nats, squared error in
     squared pixels, latents in use. */
  LIVE.linearLaw = (variance) => {
    const active = eigenvalues.filter((value) => value > variance);
    const rate = total(active.map((value) => Math.log(value / variance))) / 2;
    const error = total(eigenvalues.map((value) => Math.min(value, variance)));
    const constant = (PIXELS / 2) * Math.log(2 * Math.PI * variance);
    const distortion = constant + error / (2 * variance);
    return { active: active.length, rate, squaredError: error, distortion };
  };

  const axisOf = (latent) => axes.subarray(PIXELS * (latent - 1), PIXELS * latent); // (64)

  /* The mean image, and of each axis that is carried a share of the image's part along it. */
  function withShares(image, shares) {
    const result = Float64Array.from(average); // (64)
    shares.forEach((share, i) => {
      if (share === 0) return;
      const direction = axisOf(i + 1);
      const part = direction.reduce((sum, u, j) => sum + u * (image[j] - average[j]), 0);
      direction.forEach((u, j) => {
        result[j] += share * part * u;
      });
    });
    return result;
  }

  /* The posterior mean of an image (64), decoded: each active axis keeps 1 − σ²/λ of its part. */
  LIVE.reconstruct = (image, variance) => {
    const carried = eigenvalues.slice(0, kept);
    const shares = carried.map((value) => Math.max(0, 1 - variance / value));
    return withShares(image, shares);
  };

  /* The decoder's image (64) where one latent, counted from 1, has a value and the others are 0. */
  LIVE.turned = (latent, value, variance) => {
    const scale = value * Math.sqrt(Math.max(0, eigenvalues[latent - 1] - variance));
    return Float64Array.from(axisOf(latent), (u, i) => average[i] + scale * u);
  };

  /* With the first k in use the rate is ½ Σ log(λ / σ²): solved for σ², it says whether they are. */
  LIVE.waterLevel = (nats) => {
    let logs = 0;
    let level = eigenvalues[0];
    for (let count = 1; count <= kept; count += 1) {
      logs += Math.log(eigenvalues[count - 1]);
      const candidate = Math.exp((logs - 2 * nats) / count);
      if (candidate >= eigenvalues[count - 1]) break;
      level = candidate;
    }
    return level;
  };

  /* By bisection on log σ²: the error rises with it. */
  LIVE.levelOfError = (error) => {
    let [low, high] = [Math.log(1e-6), Math.log(eigenvalues[0])];
    for (let i = 0; i < 60; i += 1) {
      const middle = (low + high) / 2;
      if (LIVE.linearLaw(Math.exp(middle)).squaredError < error) low = middle;
      else high = middle;
    }
    return Math.exp((low + high) / 2);
  };

  /* rates: nats of the first latents; the others have none. */
  LIVE.remainingError = (rates) =>
    total(eigenvalues.map((value, i) => value * Math.exp(-2 * (rates[i] ?? 0))));

  LIVE.copyOf = (image, rates) =>
    withShares(
      image,
      rates.map((nats) => 1 - Math.exp(-2 * nats)),
    );
})();
