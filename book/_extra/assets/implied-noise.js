/* The noise that a loss states without saying so: the reader writes down a loss, and sees the pixels
   that it believes in, its β beside a σ of the reader's own, and the weight that this σ needs.
   What is computed: losses.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SIDE = 8; // pixels of a test digit
  const DIGITS = 10; // of the test digits, the first that can be shown
  const GREY = 255; // levels that a pixel in [0, 1] has in a file
  const [LOW, HIGH] = [-2, 5.2]; // log₁₀ σ on the chart, σ in grey levels
  const FREE = "free"; // the size whose pixels are typed

  const SIZES = {
    64: "8 × 8",
    784: "28 × 28",
    3072: "3 × 32 × 32",
    12288: "3 × 64 × 64",
    196608: "3 × 256 × 256",
    [FREE]: "other",
  };
  /* As people write it: what the button says, and the loss. */
  const PRESETS = [
    { words: "mean + 0.00025 KL", error: "mean", weight: 0.00025, size: "12288", span: "1" },
    { words: "mean + KL", error: "mean", weight: 1, size: "784", span: "1" },
    { words: "sum + 1e-6 KL", error: "sum", weight: 1e-6, size: "196608", span: "2" },
    { words: "Keras: mean × 784", error: "sum", weight: 1, size: "784", span: "1" },
    { words: "PyTorch: cross-entropy", error: "entropy", weight: 1, size: "784", span: "1" },
  ];
  const [START] = PRESETS;

  const POWERS = ["0.01", "0.1", "1", "10", "100", "1,000", "10⁴", "10⁵"]; // from LOW on

  /* σ in grey levels, σ² of pixels in [0, 1]. */
  const levelsOf = (variance) => GREY * Math.sqrt(variance);
  const varianceOf = (levels) => (levels / GREY) ** 2;

  /* A disc and its words, which stand on the side that has room; beyond the chart, at its edge. */
  function drawMark(chart, levels, height, words, ink) {
    const power = Math.log10(levels);
    const x = Math.min(Math.max(power, LOW + 0.1), HIGH - 0.1);
    const outside = x === power ? "" : ", beyond the edge";
    const side = x < (LOW + HIGH) / 2 ? 1 : -1;
    chart.disc(x, height, 6, { fill: ink, edge: "white", width: 2 });
    chart.text(x + 0.2 * side, height, words + outside, ink, side > 0 ? "left" : "right");
  }

  function drawScale(chart, { deviation, believed, useless }) {
    chart.clear();
    if (deviation === null) {
      drawMark(chart, believed, 0.25, "you", "data");
      return;
    }
    const limit = Math.log10(useless);
    chart.band([limit, HIGH], [0, 0], [1, 1], "rival");
    chart.line([limit, limit], [0.76, 1], "rival"); // clear of the words below
    if (limit < HIGH) {
      const side = limit > (LOW + HIGH) / 2 ? "right" : "left";
      const x = side === "right" ? limit - 0.1 : limit + 0.1;
      chart.text(x, 0.88, "mean image best →", "rival", side);
    }
    const ends = [believed, deviation].map(Math.log10);
    chart.arrow([ends[0], 0.42], [ends[1], 0.42], "decoder", 2);
    drawMark(chart, believed, 0.2, "you", "data");
    drawMark(chart, deviation, 0.64, "your loss", "decoder");
  }

  /* β in words: how sure of the pixels the loss is, beside the reader. */
  function compared(beta) {
    if (Math.abs(beta - 1) < 0.005) return "as sure as you";
    return beta > 1 ? "less sure than you" : "surer than you";
  }

  LIVE.figure("implied-noise", (stage) => {
    const images = LIVE.digits(window.VAE_DIGITS.test).slice(0, DIGITS);
    let draw = 1; // the seed of the noise
    let noise = LIVE.generator(draw).normals(SIDE * SIDE);

    stage.column();
    stage.row(() => {
      for (const preset of PRESETS) {
        stage.button(preset.words, () => {
          loss.error.set(preset.error);
          loss.weight.set(preset.weight);
          loss.size.set(preset.size);
          loss.span.set(preset.span);
        });
      }
    });
    const loss = { error: null, weight: null, size: null, free: null, span: null, batch: null };
    loss.error = stage.menu({
      name: "error",
      label: "Loss",
      options: {
        half: "½ sum of squares + w KL",
        sum: "sum of squares + w KL",
        mean: "mean of squares + w KL",
        all: "mean over all + w sum of KL",
        entropy: "cross-entropy, summed + w KL",
      },
      value: START.error,
    });
    stage.row(() => {
      loss.weight = stage.number({
        name: "w",
        label: "KL weight w",
        minimum: 1e-30,
        maximum: 1e9,
        value: START.weight,
      });
      loss.size = stage.menu({ name: "size", label: "image", options: SIZES, value: START.size });
      const free = { name: "d", label: "pixels D", minimum: 1, maximum: 1e9, value: 1024 };
      loss.free = stage.number(free);
      loss.span = stage.menu({
        name: "span",
        label: "pixels from",
        options: { 1: "0 to 1", 2: "−1 to 1", 16: "0 to 16", 255: "0 to 255" },
        value: START.span,
      });
      const batch = { name: "b", label: "batch", minimum: 1, maximum: 1e9, value: 128 };
      loss.batch = stage.number(batch);
    });
    const scale = stage.chart({
      width: 384,
      height: 150,
      x: {
        range: [LOW, HIGH],
        label: "σ, grey levels of 255",
        ticks: POWERS.map((_, i) => LOW + i),
        words: (power) => POWERS[power - LOW],
      },
      y: { range: [0, 1], label: "", ticks: [], room: 14 },
    });
    const belief = stage.slider({
      name: "sigma",
      label: "your σ, levels",
      minimum: -1,
      maximum: 2.4,
      step: 0.02,
      value: 1,
      decimals: 2,
      shows: (power) => 10 ** power,
    });
    stage.pad(scale, belief, null);
    const back = stage.button("Set w to what your σ needs", () => {
      const needed = LIVE.neededWeight(written(), varianceOf(10 ** belief.value));
      loss.weight.set(Number(needed.toPrecision(6)));
    });

    stage.column({ pinned: true });
    const picture = () => {
      const made = { image: null, label: null };
      stage.stack(() => {
        made.image = stage.image({ width: 120, rows: SIDE, columns: SIDE });
        made.label = stage.readout("");
      });
      return made;
    };
    let pictures = [];
    stage.row(() => {
      pictures = [picture(), picture(), picture()];
    });
    const [clean, theirs, yours] = pictures;
    const lines = {
      deviation: stage.readout("the loss's σ, levels"),
      beta: stage.readout("the loss's β"),
    };

    stage.column();
    const more = {
      cost: stage.readout("1 level off everywhere"),
      variance: stage.readout("the loss's σ², in [0, 1]"),
      useless: stage.readout("mean image best from"),
      weight: stage.readout("w that your σ needs"),
    };
    const shown = stage.slider({
      name: "digit",
      label: "Test digit",
      minimum: 1,
      maximum: DIGITS,
      step: 1,
      value: 2,
      decimals: 0,
    });
    stage.button("Other noise", () => drawNoise(draw + 1));
    stage.keep(
      "draw",
      () => String(draw),
      (text) => drawNoise(Math.max(1, Number.parseInt(text, 10) || 1)),
    );

    function drawNoise(seed) {
      draw = seed;
      noise = LIVE.generator(draw).normals(SIDE * SIDE);
    }

    function written() {
      const pixels = loss.size.value === FREE ? loss.free.value : Number(loss.size.value);
      const [weight, batch, span] = [loss.weight.value, loss.batch.value, Number(loss.span.value)];
      return { error: loss.error.value, weight, pixels, batch, span };
    }

    /* Ink (64) with noise, as far as a pixel can show it. */
    const noisy = (digit, levels) =>
      digit.map((ink, i) => Math.min(Math.max(ink + (levels / GREY) * noise[i], 0), 1));

    function drawDigits(deviation, believed) {
      const digit = images[shown.value - 1]; // (64)
      const seen = deviation === null ? null : noisy(digit, deviation);
      const wanted = noisy(digit, believed);
      clean.image.show(digit);
      clean.label.show("digit");
      clean.image.describe(`Test digit ${shown.value}, 8 by 8 pixels.`);
      theirs.image.element.hidden = seen === null;
      if (seen) theirs.image.show(seen);
      theirs.label.show(seen ? "your loss" : "no σ, no noise");
      theirs.image.describe("The digit with noise of the σ that the loss states, clipped.");
      yours.image.show(wanted);
      yours.label.show("your σ");
      yours.image.describe("The digit with the same noise at the σ that you believe in, clipped.");
      Object.assign(stage.values, { digit, seen, wanted });
    }

    /* What a loss with a σ says: lines, and the sentence that is announced. */
    function tellNoise({ variance, deviation, useless, beta, cost, needed, beyond }) {
      const [sigma, ratio] = [LIVE.significant(deviation), LIVE.significant(beta)];
      const nats = LIVE.significant(cost);
      lines.deviation.show(sigma);
      lines.beta.show(`${ratio}, ${compared(beta)}`);
      more.cost.show(`${nats} nats`);
      more.variance.show(LIVE.significant(variance));
      more.useless.show(`σ = ${LIVE.significant(useless)}${beyond ? ", so here" : ""}`);
      more.weight.show(LIVE.significant(needed));
      const best = beyond ? ", and no network does better with it than the mean image" : "";
      return (
        `Your loss states σ = ${sigma} grey levels, σ² = ${LIVE.significant(variance)}${best}: ` +
        `at your σ of ${LIVE.number(10 ** belief.value, 2)} its β is ${ratio}, ` +
        `${compared(beta)}, and one grey level of error in every pixel costs ${nats} nats an image.`
      );
    }

    /* Near a perfect fit f it charges like a variance f(1 − f), which is at most a quarter. */
    function tellEntropy({ beta, cost }) {
      const nats = LIVE.significant(cost);
      lines.deviation.show("none");
      lines.beta.show(`${LIVE.significant(beta)}, on black and white`);
      more.cost.show(`at least ${nats} nats`);
      more.variance.show("none: like f(1 − f)");
      more.useless.show("none");
      more.weight.show("none");
      return (
        "Cross-entropy states no σ: near a perfect fit f it charges like a variance f(1 − f), " +
        "another one for each pixel, and only on black and white pixels is it a likelihood, " +
        `with β = ${LIVE.significant(beta)}.`
      );
    }

    stage.update(() => {
      const own = written();
      const { pixels } = own;
      const believed = 10 ** belief.value;
      const variance = LIVE.impliedVariance(own);
      const deviation = variance === null ? null : levelsOf(variance);
      const useless = levelsOf(LIVE.uselessFrom(pixels));
      const beta = LIVE.impliedBeta(own, varianceOf(believed));
      const cost = LIVE.greyLevelCost(variance ?? 1 / 4, pixels);
      const needed = LIVE.neededWeight(own, varianceOf(believed));
      const beyond = variance !== null && LIVE.beyondAnyNetwork(variance, pixels);

      loss.free.element.hidden = loss.size.value !== FREE;
      loss.batch.element.hidden = own.error !== "all";
      back.element.disabled = variance === null;
      drawScale(scale, { deviation, believed, useless });
      const numbers = { variance, deviation, believed, useless, beta, cost, needed, beyond };
      stage.values = { ...numbers, pixels, noise };
      drawDigits(deviation, believed);
      const said = variance === null ? tellEntropy(numbers) : tellNoise(numbers);
      scale.canvas.describe(
        `A scale of σ from 0.01 to 100,000 grey levels. ${said} Left and right arrow keys move the ` +
          "σ that you believe in, with shift further; Home goes back to the beginning.",
      );
      return said;
    });
  });
})();
