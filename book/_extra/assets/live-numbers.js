/* The numbers of the live figures. Nothing here touches the page, so that a test can call it.

   VAE_LIVE.float32(text)                  base64 → Float32Array
   VAE_LIVE.network(layers)                [{weight, bias}, …] in base64 → a function, input → output;
                                           with {weight, scale, bias} a weight is one signed byte
                                           times the scale of its output
   VAE_LIVE.digits(letters)                "aaq…" → images, each a Float64Array of 64 grey levels
   VAE_LIVE.generator(seed)                → {uniform(), normal(), normals(count)}, the same for a seed
   VAE_LIVE.logNormal(x, mean, logVariance)  log density of a diagonal Gaussian, in nats
   VAE_LIVE.moments()                      → {add(value), count, mean, variance, error}: of the numbers
                                           added so far; variance with divisor n − 1, error of the mean
   VAE_LIVE.linspace(low, high, count)     → count numbers, both ends among them
   VAE_LIVE.number(value, decimals)        → "−1.20": what a page prints, with a true minus sign
*/
(() => {
  "use strict";
  window.VAE_LIVE ||= /** @type {Live} */ ({}); // the first of the scripts on a page
  const LIVE = window.VAE_LIVE;

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  LIVE.float32 = (text) => {
    const bytes = bytesOf(text);
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  };

  /* (outputs · inputs), row after row. */
  function weightOf(layer) {
    if (!layer.scale) return LIVE.float32(layer.weight);
    const [whole, scale] = [new Int8Array(bytesOf(layer.weight).buffer), LIVE.float32(layer.scale)];
    const inputs = whole.length / scale.length;
    return Float32Array.from(whole, (value, i) => value * scale[Math.floor(i / inputs)]);
  }

  /* Linear layers with tanh between them. Weights are float32, sums are float64. */
  LIVE.network = (layers) => {
    const unpacked = layers.map((layer) => ({
      weight: weightOf(layer),
      bias: LIVE.float32(layer.bias), // (outputs)
    }));
    return (input) => {
      let values = Float64Array.from(input); // (inputs)
      unpacked.forEach(({ weight, bias }, depth) => {
        if (weight.length !== bias.length * values.length) {
          const needed = `${bias.length} outputs of ${values.length} inputs`;
          throw new Error(`layer ${depth} has ${weight.length} weights, not ${needed}`);
        }
        const outputs = new Float64Array(bias.length); // (outputs)
        for (let row = 0; row < bias.length; row += 1) {
          let sum = bias[row];
          for (let column = 0; column < values.length; column += 1) {
            sum += weight[row * values.length + column] * values[column];
          }
          outputs[row] = depth < unpacked.length - 1 ? Math.tanh(sum) : sum;
        }
        values = outputs;
      });
      return values;
    };
  };

  /* One letter a pixel, from a for white to q for black. */
  LIVE.digits = (letters) => {
    const levels = Float64Array.from(letters, (letter) => (letter.charCodeAt(0) - 97) / 16);
    return Array.from({ length: levels.length / 64 }, (_, i) =>
      levels.subarray(64 * i, 64 * i + 64),
    );
  };

  /* Uniform numbers by mulberry32 (public domain, Tommy Ettinger), normal ones by Box and Muller. */
  LIVE.generator = (seed) => {
    let state = seed >>> 0;
    function uniform() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296; // [0, 1)
    }
    function normal() {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 − u is never 0
      return radius * Math.cos(2 * Math.PI * uniform());
    }
    return { uniform, normal, normals: (count) => Float64Array.from({ length: count }, normal) };
  };

  /* x, mean, logVariance: arrays of one length. */
  LIVE.logNormal = (x, mean, logVariance) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      const squared = (x[i] - mean[i]) ** 2 * Math.exp(-logVariance[i]);
      sum -= 0.5 * (Math.log(2 * Math.PI) + logVariance[i] + squared);
    }
    return sum;
  };

  /* Welford's update: it keeps the squares about the mean of now, and so loses no digits. */
  LIVE.moments = () => {
    let squares = 0;
    return {
      count: 0,
      mean: 0,
      add(value) {
        const off = value - this.mean;
        this.count += 1;
        this.mean += off / this.count;
        squares += off * (value - this.mean);
      },
      get variance() {
        return squares / (this.count - 1);
      },
      get error() {
        return Math.sqrt(this.variance / this.count);
      },
    };
  };

  LIVE.linspace = (low, high, count) =>
    Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));

  LIVE.number = (value, decimals) => {
    const text = Math.abs(value).toFixed(decimals);
    return value < 0 && Number(text) !== 0 ? `−${text}` : text;
  };
})();
