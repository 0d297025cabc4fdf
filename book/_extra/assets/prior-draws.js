/* Prior draws: draws of the prior fall on the strip where the integrand lives, or beside it, and the
   estimate of log p(x) that they make runs towards the truth. See prior-estimates.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const LIMIT = 2000; // draws at most, of the reader and of each other sample
  const OTHERS = 100; // samples of as many draws, beside the reader's
  const POUR = 12; // draws a frame of a thousand; ten draws take thirty frames
  const DRIP = 1 / 3;
  const FALL = 24; // frames that a draw is seen falling
  const [BELOW, ABOVE] = [6, 2.5]; // nats shown below and above the truth
  const WIDEST = 3.3; // the axis of z
  const LARGEST = 0.3; // σ is this times a power of ten
  const SEED = 3; // of the draws at the beginning
  const view = LIVE.linspace(-WIDEST, WIDEST, 301);
  const POWERS = LIVE.linspace(Math.log10(2), Math.log10(LIMIT), 120);
  const COUNTS = [...new Set(POWERS.map((power) => Math.round(10 ** power)))];

  /* Samples of the prior, (OTHERS + 1) · LIMIT draws: the reader's own and then the others. */
  const samplesOf = (seed) => LIVE.generator(seed).normals((OTHERS + 1) * LIMIT);

  /* How many estimates lie off the truth by more than two of the errors that they state. */
  LIVE.missed = (estimates, truth) => ({
    low: estimates.filter(({ estimate, error }) => estimate + 2 * error < truth).length,
    high: estimates.filter(({ estimate, error }) => estimate - 2 * error > truth).length,
  });

  function drawTicks(chart, draws, inside, foot) {
    const pen = chart.canvas.context;
    for (const hit of [false, true]) {
      pen.beginPath();
      for (const z of draws) {
        if (inside(z) !== hit || Math.abs(z) > WIDEST) continue;
        pen.moveTo(chart.toX(z), chart.toY(0) + (hit ? -4 : 3));
        pen.lineTo(chart.toX(z), chart.toY(foot) - 1);
      }
      pen.strokeStyle = LIVE.INKS[hit ? "decoder" : "prior"].color;
      pen.globalAlpha = hit ? 1 : 0.5;
      pen.lineWidth = hit ? 1.5 : 1;
      pen.setLineDash([]);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  /* The reader's estimate against the number of draws, and the others' at the number of now. */
  function drawEstimates(chart, counts, runs, others, truth) {
    const xs = counts.map(Math.log10);
    chart.range([Math.log10(2), Math.log10(LIMIT)], [truth - BELOW, truth + ABOVE]);
    chart.clear();
    if (runs.length > 0) {
      const lows = runs.map(({ estimate, error }) => estimate - 2 * error);
      const highs = runs.map(({ estimate, error }) => estimate + 2 * error);
      chart.band(xs, lows, highs, "prior");
      chart.points(
        others.map(() => xs.at(-1)),
        others.map(({ estimate }) => estimate),
        "prior",
        3,
        0.35,
      );
      chart.line(
        xs,
        runs.map(({ estimate }) => estimate),
        "prior",
        [],
      );
    }
    chart.line([Math.log10(2), Math.log10(LIMIT)], [truth, truth], "data");
    const [end, foot] = [Math.log10(LIMIT) - 0.04, truth - BELOW];
    chart.text(end, truth + 0.7, "log p(x)", "data", "right");
    chart.text(end, foot + 0.7, "estimate ± 2 stated errors", "prior", "right");
    const now = runs.at(-1)?.estimate;
    if (now < foot) {
      chart.text(end, foot + 2.1, `now ↓ ${LIVE.number(now, 0)}`, "prior", "right");
    }
  }

  LIVE.figure("prior-draws", (stage) => {
    let seed = SEED;
    let samples = samplesOf(seed);
    let count = 200; // draws that have landed
    let landing = count; // the same, with a fraction while draws fall
    let target = count;
    let pace = POUR;

    stage.column();
    const chart = stage.chart({
      width: 380,
      aspect: 0.6,
      x: { range: [-WIDEST, WIDEST], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "latent z" },
      y: { range: [-0.04, 0.36], label: "prior × likelihood", room: 56 },
    });
    const noise = stage.slider({
      name: "noise",
      label: "noise σ",
      minimum: -2,
      maximum: 0.5,
      step: 0.05,
      value: 0,
      decimals: 4,
      shows: (power) => LARGEST * 10 ** power,
    });
    const range = { minimum: -3.6, maximum: 3.6, step: 0.1, value: 1.5 };
    const observed = stage.slider({ ...range, name: "x", label: "observed x", decimals: 1 });
    /** @type {Movable} */
    const strip = {
      step: observed.step / 1.2,
      home: observed.home / 1.2,
      get value() {
        return observed.value / 1.2; // where the likelihood is highest
      },
      set: (z) => observed.set(1.2 * z),
    };
    stage.pad(chart, strip, null);

    function settle(draws) {
      stage.stop();
      [count, landing, target] = [draws, draws, draws];
    }
    /* Lets draws fall until there are as many as wanted. */
    function pour() {
      if (LIVE.reducedMotion()) return settle(target);
      stage.animate(() => {
        landing = Math.min(target, landing + pace);
        count = Math.floor(landing);
        return landing < target;
      });
    }
    function drop(more, each) {
      if (landing === target) pace = each;
      target = Math.min(LIMIT, target + more);
      pour();
    }
    const few = stage.button("Drop 10 draws", () => drop(10, DRIP));
    const many = stage.button("Drop 1,000 draws", () => {
      if (landing < target) settle(count);
      else drop(1000, POUR);
    });
    stage.button("Begin again with other draws", () => {
      seed += 1;
      samples = samplesOf(seed);
      settle(0);
    });
    stage.keep(
      "draws",
      () => String(count),
      (text) => {
        const wanted = Number.parseInt(text, 10);
        settle(wanted >= 0 && wanted <= LIMIT ? wanted : 200);
      },
    );
    stage.keep(
      "seed",
      () => String(seed),
      (text) => {
        const wanted = Number.parseInt(text, 10);
        const next = wanted > 0 && wanted < 1e6 ? wanted : SEED;
        if (next !== seed) samples = samplesOf(next);
        seed = next;
      },
    );

    stage.column({ pinned: true });
    const estimates = stage.chart({
      width: 380,
      aspect: 0.5,
      x: {
        range: [Math.log10(2), Math.log10(LIMIT)],
        label: "draws, log scale",
        ticks: [1, 2, 3],
        words: (power) => (10 ** power).toLocaleString("en-GB"),
      },
      y: { range: [-8, 0.5], label: "nats" }, // moves with the truth
    });
    const lines = {
      hits: stage.readout("hits"),
      share: stage.readout("mass of the strip"),
      estimate: stage.readout("estimate"),
      truth: stage.readout("log p(x)"),
      worth: stage.readout("worth"),
      mean: stage.readout(`mean of ${OTHERS} others`),
      missed: stage.readout("of them, off by > 2 errors"),
    };

    stage.update(() => {
      const model = { x: observed.value, deviation: LARGEST * 10 ** noise.value };
      const { mean, width, low, high, peak, share } = LIVE.strip(model);
      const truth = LIVE.logEvidence(model);
      const draws = samples.subarray(0, count);
      const inside = (z) => z > low && z < high;
      const hits = draws.filter(inside).length;
      const weigh = (start, counts) =>
        LIVE.priorEstimates(LIVE.logWeights(model, samples.subarray(start, start + count)), counts);
      const enough = count > 1;
      const counts = enough ? [...COUNTS.filter((each) => each < count), count] : [];
      const runs = weigh(0, counts);
      const others = enough
        ? Array.from({ length: OTHERS }, (_, k) => weigh((k + 1) * LIMIT, [count])[0])
        : [];
      const missed = LIVE.missed(others, truth);
      const average = others.reduce((sum, { estimate }) => sum + estimate, 0) / OTHERS;

      const [foot, top] = [-0.13 * peak, 1.3 * peak];
      const product = LIVE.product(model);
      const close = LIVE.linspace(mean - 5 * width, mean + 5 * width, 101);
      const zs = [...view, ...close].sort((a, b) => a - b);
      const heights = zs.map(product);
      chart.range([-WIDEST, WIDEST], [foot, top]);
      chart.clear();
      chart.band(
        zs,
        zs.map(() => 0),
        heights,
        "decoder",
      );
      chart.line(zs, heights, "decoder", []);
      drawTicks(chart, draws, inside, foot);
      for (let k = count; k < Math.min(target, landing + FALL * pace); k += 1) {
        const fall = (k - landing) / (FALL * pace); // 1 at the top, 0 on the axis
        chart.disc(samples[k], top * Math.max(fall, 0), 3, { fill: "prior" });
      }
      drawEstimates(estimates, counts, runs, others, truth);

      const { estimate, error, worth } = runs.at(-1) ?? {};
      const drawn = count.toLocaleString("en-GB");
      const percent = count ? ` (${LIVE.number((100 * hits) / count, 1)} %)` : "";
      const found = enough
        ? `${LIVE.number(estimate, 2)} ± ${LIVE.number(error, 2)}`
        : "too few draws";
      lines.hits.show(`${hits} of ${drawn}${percent}`.replaceAll(" ", "\u00a0"));
      lines.share.show(`${LIVE.number(100 * share, 2)} %`);
      lines.estimate.show(found);
      lines.truth.show(LIVE.number(truth, 6));
      lines.worth.show(enough ? `${LIVE.number(worth, 1)} draws` : "–");
      lines.mean.show(enough ? LIVE.number(average, 2) : "–");
      lines.missed.show(enough ? `${missed.low} low,\u00a0${missed.high} high` : "–");
      many.element.textContent = landing < target ? "Pause" : "Drop 1,000 draws";
      for (const each of [few, many]) each.element.disabled = count === LIMIT;
      const setting = `σ = ${LIVE.number(model.deviation, 4)}, x = ${LIVE.number(model.x, 1)}`;
      const result =
        `${hits} of ${drawn} draws in the strip, which holds ${LIVE.number(100 * share, 2)} % of the ` +
        `prior; estimate ${found}, log p(x) ${LIVE.number(truth, 2)}`;
      const elsewhere = `of ${OTHERS} other samples ${missed.low} are too low by more than two stated errors`;
      chart.canvas.describe(
        `The product of prior and likelihood over z, ${setting}, and ${drawn} draws of the prior as ` +
          `ticks below it: ${hits} lie in the strip from ${LIVE.number(low, 2)} to ` +
          `${LIVE.number(high, 2)}. Left and right arrow keys move x, with shift further; Home puts it back.`,
      );
      estimates.canvas.describe(
        `The estimate of log p(x) against the number of draws, and the truth. ${result}; ${elsewhere}.`,
      );
      stage.values = { ...model, seed, count, landing, target, hits, share, truth, low, high };
      Object.assign(stage.values, { draws, estimate, error, worth, missed, average, others });
      return `${setting}: ${result}; ${elsewhere}.`;
    });
  });
})();
