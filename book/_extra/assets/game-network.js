/* The game of a GAN on the plane, as plain arrays: the slopes of both players, by hand.

   A generator f makes f(z) + σε of a latent z; a discriminator gives a point x the logit of D(x), and
   D(x) is the logistic function of it. Networks are those of layers.js; nothing here touches the page.

   VAE_LIVE.game.softplus(t)               log(1 + eᵗ)
   VAE_LIVE.game.make(generator, z, noise, deviation)   → points, each [x, y]: one for each latent in
                                           z, a flat array; noise: two numbers a point
   VAE_LIVE.game.judge(discriminator, data, made)       → {slopes, loss}: of the discriminator's loss,
                                           −mean log D(data) − mean log(1 − D(made)); the points that
                                           were made are numbers to it, no gradient goes further
   VAE_LIVE.game.fool(discriminator, generator, z, noise, {deviation, loss})
                                           → {slopes, loss}: of the generator's loss, through the
                                           discriminator, whose weights stay; loss is a key of LOSSES
   VAE_LIVE.game.LOSSES                    {saturating, nonSaturating}: each a function of the logit
                                           of a made point, {value, slope} */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { layers } = LIVE;
  const PLANE = 2; // numbers of a point

  const softplus = (t) => Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)));
  const logistic = (t) => 1 / (1 + Math.exp(-t));

  const LOSSES = {
    saturating: { value: (t) => -softplus(t), slope: (t) => -logistic(t) }, // log(1 − D)
    nonSaturating: { value: (t) => softplus(-t), slope: (t) => -logistic(-t) }, // −log D
  };

  function make(generator, z, noise, deviation) {
    const [trace, latents] = [layers.trace(generator.sizes), generator.sizes[0]];
    return Array.from({ length: z.length / latents }, (_, n) => {
      const mean = layers.forward(generator, trace, z.subarray(latents * n, latents * (n + 1)));
      return mean.map((value, i) => value + deviation * noise[PLANE * n + i]);
    });
  }

  function judge(discriminator, data, made) {
    const slopes = layers.create(discriminator.sizes);
    const [trace, slope] = [layers.trace(discriminator.sizes), new Float64Array(1)];
    let loss = 0;
    function look(points, sign) {
      for (const point of points) {
        const [t] = layers.forward(discriminator, trace, point);
        loss += softplus(-sign * t) / points.length;
        slope[0] = (-sign * logistic(-sign * t)) / points.length;
        layers.backward(discriminator, trace, slope, slopes);
      }
    }
    look(data, 1);
    look(made, -1);
    return { slopes, loss };
  }

  function fool(discriminator, generator, z, noise, { deviation, loss: kind }) {
    const [slopes, latents] = [layers.create(generator.sizes), generator.sizes[0]];
    const [above, below] = [discriminator, generator].map(({ sizes }) => layers.trace(sizes));
    const [point, slope] = [new Float64Array(PLANE), new Float64Array(1)];
    const count = z.length / latents;
    let loss = 0;
    for (let n = 0; n < count; n += 1) {
      const mean = layers.forward(generator, below, z.subarray(latents * n, latents * (n + 1)));
      for (let i = 0; i < PLANE; i += 1) point[i] = mean[i] + deviation * noise[PLANE * n + i];
      const [t] = layers.forward(discriminator, above, point);
      loss += LOSSES[kind].value(t) / count;
      slope[0] = LOSSES[kind].slope(t) / count;
      layers.backward(generator, below, layers.backward(discriminator, above, slope, null), slopes);
    }
    return { slopes, loss };
  }

  LIVE.game = { softplus, make, judge, fool, LOSSES };
})();
