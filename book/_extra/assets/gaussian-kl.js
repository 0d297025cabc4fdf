/* KL of two Gaussians: its integrand, whose signed area it is, its closed form, and draws that
   estimate it, with their standard error. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const MOST = 100000; // draws
  const STEPS_A_DECADE = 60;
  const [FIRST_POWER, LAST_POWER] = [1, 5]; // 10 to 100,000 draws
  const STEPS = (LAST_POWER - FIRST_POWER) * STEPS_A_DECADE + 1;
  const NODES = 2001; // of the rule between two zeros of the integrand

  /* log q(z) − log p(z): a sum of squares, no exponential. */
  const logRatio = (q, p) => (z) => q.logDensity(z) - p.logDensity(z);
  const integrand = (q, p) => (z) => q.density(z) * logRatio(q, p)(z);

  /* KL(q ‖ p) in nats; Book: eq-kl-gaussians with d = 1. */
  function closedForm(q, p) {
    const logVariances = 2 * Math.log(q.width / p.width);
    return 0.5 * (Math.expm1(logVariances) - logVariances + ((q.mean - p.mean) / p.width) ** 2);
  }

  /* Where q = p: the roots of a quadratic in u = (z − mean of q) / (width of q). */
  function crossings(q, p) {
    const ratio = q.width / p.width;
    const shift = (q.mean - p.mean) / p.width;
    const [a, b, c] = [ratio * ratio - 1, 2 * ratio * shift, shift * shift - 2 * Math.log(ratio)];
    const square = b * b - 4 * a * c;
    if (square < 0) return [];
    const sum = -0.5 * (b + (b < 0 ? -1 : 1) * Math.sqrt(square)); // no difference of near numbers
    const roots = [sum / a, c / sum].filter(Number.isFinite);
    return roots.map((u) => q.mean + q.width * u);
  }

  /* The integrand's areas above and below zero: between its zeros its sign stays. */
  function areas(q, p) {
    const [low, high] = [q.mean - 10 * q.width, q.mean + 10 * q.width];
    const inside = crossings(q, p).filter((z) => z > low && z < high);
    const edges = [low, ...inside.sort((a, b) => a - b), high];
    const parts = edges
      .slice(1)
      .map((edge, i) => LIVE.integrate(LIVE.simpson(edges[i], edge, NODES), integrand(q, p)));
    const total = (sign) => parts.reduce((sum, part) => sum + sign * Math.max(sign * part, 0), 0);
    return { above: total(1), below: total(-1) };
  }

  /* Averages of log q − log p over the first draws of q, at each of the counts: {mean, error}. */
  function running(q, p, noise, counts) {
    const ratio = logRatio(q, p);
    const moments = LIVE.moments();
    return counts.map((count) => {
      while (moments.count < count) moments.add(ratio(q.mean + q.width * noise[moments.count]));
      return { mean: moments.mean, error: moments.error };
    });
  }

  /* The standard deviation of log q − log p under q. */
  function spread(q, p) {
    const ratio = q.width / p.width;
    const shift = (q.mean - p.mean) / p.width;
    return Math.sqrt(0.5 * (ratio * ratio - 1) ** 2 + (ratio * shift) ** 2);
  }

  LIVE.gaussianKL = { closedForm, areas, running, spread };

  const counts = Array.from({ length: STEPS }, (_, i) =>
    Math.round(10 ** (FIRST_POWER + i / STEPS_A_DECADE)),
  );

  LIVE.figure("gaussian-kl", (stage) => {
    const view = LIVE.linspace(-6, 6, 481);
    const zAxis = { range: [-6, 6], ticks: [-6, -3, 0, 3, 6], label: "z" };
    const means = { minimum: -3, maximum: 3, step: 0.05 };
    const widths = { minimum: 0.3, maximum: 3, step: 0.05 };
    let seed = 5;
    let noise = LIVE.generator(seed).normals(MOST);
    let steps = 0; // of STEPS
    let drawing = false;

    stage.column();
    const densities = stage.chart({
      width: 380,
      aspect: 0.6,
      x: zAxis,
      y: { range: [0, 1.4], ticks: [0, 0.5, 1], label: "density", room: 54 },
    });
    const qMean = stage.slider({ ...means, name: "q-mean", label: "mean of q", value: 1 });
    const qWidth = stage.slider({ ...widths, name: "q-width", label: "width of q", value: 0.5 });
    const pMean = stage.slider({ ...means, name: "p-mean", label: "mean of p", value: -0.5 });
    const pWidth = stage.slider({ ...widths, name: "p-width", label: "width of p", value: 1.5 });
    stage.pad(
      densities,
      qMean,
      LIVE.peak(qWidth, (width) => width),
    );
    const direction = stage.choice({
      name: "direction",
      label: "Direction",
      options: { forth: "KL(q‖p): average under q", back: "KL(p‖q): average under p" },
      value: "forth",
    });

    stage.column();
    const curve = stage.chart({
      width: 380,
      aspect: 0.6,
      x: zAxis,
      y: { range: [0, 1], label: "nats per unit of z", room: 54 },
    });
    const exact = stage.readout("closed form");
    const over = stage.readout("above zero, tinted");
    const under = stage.readout("below zero, striped");
    const estimates = stage.chart({
      width: 380,
      aspect: 0.6,
      x: {
        range: [0.95, 5.05],
        ticks: [1, 2, 3, 4, 5],
        words: (power) => `10${"¹²³⁴⁵"[power - 1]}`,
        label: "number of draws",
      },
      y: { range: [0, 1], label: "nats", room: 54 },
    });
    const drawn = stage.readout("draws");
    const toggle = stage.button("Start drawing", () => {
      if (drawing) {
        drawing = false;
        stage.stop();
        return;
      }
      if (steps === STEPS) {
        seed += 1;
        noise = LIVE.generator(seed).normals(MOST);
        steps = 0;
      }
      drawing = true;
      stage.animate(() => {
        steps += 1;
        drawing = steps < STEPS;
        return drawing;
      });
    });

    function drawDensities(q, p) {
      densities.clear();
      densities.line(view, view.map(p.density), "prior");
      densities.line(view, view.map(q.density), "encoder");
      densities.points([q.mean], [q.density(q.mean)], "encoder", 6, 1);
      densities.key([
        ["encoder", "q"],
        ["prior", "p"],
      ]);
    }

    function drawIntegrand(first, second, ink) {
      const heights = view.map(integrand(first, second));
      const [low, high] = [Math.min(...heights), Math.max(...heights, 0.01)];
      const flat = view.map(() => 0);
      curve.range(zAxis.range, [low - 0.1 * (high - low), 1.1 * high]);
      curve.clear();
      curve.band(
        view,
        flat,
        heights.map((y) => Math.max(y, 0)),
        ink,
      );
      curve.stripes(
        view,
        heights.map((y) => Math.min(y, 0)),
        flat,
        ink,
      );
      curve.line(view, heights, ink);
    }

    function drawEstimates(kl, marks, first, second, ink) {
      const half = Math.max((2.5 * spread(first, second)) / Math.sqrt(10), 0.01);
      const powers = counts.slice(0, marks.length).map(Math.log10);
      const edge = (sign) => marks.map(({ mean, error }) => mean + sign * 2 * error);
      estimates.range([0.95, 5.05], [kl - half, kl + half]);
      estimates.clear();
      estimates.band(powers, edge(-1), edge(1), ink);
      estimates.line([0.95, 5.05], [kl, kl], "data");
      estimates.points(
        powers,
        marks.map(({ mean }) => mean),
        ink,
        1.75,
        1,
      );
    }

    stage.update(() => {
      const q = LIVE.gaussian(qMean.value, qWidth.value);
      const p = LIVE.gaussian(pMean.value, pWidth.value);
      const forth = direction.value === "forth";
      const [first, second, ink] = forth ? [q, p, "encoder"] : [p, q, "prior"];
      const [name, shape] = forth ? ["KL(q‖p)", "q log(q/p)"] : ["KL(p‖q)", "p log(p/q)"];

      const kl = closedForm(first, second);
      const { above, below } = areas(first, second);
      const marks = running(first, second, noise, counts.slice(0, steps));
      const estimate = marks.length > 0 ? { ...marks[steps - 1], count: counts[steps - 1] } : null;

      drawDensities(q, p);
      drawIntegrand(first, second, ink);
      drawEstimates(kl, marks, first, second, ink);

      const count = estimate?.count.toLocaleString("en");
      const about =
        estimate && `${LIVE.number(estimate.mean, 3)} ± ${LIVE.number(estimate.error, 3)} nats`;
      exact.show(`${name} = ${LIVE.number(kl, 4)} nats`);
      over.show(`${LIVE.number(above, 4)} nats`);
      under.show(`${LIVE.number(below, 4)} nats`);
      drawn.show(estimate ? `${count} give ${about}` : "none yet");
      const idle = { 0: "Start drawing", [STEPS]: "Draw afresh" }[steps] || "Go on drawing";
      toggle.element.textContent = drawing ? "Pause" : idle;

      const gaussian = ({ mean, width }) =>
        `mean ${LIVE.number(mean, 2)} and width ${LIVE.number(width, 2)}`;
      densities.canvas.describe(
        `Two densities over z: q with ${gaussian(q)}, p with ${gaussian(p)}. Left and right arrow ` +
          "keys move q, up makes it narrower and taller, down wider, with shift further; Home puts " +
          "it back.",
      );
      curve.canvas.describe(
        `The integrand ${shape}: tinted area ${LIVE.number(above, 4)} above zero, striped area ` +
          `${LIVE.number(below, 4)} below.`,
      );
      const words = estimate ? `${count} draws give ${about}` : "no draws yet";
      estimates.canvas.describe(
        `The average of the draws against their number, with two standard errors, and a line at ` +
          `${LIVE.number(kl, 4)} nats: ${words}.`,
      );
      stage.values = { first, second, kl, above, below, steps, drawing, estimate };
      return `${name} is ${LIVE.number(kl, 4)} nats; ${words}.`;
    });
  });
})();
