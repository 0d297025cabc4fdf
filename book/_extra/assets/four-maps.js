/* Four maps: the best linear VAE of the digits at any pixel variance Λ = σ²I, in closed form.

   spectrum.js carries the eigenvalues of the pixels' covariance (all of them), the axes of those
   that some σ² of the slider lets through, the mean image and ten test digits. There are as many
   latents as pixels, so that σ² alone decides which are in use. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SPECTRUM = window.VAE_SPECTRUM;
  const PIXELS = 64;
  const [LOW, HIGH] = [-2.3, 0.08]; // log₁₀ σ²

  const eigenvalues = SPECTRUM.eigenvalues; // (64), squared pixels, the largest first
  const axes = LIVE.float32(SPECTRUM.axes); // (kept · 64), one unit eigenvector after another
  const average = LIVE.float32(SPECTRUM.mean); // (64)
  const digits = LIVE.float32(SPECTRUM.digits); // (10 · 64), one test digit of each class

  /* What the best model pays and leaves, averaged over the training images: rate and distortion
     −E log p(x|z) in nats, squared error in squared pixels, latents in use. */
  LIVE.linearLaw = (variance) => {
    const active = eigenvalues.filter((value) => value > variance);
    const rate = active.reduce((sum, value) => sum + Math.log(value / variance), 0) / 2;
    const error = eigenvalues.reduce((sum, value) => sum + Math.min(value, variance), 0);
    const constant = (PIXELS / 2) * Math.log(2 * Math.PI * variance);
    const distortion = constant + error / (2 * variance);
    return { active: active.length, rate, squaredError: error, distortion };
  };

  /* The posterior mean of an image (64), decoded: each active axis keeps 1 − σ²/λ of its part. */
  LIVE.reconstruct = (image, variance) => {
    const result = Float64Array.from(average); // (64)
    for (let axis = 0; eigenvalues[axis] > variance; axis += 1) {
      const direction = axes.subarray(PIXELS * axis, PIXELS * (axis + 1)); // (64)
      const part = direction.reduce((sum, u, i) => sum + u * (image[i] - average[i]), 0);
      const kept = (1 - variance / eigenvalues[axis]) * part;
      direction.forEach((u, i) => {
        result[i] += kept * u;
      });
    }
    return result;
  };

  const levels = LIVE.linspace(LOW, HIGH, 200).map((power) => LIVE.linearLaw(10 ** power));
  const curve = [levels.map(({ squaredError }) => squaredError), levels.map(({ rate }) => rate)];

  function drawSpectrum(chart, level) {
    const pen = chart.canvas.context;
    const floor = chart.toY(-2.5);
    chart.clear();
    eigenvalues.forEach((value, i) => {
      const top = chart.toY(Math.log10(value));
      if (!(top < floor)) return; // below the axis
      const [left, width] = [chart.toX(i + 0.6), chart.toX(0.8) - chart.toX(0)];
      const water = Math.max(top, chart.toY(level));
      pen.fillStyle = "#BBBBBB"; // not coded: lost in the noise
      pen.fillRect(left, water, width, floor - water);
      pen.fillStyle = LIVE.INKS.data.color;
      pen.fillRect(left, top, width, water - top);
    });
    chart.line([0, 49], [level, level], "decoder");
    const up = level < -0.2 ? 0.1 : -0.1;
    chart.text(48.5, level + up, "σ²", "decoder", "right");
  }

  function drawTrade(chart, { squaredError, rate }, variance) {
    const slope = -1 / (2 * variance); // nats of rate for a squared pixel of error
    chart.clear();
    chart.line([0, 5], [rate - slope * squaredError, rate + slope * (5 - squaredError)], "decoder");
    chart.line(...curve, "data");
    chart.disc(squaredError, rate, 7, { fill: "encoder", edge: "white", width: 2 });
    chart.text(4.9, 57, "law: the best linear VAE", "data", "right");
    chart.text(4.9, 52, "slope −1 / 2σ²", "decoder", "right");
  }

  LIVE.figure("four-maps", (stage) => {
    stage.column();
    const spectrum = stage.chart({
      width: 340,
      aspect: 0.9,
      x: { range: [0, 49], label: "eigenvalue, the largest first", ticks: [1, 10, 20, 30, 40] },
      y: {
        range: [-2.5, 0.2],
        label: "eigenvalue and σ², log scale",
        ticks: [-2, -1, 0],
        words: (power) => String(10 ** power),
        room: 56,
      },
    });
    const level = stage.slider({
      name: "variance",
      label: "σ² in Λ = σ²I",
      minimum: LOW,
      maximum: HIGH,
      step: 0.02,
      value: -1.3,
      decimals: 3,
      shows: (power) => 10 ** power,
    });
    stage.pad(spectrum, null, level);
    stage.button("Set Λ = I", () => level.set(0));

    stage.column();
    const image = stage.image({ width: 312, rows: 8, columns: 26 });
    const copy = stage.readout("digit, its copy, the mean image");
    const shown = stage.choice({
      name: "digit",
      label: "Test digit",
      options: Object.fromEntries(Array.from({ length: 10 }, (_, digit) => [digit, digit])),
      value: "3",
    });

    stage.column();
    const trade = stage.chart({
      width: 340,
      aspect: 0.9,
      x: { range: [0, 5], label: "squared error per image", ticks: [0, 1, 2, 3, 4, 5] },
      y: { range: [0, 60], label: "rate, nats per image", ticks: [0, 20, 40, 60] },
    });

    stage.column();
    const lines = {
      active: stage.readout("latents in use"),
      rate: stage.readout("rate, KL to the prior"),
      distortion: stage.readout("distortion, −E log p(x|z)"),
      total: stage.readout("−log p(x), their sum"),
      error: stage.readout("squared error"),
      verdict: stage.readout("largest eigenvalue"),
    };

    stage.update(() => {
      const variance = 10 ** level.value;
      const law = LIVE.linearLaw(variance);
      const digit = digits.subarray(
        PIXELS * Number(shown.value),
        PIXELS * (Number(shown.value) + 1),
      );
      const pixels = LIVE.reconstruct(digit, variance); // (64)
      const missed = pixels.reduce((sum, value, i) => sum + (value - digit[i]) ** 2, 0);
      const row = (image, i) => [...image.subarray(8 * i, 8 * i + 8)];
      const bar = [0.4]; // between two images
      const strip = Array.from({ length: 8 }, (_, i) => [
        ...[...row(digit, i), ...bar, ...row(pixels, i), ...bar, ...row(average, i)],
      ]);

      const number = LIVE.number(variance, 3);
      const collapsed = law.active === 0;
      const largest = LIVE.number(eigenvalues[0], 3);
      const side = collapsed ? "< σ²: collapse" : "> σ²";
      drawSpectrum(spectrum, level.value);
      drawTrade(trade, law, variance);
      image.show(strip.flat());
      copy.show(`error ${LIVE.number(missed, 2)}`);
      lines.active.show(`${law.active} of ${PIXELS}`);
      lines.rate.show(`${LIVE.number(law.rate, 2)} nats`);
      lines.distortion.show(`${LIVE.number(law.distortion, 2)} nats`);
      lines.total.show(`${LIVE.number(law.rate + law.distortion, 2)} nats`);
      lines.error.show(LIVE.number(law.squaredError, 3));
      lines.verdict.show(`${largest} ${side}`);

      const copied = collapsed ? "the mean image, as of every digit" : "its copy";
      const words = collapsed
        ? `The largest eigenvalue is ${largest}, so every latent collapses: rate 0, and every ` +
          "digit becomes the mean image."
        : `${law.active} latents in use, rate ${LIVE.number(law.rate, 2)} nats, squared error ` +
          `${LIVE.number(law.squaredError, 2)}.`;
      spectrum.canvas.describe(
        `Eigenvalues as falling bars, σ² = ${number} as a line: ${law.active} bars rise above it. ` +
          "Up and down arrow keys move σ², with shift further; Home goes back to the beginning.",
      );
      trade.canvas.describe(
        `Rate against squared error: a falling curve, and on it the point of σ² = ${number}, ` +
          `rate ${LIVE.number(law.rate, 2)} nats, error ${LIVE.number(law.squaredError, 2)}.`,
      );
      image.describe(
        `Test digit ${shown.value}, ${copied}, and the mean image, 8 by 8 pixels each.`,
      );
      stage.values = { variance, ...law, digit: Number(shown.value), pixels };
      return `σ² = ${number}. ${words}`;
    });
  });
})();
