/* Slide q: the mean and the width of q(z|x) move over an exact posterior, and the bound and its gap
   share log p(x) out between them. Model and data point are those of chapter 4.

   One rule computes log p(x) and the gap, another the bound, so that their sum could be wrong. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [X1, X2] = [0.6, 1.2]; // the data point
  const VARIANCE = 0.25; // of each pixel, around f(z) = (z, z²)
  const [FLOOR, TOP] = [-8, -2]; // nats
  const [LEFT, RIGHT, WORDS] = [0.06, 0.34, 0.42]; // the bar, and what is written beside it
  const LINE = 0.5; // nats, the height of a line of text
  const leftRule = LIVE.simpson(-12, 12, 1201);
  const rightRule = LIVE.simpson(-12, 12, 1601);

  const prior = LIVE.gaussian(0, 1);
  const logLikelihood = (z) =>
    -((X1 - z) ** 2 + (X2 - z * z) ** 2) / (2 * VARIANCE) - Math.log(2 * Math.PI * VARIANCE);
  const logJoint = (z) => logLikelihood(z) + prior.logDensity(z);
  const evidence = Math.log(LIVE.integrate(leftRule, (z) => Math.exp(logJoint(z)))); // log p(x)
  const posterior = (z) => Math.exp(logJoint(z) - evidence);

  /* KL(q ‖ p(z|x)), in nats. */
  const gapOf = (q) =>
    LIVE.integrate(leftRule, (z) => q.density(z) * (q.logDensity(z) - logJoint(z) + evidence));

  /* E_q[log p(x|z)] − KL(q ‖ p(z)), in nats. */
  const boundOf = (q) =>
    LIVE.integrate(rightRule, (z) => q.density(z) * (logJoint(z) - q.logDensity(z)));

  /* The Gaussian with the least gap: from chapter 4's start, steps that help, ever smaller ones. */
  function best() {
    const gapAt = (/** @type {number[]} */ place) =>
      gapOf(LIVE.gaussian(place[0], Math.exp(place[1])));
    let place = [0.8, Math.log(0.4)];
    let gap = gapAt(place);
    for (let step = 0.1; step > 1e-9; step /= 2) {
      for (let helps = true; helps; ) {
        helps = false;
        for (const [across, up] of [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
        ]) {
          const next = [place[0] + across * step, place[1] + up * step];
          const less = gapAt(next);
          if (less < gap) [place, gap, helps] = [next, less, true];
        }
      }
    }
    return { mean: place[0], width: Math.exp(place[1]), gap };
  }

  LIVE.slideQ = { evidence, gapOf, boundOf, best };

  function drawBar(chart, bound, gap) {
    const level = Math.max(bound, FLOOR);
    const bar = [LEFT, RIGHT];
    chart.clear();
    chart.band(bar, [FLOOR, FLOOR], [level, level], "encoder");
    chart.gap(bar, [level, level], [evidence, evidence]);
    chart.line(bar, [level, level], "encoder");
    chart.line([LEFT - 0.05, RIGHT + 0.05], [evidence, evidence], "data");
    const middle = Math.min((evidence + level) / 2, evidence - LINE / 2);
    const below = Math.max(Math.min(level - LINE / 2, middle - LINE), FLOOR + LINE / 2);
    const write = (y, words, value, ink) =>
      chart.text(WORDS, y, `${words} ${LIVE.number(value, 4)}`, ink, "left");
    write(evidence + LINE / 2, "log p(x)", evidence, "data");
    write(middle, "gap", gap, "data");
    write(below, bound < FLOOR ? "↓ bound" : "bound", bound, "encoder");
  }

  LIVE.figure("slide-q", (stage) => {
    const view = LIVE.linspace(-2, 2.5, 301);
    let least = { gap: Infinity };
    let answer = null; // the best Gaussian, once the reader has asked for it

    stage.column();
    const chart = stage.chart({
      width: 380,
      aspect: 0.85,
      x: { range: [-2, 2.5], ticks: [-2, -1, 0, 1, 2], label: "latent z" },
      y: { range: [0, 2.5], ticks: [0, 1, 2], label: "density" },
    });
    const means = { minimum: -2, maximum: 2.5, step: 0.01, value: 0.8 };
    const powers = { minimum: -3.5, maximum: 0.25, step: 0.01, value: -1 }; // log₂ of the width
    const mean = stage.slider({ ...means, name: "mean", label: "mean of q" });
    const logWidth = stage.slider({
      ...powers,
      name: "width",
      label: "width of q",
      shows: (value) => 2 ** value,
    });
    stage.pad(chart, mean, LIVE.peak(logWidth, Math.log2));

    stage.column();
    const bar = stage.chart({
      width: 300,
      aspect: 0.8,
      x: { range: [0, 1], ticks: [], label: "" },
      y: { range: [FLOOR, TOP], ticks: [-8, -7, -6, -5, -4, -3, -2], label: "nats" },
    });
    const sum = stage.readout("bound + gap");
    const smallest = stage.readout("smallest gap so far");
    const optimum = stage.readout("gap of the best Gaussian");
    const place = stage.readout("its mean and width");
    const reveal = stage.button("Show the best Gaussian", () => {
      answer = answer ? null : best();
    });

    stage.update(() => {
      const q = LIVE.gaussian(mean.value, 2 ** logWidth.value);
      const [bound, gap] = [boundOf(q), gapOf(q)];
      if (gap < least.gap) least = { mean: q.mean, width: q.width, gap };

      const where = `mean ${LIVE.number(q.mean, 2)}, width ${LIVE.number(q.width, 2)}`;
      const peak = Math.min(q.density(q.mean), 2.5);
      chart.clear();
      chart.line(view, view.map(prior.density), "prior");
      chart.line(view, view.map(posterior), "posterior");
      /** @type {KeyEntry[]} */
      const entries = [
        ["prior", "prior p(z)"],
        ["posterior", "posterior p(z|x)"],
        ["encoder", "q(z|x)"],
      ];
      if (answer) {
        const shape = LIVE.gaussian(answer.mean, answer.width);
        chart.line(view, view.map(shape.density), "encoder", [3, 3]);
        entries.push(["encoder", "best Gaussian", [3, 3]]);
      }
      chart.line(view, view.map(q.density), "encoder");
      chart.points([q.mean], [peak], "encoder", 6, 1);
      chart.key(entries);
      drawBar(bar, bound, gap);

      const nats = [bound, gap, bound + gap].map((value) => LIVE.number(value, 4));
      sum.show(`${nats[0]} + ${nats[1]} = ${nats[2]}`);
      smallest.show(`${LIVE.number(least.gap, 4)} nats`);
      optimum.show(answer ? `${LIVE.number(answer.gap, 4)} nats` : "not shown");
      place.show(
        answer ? `${LIVE.number(answer.mean, 3)}, ${LIVE.number(answer.width, 3)}` : "not shown",
      );
      reveal.element.textContent = answer ? "Hide the best Gaussian" : "Show the best Gaussian";
      chart.canvas.describe(
        `Densities over z: the prior, the posterior and q with ${where}. Left and right arrow keys ` +
          "move its mean, up makes it narrower and taller, down wider, with shift further; " +
          "Home puts it back.",
      );
      bar.canvas.describe(
        `A bar up to log p(x) = ${LIVE.number(evidence, 4)} nats: the bound ${nats[0]}, and the ` +
          `hatched gap ${nats[1]} above it.`,
      );
      stage.values = { mean: q.mean, width: q.width, bound, gap, evidence, least, answer };
      const found = answer ? ` The best Gaussian leaves ${LIVE.number(answer.gap, 4)} nats.` : "";
      return (
        `q with ${where}: bound ${nats[0]}, gap ${nats[1]} nats, smallest so far ` +
        `${LIVE.number(least.gap, 4)}.${found}`
      );
    });
  });
})();
