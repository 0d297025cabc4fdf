/* Draw q: the reader's hand draws any q(z|x) over the posterior of chapter 3's wave model. Bound and
   gap trade places, and their sum stays where it is. Their numbers: see wave.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { places, evidence, posterior, gapOf, boundOf, levelsOf, code, decode } = LIVE.wave;
  const [FLOOR, TOP] = [-14, 0]; // nats
  const HIGHEST = 2.4; // of the plot of densities
  const PAST = 60; // guesses that the record still shows
  const [BEFORE, NOW, END, WORDS] = [0, 0.45, 0.55, 0.57]; // the record, the bar of now, its words
  const LINE = 16; // pixels, the height of a line of text
  const BRUSH = 4; // places to each side that follow a first touch, or a key
  const TRACE = [3, 3]; // the dash of what the hand drew

  const prior = LIVE.gaussian(0, 1);
  const near = LIVE.gaussian(0.4, 0.6);
  const [first, second] = [LIVE.gaussian(0.2, 0.25), LIVE.gaussian(1.4, 0.2)];
  const lobes = (z) => 0.7 * first.density(z) + 0.3 * second.density(z);
  const BEGINNINGS = {
    near: LIVE.nearestLine(near.density),
    prior: LIVE.nearestLine(prior.density),
    lobes: LIVE.nearestLine(lobes),
    posterior: LIVE.nearestLine(posterior),
  };

  const nearestPlace = (z) =>
    Math.round(((z - places[0]) / (places.at(-1) - places[0])) * (places.length - 1));

  /* Heights with a straight stroke from one place to another; around a first touch, {from: null},
     neighbours follow, the less the further away. */
  LIVE.stroke = (heights, from, to) => {
    const drawn = [...heights];
    const end = nearestPlace(to.z);
    if (!from) {
      drawn.forEach((height, i) => {
        const share = Math.max(0, 1 - Math.abs(i - end) / BRUSH);
        drawn[i] = height + share * (to.height - height);
      });
      return drawn;
    }
    const start = nearestPlace(from.z);
    const way = Math.sign(end - start);
    for (let i = start; i !== end; i += way) {
      drawn[i] = from.height + ((to.height - from.height) * (i - start)) / (end - start);
    }
    drawn[end] = to.height;
    return drawn;
  };

  /* The bar of now, and to its left where its border has been. */
  function drawRecord(chart, past) {
    const now = past.at(-1);
    const xs = past.map((_, i) => NOW - ((NOW - BEFORE) * (past.length - 1 - i)) / PAST);
    const columns = [...past, now];
    const levels = columns.map(({ bound }) => Math.max(bound, FLOOR));
    const tops = columns.map(({ bound, gap }) => bound + gap);
    const floor = columns.map(() => FLOOR);
    chart.clear();
    chart.band([...xs, END], floor, levels, "encoder");
    chart.gap([...xs, END], levels, tops);
    chart.line([...xs, END], levels, "encoder");
    chart.line([BEFORE, END], [evidence, evidence], "data");
    const level = levels.at(-1);
    const line = LINE / (chart.toY(0) - chart.toY(1)); // nats
    const middle = Math.min((evidence + level) / 2, evidence - line / 2);
    const below = Math.max(Math.min(level, middle - line), FLOOR + line / 2);
    const write = (y, words, value, ink) =>
      chart.text(WORDS, y, `${words} ${LIVE.number(value, 2)}`, ink, "left");
    write(evidence + line / 2, "log p(x)", evidence, "data");
    write(middle, "gap", now.gap, "data");
    write(below, now.bound < FLOOR ? "↓ bound" : "bound", now.bound, "encoder");
  }

  LIVE.figure("draw-q", (stage) => {
    let heights = BEGINNINGS.near; // as drawn, of any area
    let q = LIVE.brokenLine(levelsOf(heights));
    let hand = null; // where the stroke of now has come to, while it is drawn
    let down = false;
    let drawn = null; // the first and the last place that it touched
    let byHand = false;
    let given = false; // the posterior itself was the beginning: no drawing of the reader's
    let least = Infinity; // the smallest gap that a hand has left
    let past = [];

    stage.column();
    const chart = stage.chart({
      width: 380,
      aspect: 0.74,
      x: { range: [-3, 3], ticks: [-3, -2, -1, 0, 1, 2, 3], label: "latent z" },
      y: { range: [0, HIGHEST], ticks: [0, 1, 2], label: "density" },
    });
    const place = stage.slider({
      name: "z",
      label: "place z",
      minimum: -3,
      maximum: 3,
      step: 0.05,
      value: 0.4,
    });
    const height = stage.slider({
      name: "height",
      label: "q there",
      minimum: 0,
      maximum: HIGHEST,
      step: 0.05,
      value: 0,
      shows: () => q.heights[nearestPlace(place.value)],
    });

    /* Draws to here, unless nothing of q would be left. */
    function draw(to) {
      const wanted = LIVE.stroke(heights, hand, to);
      const line = LIVE.brokenLine(wanted);
      if (!line) return;
      const touched = nearestPlace(to.z);
      drawn = hand
        ? [Math.min(drawn[0], touched), Math.max(drawn[1], touched)]
        : [touched, touched];
      heights = down ? wanted : line.heights;
      hand = down ? to : null;
      byHand = !given;
    }
    function begin(shape) {
      [heights, drawn, hand, byHand] = [shape, null, null, false];
      given = shape === BEGINNINGS.posterior;
    }

    const follow = height.set; // moves the thumb and no more
    height.set = (wanted) => {
      if (!down && wanted === height.value) return; // a key moved the place alone
      follow(wanted);
      draw({ z: place.value, height: height.value });
    };
    stage.keep(
      "height",
      () => "",
      () => {},
    ); // it follows from q, which stands in the address:
    stage.keep(
      "q",
      () => {
        const text = code(heights);
        return Object.keys(BEGINNINGS).find((name) => code(BEGINNINGS[name]) === text) ?? text;
      },
      (text) => {
        const known = Object.hasOwn(BEGINNINGS, text) ? BEGINNINGS[text] : decode(text);
        begin(known && LIVE.brokenLine(known) ? known : BEGINNINGS.near);
      },
    );
    const pad = chart.canvas.element;
    pad.addEventListener("pointerdown", () => {
      [down, hand, heights] = [true, null, q.heights];
    });
    for (const end of ["pointerup", "pointercancel"]) {
      pad.addEventListener(end, () => {
        [down, hand] = [false, null];
      });
    }
    stage.pad(chart, place, height);
    stage.button("Begin with the prior", () => begin(BEGINNINGS.prior));
    stage.button("Begin with two bumps", () => begin(BEGINNINGS.lobes));
    stage.button("Begin with the posterior", () => begin(BEGINNINGS.posterior));

    stage.column({ pinned: true });
    const record = stage.chart({
      width: 380,
      aspect: 0.44,
      x: {
        range: [0, 1],
        ticks: [0.22, 0.5],
        words: (tick) => (tick < NOW ? "before" : "now"),
        label: "",
      },
      y: { range: [FLOOR, TOP], ticks: [-14, -10, -6, -2], label: "nats" },
    });
    const lines = {
      sum: stage.readout("bound + gap"),
      gap: stage.readout("gap, KL(q‖p(z|x))"),
      fit: stage.readout("E log p(x|z)"),
      price: stage.readout("KL(q‖p(z))"),
      rest: stage.readout("log p(x) − sum"),
      least: stage.readout("least gap by hand"),
    };

    stage.update(() => {
      q = LIVE.brokenLine(levelsOf(heights));
      const gap = gapOf(q);
      const { bound, logLikelihood, klToPrior } = boundOf(q);
      if (past.at(-1)?.bound !== bound) past = [...past, { bound, gap }].slice(-PAST);
      if (byHand) least = Math.min(least, gap);
      const at = q.heights[nearestPlace(place.value)];
      follow(at);

      chart.clear();
      const zeros = places.map(() => 0);
      chart.band(places, zeros, q.heights, "encoder");
      chart.line(places, places.map(prior.density), "prior");
      chart.line(places, places.map(posterior), "posterior");
      chart.line(places, q.heights, "encoder");
      if (drawn && drawn[0] < drawn[1]) {
        const touched = [drawn[0], drawn[1] + 1];
        chart.line(places.slice(...touched), heights.slice(...touched), "encoder", TRACE);
      }
      chart.disc(place.value, Math.min(at, HIGHEST), 5, {
        fill: "encoder",
        edge: "white",
        width: 1,
      });
      /** @type {KeyEntry[]} */
      const entries = [
        ["prior", "prior p(z)"],
        ["posterior", "posterior p(z|x)"],
        ["encoder", "q(z|x), area 1"],
      ];
      if (drawn) entries.push(["encoder", "as drawn", TRACE]);
      chart.key(entries);
      drawRecord(record, past);

      const nats = (value) => LIVE.number(value, 4);
      lines.sum.show(LIVE.number(bound + gap, 10));
      lines.gap.show(nats(gap));
      lines.fit.show(nats(logLikelihood));
      lines.price.show(nats(klToPrior));
      lines.rest.show(`${LIVE.number((evidence - bound - gap) * 1e15, 0)}\u00a0·\u00a010⁻¹⁵`);
      lines.least.show(least < Infinity ? nats(least) : "none yet");
      const where = `at z = ${LIVE.number(place.value, 2)} q is ${LIVE.number(at, 2)}`;
      const shares = `bound ${nats(bound)}, gap ${nats(gap)} nats`;
      chart.canvas.describe(
        `Densities over z: the prior, the two peaks of the posterior, and a drawn q; ${where}. Left ` +
          "and right arrow keys move the place, up raises q there, down lowers it, with shift " +
          "further; the rest of q makes room, so that its area stays 1.",
      );
      record.canvas.describe(
        `A bar up to log p(x) = ${nats(evidence)} nats: the ${shares}. To its left the same for ` +
          "earlier q: the border between the two moves, the top does not.",
      );
      stage.values = { place: place.value, heights: q.heights, at, bound, gap, evidence, least };
      Object.assign(stage.values, { logLikelihood, klToPrior, past: past.length });
      const sum = `together ${LIVE.number(bound + gap, 10)}`;
      return `${where[0].toUpperCase()}${where.slice(1)}: ${shares}, ${sum}.`;
    });
  });
})();
