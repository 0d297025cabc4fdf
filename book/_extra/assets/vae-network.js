/* A small VAE as plain arrays: its two networks, of layers.js, and one gradient by hand.

   Λ = σ²I with a σ² that is given. All weights lie in one array, the encoder's first, in the order of
   PyTorch's named_parameters. Nothing here touches the page.

   VAE_LIVE.vae.ofDigits(hidden)           → the shape with 64 – hidden – 4 units in the encoder and
                                           2 – hidden – 64 in the decoder: {encoder, decoder}, sizes
   VAE_LIVE.vae.create(shape, values)      → {shape, values, encoder, decoder}: the networks are views
                                           into values, all zero if not given
   VAE_LIVE.vae.start(shape, random)       the same with PyTorch's own start
   VAE_LIVE.vae.encode(model, image)       → [μ₁, …, log σ₁², …]
   VAE_LIVE.vae.decoder(model)             → f: (z₁, z₂) → pixels, each time in the same array
   VAE_LIVE.vae.gradient(model, images, noise, {variance, weight})
                                           → {slopes, logLikelihood, kl}: means over the batch, and
                                           the slopes of −logLikelihood + weight · kl, a model again
   VAE_LIVE.vae.moments(shape)             → what Adam remembers: {first, second, count}
   VAE_LIVE.vae.adam(model, moments, slopes, rate)   one step, in place */

/**
 * @typedef {{encoder: number[], decoder: number[]}} Shape  sizes of the layers
 * @typedef {{shape: Shape, values: Float64Array, encoder: Network, decoder: Network}} Model
 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { layers } = LIVE;

  /** @returns {Shape} */
  const ofDigits = (hidden) => ({ encoder: [64, hidden, 4], decoder: [2, hidden, 64] });

  const count = ({ encoder, decoder }) => layers.count(encoder) + layers.count(decoder);

  /**
   * @param {Shape} shape
   * @returns {Model}
   */
  function create(shape, values = new Float64Array(count(shape))) {
    if (values.length !== count(shape)) {
      throw new Error(`${values.length} weights, not ${count(shape)}`);
    }
    const border = layers.count(shape.encoder);
    return {
      shape,
      values,
      encoder: layers.create(shape.encoder, values.subarray(0, border)),
      decoder: layers.create(shape.decoder, values.subarray(border)),
    };
  }

  function start(shape, random) {
    const model = create(shape);
    for (const net of [model.encoder, model.decoder]) layers.start(net, random);
    return model;
  }

  function encode({ encoder }, image) {
    return layers.forward(encoder, layers.trace(encoder.sizes), image);
  }

  function decoder({ decoder: net }) {
    const [trace, z] = [layers.trace(net.sizes), new Float64Array(2)];
    return (first, second) => {
      z[0] = first;
      z[1] = second;
      return layers.forward(net, trace, z);
    };
  }

  /* images: arrays; noise: as many numbers an image as there are latents. */
  function gradient(model, images, noise, { variance, weight }) {
    const { encoder: inward, decoder: outward } = model;
    const [pixels, latents] = [inward.sizes[0], outward.sizes[0]];
    const [slopes, share] = [create(model.shape), 1 / images.length];
    const [first, second] = [layers.trace(inward.sizes), layers.trace(outward.sizes)];
    const [z, codeSlopes] = [new Float64Array(latents), new Float64Array(2 * latents)];
    const copySlopes = new Float64Array(pixels);
    let [squares, kl] = [0, 0];

    images.forEach((image, n) => {
      const code = layers.forward(inward, first, image);
      for (let i = 0; i < latents; i += 1) {
        const [mean, logVariance] = [code[i], code[latents + i]];
        z[i] = mean + Math.exp(logVariance / 2) * noise[latents * n + i];
        kl += 0.5 * (Math.exp(logVariance) + mean * mean - 1 - logVariance);
      }
      const copy = layers.forward(outward, second, z);
      for (let i = 0; i < pixels; i += 1) {
        const miss = copy[i] - image[i];
        squares += miss * miss;
        copySlopes[i] = (share * miss) / variance;
      }

      const zSlopes = layers.backward(outward, second, copySlopes, slopes.decoder);
      for (let i = 0; i < latents; i += 1) {
        const [mean, logVariance] = [code[i], code[latents + i]];
        const drawn = 0.5 * Math.exp(logVariance / 2) * noise[latents * n + i]; // ∂z / ∂ log σ²
        codeSlopes[i] = zSlopes[i] + share * weight * mean;
        codeSlopes[latents + i] =
          zSlopes[i] * drawn + 0.5 * share * weight * (Math.exp(logVariance) - 1);
      }
      layers.backward(inward, first, codeSlopes, slopes.encoder);
    });

    const constant = 0.5 * pixels * Math.log(2 * Math.PI * variance);
    const logLikelihood = (-0.5 * share * squares) / variance - constant;
    return { slopes, logLikelihood, kl: share * kl };
  }

  const moments = (shape) => layers.moments(count(shape));
  const adam = (model, held, slopes, rate) => layers.adam(model.values, held, slopes.values, rate);

  LIVE.vae = { ofDigits, create, start, encode, decoder, gradient, moments, adam };
})();
