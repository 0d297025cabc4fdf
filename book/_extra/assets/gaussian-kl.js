/* KL of two Gaussians, in both directions: the integrand, whose signed area it is, the closed form,
   and draws that estimate it, with their standard error. */
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

  const whole = (words) => words.replaceAll(" ", "\u00a0"); // on one line

  LIVE.gaussianKL = { closedForm, areas, running, spread };

  const counts = Array.from({ length: STEPS }, (_, i) =>
    Math.round(10 ** (FIRST_POWER + i / STEPS_A_DECADE)),
  );

  /* For the draws of q and, apart from it, for those of p. */
  function noiseOf(seed) {
    const random = LIVE.generator(seed);
    return { encoder: random.normals(MOST), prior: random.normals(MOST) };
  }

  LIVE.figure("gaussian-kl", (stage) => {
    const view = LIVE.linspace(-6, 6, 481);
    const zAxis = { range: [-6, 6], ticks: [-6, -3, 0, 3, 6], label: "z" };
    const means = { minimum: -3, maximum: 3, step: 0.05 };
    const widths = { minimum: 0.3, maximum: 3, step: 0.05, value: 1 };
    const size = { width: 380, aspect: 0.56 };
    let seed = 5;
    let noise = noiseOf(seed);
    let steps = 0; // of STEPS
    let drawing = false;

    stage.column();
    const densities = stage.chart({
      ...size,
      x: zAxis,
      y: { range: [0, 1.4], ticks: [0, 0.5, 1], label: "density", room: 54 },
    });
    const curves = stage.chart({
      ...size,
      x: zAxis,
      y: { range: [0, 1], label: "nats per unit of z", room: 54 },
    });
    const forthAreas = stage.readout(whole("q log(q/p)"));
    const backAreas = stage.readout(whole("p log(p/q)"));

    stage.column();
    const estimates = stage.chart({
      ...size,
      x: {
        range: [0.95, 5.05],
        ticks: [1, 2, 3, 4, 5],
        words: (power) => `10${"¹²³⁴⁵"[power - 1]}`,
        label: "number of draws",
      },
      y: { range: [0, 1], label: "nats", room: 54 },
    });
    const toggle = stage.button("Draw", () => {
      if (drawing) {
        drawing = false;
        stage.stop();
        return;
      }
      if (steps === STEPS) {
        seed += 1;
        noise = noiseOf(seed);
        steps = 0;
      }
      stage.animate(draw);
    });
    const hand = stage.choice({
      name: "hand",
      label: "Arrow keys on the densities move",
      options: { q: "q", p: "p" },
      value: "q",
    });
    const sliders = {
      q: {
        mean: stage.slider({ ...means, name: "q-mean", label: "mean of q", value: 1 }),
        width: stage.slider({ ...widths, name: "q-width", label: "width of q" }),
      },
      p: {
        mean: stage.slider({ ...means, name: "p-mean", label: "mean of p", value: -1 }),
        width: stage.slider({ ...widths, name: "p-width", label: "width of p" }),
      },
    };
    stage.button("Swap q and p", () => {
      for (const part of ["mean", "width"]) {
        const [q, p] = [sliders.q[part], sliders.p[part]];
        const [first, second] = [q.value, p.value];
        q.set(second);
        p.set(first);
      }
    });

    stage.column({ pinned: true, wide: true });
    const forthLine = stage.readout("KL(q‖p)");
    const backLine = stage.readout("KL(p‖q)");

    function draw() {
      steps += 1;
      drawing = steps < STEPS;
      return drawing;
    }
    stage.animateOnceSeen(estimates.canvas, draw);

    const gaussian = (key) => LIVE.gaussian(sliders[key].mean.value, sliders[key].width.value);

    /* What the pad moves is the Gaussian in hand: the one whose peak was nearer where the pointer
       came down, or the one that was chosen. This listener is older than the pad's, so it is first. */
    densities.canvas.element.addEventListener("pointerdown", (event) => {
      const [px, py] = densities.canvas.at(event);
      const away = (key) => {
        const { mean, density } = gaussian(key);
        return Math.hypot(densities.toX(mean) - px, densities.toY(density(mean)) - py);
      };
      hand.set(away("q") <= away("p") ? "q" : "p");
    });
    const peaks = {
      q: LIVE.peak(sliders.q.width, (width) => width),
      p: LIVE.peak(sliders.p.width, (width) => width),
    };
    stage.pad(
      densities,
      LIVE.either(() => sliders[hand.value].mean),
      LIVE.either(() => peaks[hand.value]),
    );

    function drawDensities(q, p) {
      densities.clear();
      densities.line(view, view.map(p.density), "prior");
      densities.line(view, view.map(q.density), "encoder");
      densities.points([p.mean], [p.density(p.mean)], "prior", 6, 1);
      densities.points([q.mean], [q.density(q.mean)], "encoder", 6, 1);
      densities.key([
        ["encoder", "q"],
        ["prior", "p"],
      ]);
    }

    /* Both integrands: wherever one is above zero, the other is below, so that neither hides one. */
    function drawIntegrands(directions) {
      const flat = view.map(() => 0);
      const drawn = directions.map(({ first, second, ink }) => {
        return { ink, heights: view.map(integrand(first, second)) };
      });
      const all = drawn.flatMap(({ heights }) => heights);
      const [low, high] = [Math.min(...all), Math.max(...all, 0.01)];
      curves.range(zAxis.range, [low - 0.1 * (high - low), high + 0.25 * (high - low)]);
      curves.clear();
      for (const { ink, heights } of drawn) {
        curves.band(
          view,
          flat,
          heights.map((y) => Math.max(y, 0)),
          ink,
        );
        curves.stripes(
          view,
          heights.map((y) => Math.min(y, 0)),
          flat,
          ink,
        );
      }
      for (const { ink, heights } of drawn) curves.line(view, heights, ink);
      curves.key([["encoder", "q log(q/p)"]]);
      curves.key([["prior", "p log(p/q)"]], "right");
    }

    function drawEstimates(directions) {
      const half = ({ first, second }) =>
        Math.max((2.5 * spread(first, second)) / Math.sqrt(10), 0.01);
      const lows = directions.map((each) => each.kl - half(each));
      const highs = directions.map((each) => each.kl + half(each));
      const [low, high] = [Math.min(...lows), Math.max(...highs)];
      const room = 0.15 * (high - low); // for a name below the lower line, and one above the other
      estimates.range([0.95, 5.05], [low - room, high + room]);
      estimates.clear();
      const [forth, back] = directions;
      for (const { name, kl, marks, ink } of directions) {
        const powers = counts.slice(0, marks.length).map(Math.log10);
        const edge = (sign) => marks.map(({ mean, error }) => mean + sign * 2 * error);
        estimates.band(powers, edge(-1), edge(1), ink);
        estimates.line([0.95, 5.05], [kl, kl], "data");
        const averages = marks.map(({ mean }) => mean);
        estimates.points(powers, averages, ink, 1.75, 1);
        const above = (ink === "prior") === forth.kl <= back.kl; // the dearer one's name
        const y = estimates.fromY(estimates.toY(kl) + (above ? -10 : 10));
        estimates.text(5, y, name, ink, "right");
      }
    }

    stage.update(() => {
      const [q, p] = [gaussian("q"), gaussian("p")];
      const direction = (name, first, second, ink) => ({
        ...{ name, first, second, ink },
        kl: closedForm(first, second),
        ...areas(first, second),
        marks: running(first, second, noise[ink], counts.slice(0, steps)),
      });
      const forth = direction("KL(q‖p)", q, p, "encoder");
      const back = direction("KL(p‖q)", p, q, "prior");

      drawDensities(q, p);
      drawIntegrands([forth, back]);
      drawEstimates([forth, back]);

      const nats = (value) => LIVE.number(value, 4);
      const count = steps > 0 ? counts[steps - 1] : 0;
      const many = count.toLocaleString("en");
      const about = ({ marks }) =>
        `${LIVE.number(marks[steps - 1].mean, 3)} ± ${LIVE.number(marks[steps - 1].error, 3)}`;
      const line = (each) =>
        whole(`${nats(each.kl)} nats${steps > 0 ? `; draws ${about(each)}` : ""}`);
      const parts = ({ above, below, kl }) =>
        whole(`${nats(above)} − ${LIVE.number(-below, 4)} = ${nats(kl)}`);
      forthLine.show(line(forth));
      backLine.show(line(back));
      forthAreas.show(parts(forth));
      backAreas.show(parts(back));
      const idle = { 0: "Draw", [STEPS]: "Draw afresh" }[steps] || "Go on drawing";
      toggle.element.textContent = drawing ? "Pause" : idle;

      const shape = ({ mean, width }) =>
        `mean ${LIVE.number(mean, 2)} and width ${LIVE.number(width, 2)}`;
      const drawn =
        steps > 0 ? `${many} draws give ${about(forth)} and ${about(back)}` : "no draws yet";
      densities.canvas.describe(
        `Two densities over z: q with ${shape(q)}, p with ${shape(p)}. Left and right arrow keys ` +
          `move ${hand.value}, up makes it narrower and taller, down wider, with shift further; ` +
          "Home puts it back.",
      );
      curves.canvas.describe(
        `Two integrands. q log(q/p): tinted area ${nats(forth.above)} above zero, striped area ` +
          `${nats(forth.below)} below. p log(p/q): ${nats(back.above)} above, ${nats(back.below)} ` +
          "below. Where one is above zero the other is below.",
      );
      estimates.canvas.describe(
        "The averages of draws of q and of p against their number, each with two standard errors " +
          `and a line at its closed form, ${nats(forth.kl)} and ${nats(back.kl)} nats: ${drawn}.`,
      );
      const seen = ({ kl, above, below, marks }) => ({ kl, above, below, ...marks[steps - 1] });
      stage.values = { q, p, forth: seen(forth), back: seen(back), steps, count, drawing };
      return (
        `q has ${shape(q)}, p ${shape(p)}: KL(q‖p) is ${nats(forth.kl)} nats, KL(p‖q) ` +
        `${nats(back.kl)}; ${drawn}.`
      );
    });
  });
})();
