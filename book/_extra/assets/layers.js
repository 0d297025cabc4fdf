/* Networks of linear layers with tanh between, as plain arrays: values, slopes by hand, one step of
   Adam. All weights of a network lie in one array, in the order of PyTorch's named_parameters, so
   that a test compares them number by number. Nothing here touches the page.

   VAE_LIVE.layers.count(sizes)            how many numbers a network has; sizes: [inputs, …, outputs]
   VAE_LIVE.layers.create(sizes, values)   → {sizes, values, layers}: layers are views into values,
                                           all zero if not given
   VAE_LIVE.layers.start(net, random)      PyTorch's own start: uniform on ±1/√inputs, in place
   VAE_LIVE.layers.trace(sizes)            → {outputs, slopes}: an array a depth, used again and again
   VAE_LIVE.layers.forward(net, trace, input)    → the output, in the trace
   VAE_LIVE.layers.backward(net, trace, slopes, into)   from the slopes of the output, after forward:
                                           → those of the input, in the trace; adds those of the
                                           weights to the network `into`, unless that is null
   VAE_LIVE.layers.moments(count)          → what Adam remembers: {first, second, count}
   VAE_LIVE.layers.adam(values, moments, slopes, rate)   one step, in place */

/**
 * @typedef {{weight: Float64Array, bias: Float64Array}} Layer  weight row after row
 * @typedef {{sizes: number[], values: Float64Array, layers: Layer[]}} Network
 * @typedef {{outputs: Float64Array[], slopes: Float64Array[]}} Trace  the input is outputs[0]
 * @typedef {{first: Float64Array, second: Float64Array, count: number}} Moments
 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [KEEP_FIRST, KEEP_SECOND, EPSILON] = [0.9, 0.999, 1e-8]; // as in vae_tutorial.adam

  const count = (sizes) =>
    sizes.slice(1).reduce((sum, outputs, i) => sum + (sizes[i] + 1) * outputs, 0);

  /**
   * @param {number[]} sizes
   * @returns {Network}
   */
  function create(sizes, values = new Float64Array(count(sizes))) {
    if (values.length !== count(sizes)) {
      throw new Error(`${values.length} weights, not the ${count(sizes)} of ${sizes.join(" – ")}`);
    }
    let used = 0;
    function take(length) {
      used += length;
      return values.subarray(used - length, used);
    }
    const layers = sizes.slice(1).map((outputs, i) => ({
      weight: take(sizes[i] * outputs),
      bias: take(outputs),
    }));
    return { sizes, values, layers };
  }

  function start(net, random) {
    net.layers.forEach(({ weight, bias }, i) => {
      const reach = 1 / Math.sqrt(net.sizes[i]);
      for (const part of [weight, bias]) {
        for (let k = 0; k < part.length; k += 1) part[k] = (2 * random.uniform() - 1) * reach;
      }
    });
  }

  /** @returns {Trace} */
  const trace = (sizes) => ({
    outputs: sizes.map((size) => new Float64Array(size)),
    slopes: sizes.map((size) => new Float64Array(size)),
  });

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

  function forward({ layers }, { outputs }, input) {
    outputs[0].set(input);
    for (let depth = 0; depth < layers.length; depth += 1) {
      linear(layers[depth], outputs[depth], outputs[depth + 1]);
      if (depth < layers.length - 1) bend(outputs[depth + 1]);
    }
    return outputs[layers.length];
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

  function backward({ layers }, { outputs, slopes: held }, slopes, into) {
    held[layers.length].set(slopes);
    for (let depth = layers.length - 1; depth >= 0; depth -= 1) {
      if (into) slopesOfLayer(held[depth + 1], outputs[depth], into.layers[depth]);
      slopesOfInput(layers[depth], held[depth + 1], held[depth]);
      if (depth > 0) unbend(held[depth], outputs[depth]);
    }
    return held[0];
  }

  /** @returns {Moments} */
  const moments = (length) => ({
    first: new Float64Array(length),
    second: new Float64Array(length),
    count: 0,
  });

  /* Source: Kingma & Ba 2015, algorithm 1. */
  function adam(values, held, g, rate) {
    held.count += 1;
    const { first, second, count: step } = held;
    const [low, high] = [1 - KEEP_FIRST ** step, 1 - KEEP_SECOND ** step];
    for (let i = 0; i < values.length; i += 1) {
      first[i] = KEEP_FIRST * first[i] + (1 - KEEP_FIRST) * g[i];
      second[i] = KEEP_SECOND * second[i] + (1 - KEEP_SECOND) * g[i] * g[i];
      values[i] -= (rate * (first[i] / low)) / (Math.sqrt(second[i] / high) + EPSILON);
    }
  }

  LIVE.layers = { count, create, start, trace, forward, backward, moments, adam };
})();
