/* A small VAE as plain arrays: its two networks, one gradient by hand, one step of Adam.

   The encoder has 64 – hidden – 4 units, the decoder 2 – hidden – 64, tanh between, and Λ = σ²I with
   a σ² that is given. All weights lie in one array, in the order of PyTorch's named_parameters, so
   that a test compares them number by number. Nothing here touches the page.

   VAE_LIVE.vae.create(hidden, values)     → {hidden, values, encoder, decoder}: the layers are views
                                           into values, all zero if not given
   VAE_LIVE.vae.start(hidden, random)      the same with PyTorch's own start: uniform on ±1/√inputs
   VAE_LIVE.vae.encode(model, image)       → [μ₁, μ₂, log σ₁², log σ₂²]
   VAE_LIVE.vae.decoder(model)             → f: (z₁, z₂) → 64 pixels, each time in the same array
   VAE_LIVE.vae.gradient(model, images, noise, {variance, weight})
                                           → {slopes, logLikelihood, kl}: means over the batch, and
                                           the slopes of −logLikelihood + weight · kl, a model again
   VAE_LIVE.vae.moments(hidden)            → what Adam remembers: {first, second, count}
   VAE_LIVE.vae.adam(model, moments, slopes, rate)   one step, in place */

/**
 * @typedef {{weight: Float64Array, bias: Float64Array}} Layer  weight row after row
 * @typedef {{hidden: number, values: Float64Array, encoder: Layer[], decoder: Layer[]}} Model
 * @typedef {{first: Float64Array, second: Float64Array, count: number}} Moments
 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [PIXELS, LATENT] = [64, 2];
  const [KEEP_FIRST, KEEP_SECOND, EPSILON] = [0.9, 0.999, 1e-8]; // as in vae_tutorial.adam

  /* [inputs, outputs] of the layers, the encoder's two first. */
  const sizes = (hidden) => [
    [PIXELS, hidden],
    [hidden, 2 * LATENT],
    [LATENT, hidden],
    [hidden, PIXELS],
  ];

  const count = (hidden) =>
    sizes(hidden).reduce((sum, [inputs, outputs]) => sum + (inputs + 1) * outputs, 0);

  /** @returns {Model} */
  function create(hidden, values = new Float64Array(count(hidden))) {
    if (values.length !== count(hidden)) {
      throw new Error(`${values.length} weights, not the ${count(hidden)} of width ${hidden}`);
    }
    let used = 0;
    function take(length) {
      used += length;
      return values.subarray(used - length, used);
    }
    const layers = sizes(hidden).map(([inputs, outputs]) => ({
      weight: take(inputs * outputs),
      bias: take(outputs),
    }));
    return { hidden, values, encoder: layers.slice(0, 2), decoder: layers.slice(2) };
  }

  function start(hidden, random) {
    const model = create(hidden);
    [...model.encoder, ...model.decoder].forEach(({ weight, bias }, i) => {
      const reach = 1 / Math.sqrt(sizes(hidden)[i][0]);
      for (const part of [weight, bias]) {
        for (let k = 0; k < part.length; k += 1) part[k] = (2 * random.uniform() - 1) * reach;
      }
    });
    return model;
  }

  /* output = weight · input + bias */
  function linear({ weight, bias }, input, output) {
    for (let row = 0, at = 0; row < output.length; row += 1) {
      let sum = bias[row];
      for (let column = 0; column < input.length; column += 1, at += 1) {
        sum += weight[at] * input[column];
      }
      output[row] = sum;
    }
  }

  function bend(values) {
    for (let i = 0; i < values.length; i += 1) values[i] = Math.tanh(values[i]);
  }

  /* Adds what the slopes of a layer's output say of its weights. */
  function slopesOfLayer(slopes, input, { weight, bias }) {
    for (let row = 0, at = 0; row < slopes.length; row += 1) {
      const slope = slopes[row];
      bias[row] += slope;
      for (let column = 0; column < input.length; column += 1, at += 1) {
        weight[at] += slope * input[column];
      }
    }
  }

  /* The slopes of a layer's input, from those of its output. */
  function slopesOfInput({ weight }, slopes, result) {
    result.fill(0);
    for (let row = 0, at = 0; row < slopes.length; row += 1) {
      for (let column = 0; column < result.length; column += 1, at += 1) {
        result[column] += weight[at] * slopes[row];
      }
    }
  }

  /* Back through tanh, whose slope is 1 − tanh². */
  function unbend(slopes, bent) {
    for (let i = 0; i < slopes.length; i += 1) slopes[i] *= 1 - bent[i] * bent[i];
  }

  function encode(model, image) {
    const hidden = new Float64Array(model.hidden);
    const code = new Float64Array(2 * LATENT);
    linear(model.encoder[0], image, hidden);
    bend(hidden);
    linear(model.encoder[1], hidden, code);
    return code;
  }

  function decoder(model) {
    const z = new Float64Array(LATENT);
    const hidden = new Float64Array(model.hidden);
    const pixels = new Float64Array(PIXELS);
    return (first, second) => {
      z[0] = first;
      z[1] = second;
      linear(model.decoder[0], z, hidden);
      bend(hidden);
      linear(model.decoder[1], hidden, pixels);
      return pixels;
    };
  }

  /* images: arrays of 64; noise: two numbers an image. */
  function gradient(model, images, noise, { variance, weight }) {
    const { encoder: inward, decoder: outward } = model;
    const slopes = create(model.hidden);
    const share = 1 / images.length;
    const [first, second] = [new Float64Array(model.hidden), new Float64Array(model.hidden)];
    const [back, forth] = [new Float64Array(model.hidden), new Float64Array(model.hidden)];
    const [code, codeSlopes] = [new Float64Array(2 * LATENT), new Float64Array(2 * LATENT)];
    const [z, zSlopes] = [new Float64Array(LATENT), new Float64Array(LATENT)];
    const [copy, copySlopes] = [new Float64Array(PIXELS), new Float64Array(PIXELS)];
    let [squares, kl] = [0, 0];

    images.forEach((image, n) => {
      linear(inward[0], image, first);
      bend(first);
      linear(inward[1], first, code);
      for (let i = 0; i < LATENT; i += 1) {
        const [mean, logVariance] = [code[i], code[LATENT + i]];
        z[i] = mean + Math.exp(logVariance / 2) * noise[LATENT * n + i];
        kl += 0.5 * (Math.exp(logVariance) + mean * mean - 1 - logVariance);
      }
      linear(outward[0], z, second);
      bend(second);
      linear(outward[1], second, copy);
      for (let i = 0; i < PIXELS; i += 1) {
        const miss = copy[i] - image[i];
        squares += miss * miss;
        copySlopes[i] = (share * miss) / variance;
      }

      slopesOfLayer(copySlopes, second, slopes.decoder[1]);
      slopesOfInput(outward[1], copySlopes, forth);
      unbend(forth, second);
      slopesOfLayer(forth, z, slopes.decoder[0]);
      slopesOfInput(outward[0], forth, zSlopes);
      for (let i = 0; i < LATENT; i += 1) {
        const [mean, logVariance] = [code[i], code[LATENT + i]];
        const drawn = 0.5 * Math.exp(logVariance / 2) * noise[LATENT * n + i]; // ∂z / ∂ log σ²
        codeSlopes[i] = zSlopes[i] + share * weight * mean;
        codeSlopes[LATENT + i] =
          zSlopes[i] * drawn + 0.5 * share * weight * (Math.exp(logVariance) - 1);
      }
      slopesOfLayer(codeSlopes, first, slopes.encoder[1]);
      slopesOfInput(inward[1], codeSlopes, back);
      unbend(back, first);
      slopesOfLayer(back, image, slopes.encoder[0]);
    });

    const constant = 0.5 * PIXELS * Math.log(2 * Math.PI * variance);
    const logLikelihood = (-0.5 * share * squares) / variance - constant;
    return { slopes, logLikelihood, kl: share * kl };
  }

  function moments(hidden) {
    const zeros = () => new Float64Array(count(hidden));
    return { first: zeros(), second: zeros(), count: 0 };
  }

  /* Source: Kingma & Ba 2015, algorithm 1. */
  function adam(model, held, slopes, rate) {
    held.count += 1;
    const { first, second, count: step } = held;
    const [low, high] = [1 - KEEP_FIRST ** step, 1 - KEEP_SECOND ** step];
    const [values, g] = [model.values, slopes.values];
    for (let i = 0; i < values.length; i += 1) {
      first[i] = KEEP_FIRST * first[i] + (1 - KEEP_FIRST) * g[i];
      second[i] = KEEP_SECOND * second[i] + (1 - KEEP_SECOND) * g[i] * g[i];
      values[i] -= (rate * (first[i] / low)) / (Math.sqrt(second[i] / high) + EPSILON);
    }
  }

  LIVE.vae = {
    create,
    start,
    encode,
    decoder,
    gradient,
    moments,
    adam,
  };
})();
