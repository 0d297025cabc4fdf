/* Slide q: the mean and the width of q(z|x) move over an exact posterior. What the bound is made of,
   and the gap that it leaves below log p(x), are drawn as bars; a map of mean and width keeps the
   gap of every place where q has been. Model and data point are those of chapter 4.

   One rule computes log p(x) and the gap, another the fit and the price, so that the sum of bound
   and gap could be wrong. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [X1, X2] = [0.6, 1.2]; // the data point
  const VARIANCE = 0.25; // of each pixel, around f(z) = (z, z²)
  const MEANS = { minimum: -2, maximum: 2.5, step: 0.01 };
  const POWERS = { minimum: -3.5, maximum: 0.25, step: 0.01 }; // log₂ of the width
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

  /* The two terms of the bound, in nats: E_q[log p(x|z)], and KL(q ‖ p(z)), which is taken off it. */
  const fitOf = (q) => LIVE.integrate(rightRule, (z) => q.density(z) * logLikelihood(z));
  const priceOf = (q) =>
    LIVE.integrate(rightRule, (z) => q.density(z) * (q.logDensity(z) - prior.logDensity(z)));

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

  /* The map of means and log₂ widths is made of square cells, so that its colours can be kept. */
  const CELL = 0.05;
  const BRUSH = 0.2; // how far from its way q colours the map
  const JUMP = 0.75; // a longer step is a jump, and leaves no stroke
  const COLUMNS = Math.round((MEANS.maximum - MEANS.minimum) / CELL);
  const ROWS = Math.round((POWERS.maximum - POWERS.minimum) / CELL);
  const LIMITS = [0.1, 0.2, 0.5, 1, 2, 5, 10]; // nats, from one shade of the map to the next
  const SHADES = [
    ...["#111111", "#333333", "#525252", "#737373"],
    ...["#969696", "#b8b8b8", "#d4d4d4", "#ececec"],
  ]; // greys, because a gap is grey everywhere: orange is q's ink

  /* The mean and log₂ width in the middle of a cell; rows count upwards. */
  const centre = (column, row) => [
    MEANS.minimum + (column + 0.5) * CELL,
    POWERS.minimum + (row + 0.5) * CELL,
  ];

  /* How far a place is from the straight way between two others. */
  function distance(place, start, end) {
    const [[x, y], [startX, startY], [endX, endY]] = [place, start, end];
    const [across, up] = [endX - startX, endY - startY];
    const along = ((x - startX) * across + (y - startY) * up) / (across ** 2 + up ** 2 || 1);
    const part = Math.min(Math.max(along, 0), 1);
    return Math.hypot(x - startX - part * across, y - startY - part * up);
  }

  /* The cells, [column, row], whose centre the brush reaches on the way from one place to another. */
  function stroke(from, to) {
    const cells = [];
    for (let row = 0; row < ROWS; row += 1) {
      for (let column = 0; column < COLUMNS; column += 1) {
        if (distance(centre(column, row), from, to) <= BRUSH) cells.push([column, row]);
      }
    }
    return cells;
  }

  /* The cells that q has come near, each with the gap of the q in its centre; blank at first. */
  function createTrail() {
    const gaps = new Map(); // row · COLUMNS + column → nats
    let last = null;
    /* Returns the cells that are new, as [column, row, gap]. */
    function move(to) {
      const jumps = !last || Math.hypot(to[0] - last[0], to[1] - last[1]) > JUMP;
      const cells = stroke(jumps ? to : last, to);
      last = to;
      const fresh = cells.filter(([column, row]) => !gaps.has(row * COLUMNS + column));
      return fresh.map(([column, row]) => {
        const [mean, power] = centre(column, row);
        const gap = gapOf(LIVE.gaussian(mean, 2 ** power));
        gaps.set(row * COLUMNS + column, gap);
        return [column, row, gap];
      });
    }
    return { gaps, move };
  }

  const shadeOf = (gap) => SHADES[LIMITS.filter((limit) => limit <= gap).length];

  LIVE.slideQ = { evidence, gapOf, fitOf, priceOf, best, stroke, createTrail, shadeOf };

  const whole = (words) => words.replaceAll(" ", "\u00a0"); // on one line

  const FLOOR = -8; // nats, where the bars begin
  const SPACE = 6; // pixels between a bar and its number
  const NUMBER = 64; // pixels that a number takes with its space

  /* Three bars, read from the top: the fit; what the price takes off it; the bound that is left, with
     the gap between it and log p(x). */
  function drawBars(chart, { fit, price, bound, gap }) {
    const pen = chart.canvas.context;
    const rows = { fit: [2.12, 2.88], price: [1.12, 1.88], bound: [0.12, 0.88] };
    const level = (nats) => Math.max(nats, FLOOR);
    /* From one number of nats to another: a shape for the chart's `band` and its kin. */
    const between = (low, high, row) =>
      /** @type {[number[], number[], number[]]} */ ([
        [level(low), level(high)],
        [row[0], row[0]],
        [row[1], row[1]],
      ]);
    const edge = (nats, lower, upper, ink) =>
      chart.line([nats, nats], [lower[0], upper[1]], ink, LIVE.INKS.encoder.dash);

    /* Words that end at a place, or begin at another where the room before the first is too short. */
    function write(words, row, ink, end, begin) {
      const y = (row[0] + row[1]) / 2;
      pen.font = LIVE.FONT;
      const wide = pen.measureText(words).width + 2 * SPACE;
      const fits = chart.toX(end) - chart.toX(FLOOR) > wide;
      const left = Math.min(chart.toX(begin), chart.canvas.width - wide);
      if (!fits) {
        pen.fillStyle = "white";
        pen.fillRect(left + 2, chart.toY(y) - 10, wide - 4, 20);
      }
      const x = fits ? chart.toX(end) - SPACE : left + SPACE;
      chart.text(chart.fromX(x), y, words, ink, fits ? "right" : "left");
    }
    const number = (nats) => (nats < FLOOR ? "← " : "") + LIVE.number(nats, 4);

    chart.clear();
    chart.band(...between(FLOOR, fit, rows.fit), "decoder");
    chart.stripes(...between(bound, fit, rows.price), "prior");
    chart.band(...between(FLOOR, bound, rows.bound), "encoder");
    chart.gap(...between(bound, evidence, rows.bound));
    edge(fit, rows.price, rows.fit, "decoder");
    edge(bound, rows.bound, rows.price, "encoder");
    chart.line([evidence, evidence], [0, 3], "data");
    chart.text(evidence, 3.4, `log p(x) ${LIVE.number(evidence, 4)}`, "data", "center");
    const crossed = fit > evidence && chart.toX(fit) - chart.toX(evidence) < NUMBER;
    write(number(fit), rows.fit, "decoder", crossed ? evidence : fit, level(fit));
    write(LIVE.number(price, 4), rows.price, "prior", bound, level(fit));
    write(number(bound), rows.bound, "encoder", bound, level(bound));
    const room = chart.canvas.width - chart.toX(evidence);
    const named = room > 1.6 * NUMBER ? "gap " : ""; // a narrow screen has no room for the word
    write(named + LIVE.number(gap, 4), rows.bound, "data", FLOOR, evidence);
  }

  /* The place of the best Gaussian, seen on any shade. */
  function drawCross(chart, x, y) {
    const [pen, px, py] = [chart.canvas.context, chart.toX(x), chart.toY(y)];
    for (const [color, width] of [
      ["white", 6],
      ["#222222", 2.5],
    ]) {
      pen.beginPath();
      for (const slant of [1, -1]) {
        pen.moveTo(px - 5, py - 5 * slant);
        pen.lineTo(px + 5, py + 5 * slant);
      }
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.stroke();
    }
  }

  /* Which shade of the map is how many nats. */
  function drawKey({ context: pen, width, height }) {
    const [left, right] = [82, 10]; // pixels
    const size = (width - left - right) / SHADES.length;
    pen.fillStyle = "white";
    pen.fillRect(0, 0, width, height);
    pen.font = LIVE.FONT;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    pen.fillStyle = "#222222";
    pen.fillText("gap in nats", left - 8, 8);
    pen.textAlign = "center";
    SHADES.forEach((shade, i) => {
      pen.fillStyle = shade;
      pen.fillRect(left + i * size, 0, size + 1, 16);
      pen.fillStyle = "#222222";
      if (i > 0) pen.fillText(String(LIMITS[i - 1]), left + i * size, 26);
    });
  }

  LIVE.figure("slide-q", (stage) => {
    const view = LIVE.linspace(-2, 2.5, 301);
    const trail = createTrail();
    const colors = document.createElement("canvas"); // one pixel a cell of the map
    Object.assign(colors, { width: COLUMNS, height: ROWS });
    let least = { mean: 0, width: 1, gap: Infinity };
    let answer = null; // the best Gaussian, once the reader has asked for it
    stage.keep(
      "best",
      () => (answer ? "shown" : "hidden"),
      (text) => (answer = text === "shown" ? best() : null),
    );

    stage.column();
    const chart = stage.chart({
      width: 380,
      aspect: 0.58,
      x: { range: [-2, 2.5], ticks: [-2, -1, 0, 1, 2], label: "latent z" },
      y: { range: [0, 2.5], ticks: [0, 1, 2], label: "density" },
    });
    const mean = stage.slider({ ...MEANS, name: "mean", label: "mean of q", value: 0.8 });
    const logWidth = stage.slider({
      ...POWERS,
      name: "width",
      label: "width of q",
      value: -1,
      shows: (value) => 2 ** value,
    });
    stage.pad(chart, mean, LIVE.peak(logWidth, Math.log2));
    const reveal = stage.button("Show the best Gaussian", () => {
      answer = answer ? null : best();
    });

    stage.column();
    const map = stage.chart({
      width: 380,
      aspect: 0.76,
      x: { range: [-2, 2.5], ticks: [-2, -1, 0, 1, 2], label: "mean of q" },
      y: {
        range: [POWERS.minimum, POWERS.maximum],
        ticks: [-3, -2, -1, 0],
        words: (power) => (power < 0 ? `1/${2 ** -power}` : "1"),
        label: "width of q",
      },
    });
    stage.pad(map, mean, logWidth);
    const key = stage.canvas({ width: 380, height: 34 });
    key.describe(
      "The key of the map: eight shades, from the strongest for a gap below 0.1 nats, over 0.2, " +
        "0.5, 1, 2, 5 and 10, to the faintest for more than 10.",
    );

    stage.column({ pinned: true, wide: true });
    const rowOf = { 2.5: "fit", 1.5: "− price", 0.5: "= bound" };
    const bars = stage.chart({
      width: 720,
      height: 148,
      x: { range: [FLOOR, 0], ticks: [-8, -7, -6, -5, -4, -3, -2, -1, 0], label: "nats" },
      y: {
        range: [0, 3.8],
        ticks: [2.5, 1.5, 0.5],
        words: (row) => rowOf[row],
        label: "",
        room: 62,
      },
    });
    const sum = stage.readout(whole("bound + gap"));
    const smallest = stage.readout("smallest gap so far");

    function drawDensities(q) {
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
    }

    function drawMap(place) {
      const pen = map.canvas.context;
      const brush = colors.getContext("2d");
      for (const [column, row, gap] of trail.move(place)) {
        brush.fillStyle = shadeOf(gap);
        brush.fillRect(column, ROWS - 1 - row, 1, 1);
      }
      const [left, right] = [map.toX(MEANS.minimum), map.toX(MEANS.maximum)];
      const [top, foot] = [map.toY(POWERS.maximum), map.toY(POWERS.minimum)];
      map.clear();
      pen.imageSmoothingEnabled = false;
      pen.drawImage(colors, left, top, right - left, foot - top);
      const ring = { fill: "white", edge: "#222222" };
      map.disc(least.mean, Math.log2(least.width), 3, { ...ring, width: 1.5 });
      if (answer) drawCross(map, answer.mean, Math.log2(answer.width));
      map.disc(place[0], place[1], 7, { edge: "white", width: 5 });
      map.disc(place[0], place[1], 7, { edge: "#222222", width: 2.5 });
    }

    stage.update(() => {
      const q = LIVE.gaussian(mean.value, 2 ** logWidth.value);
      const [fit, price, gap] = [fitOf(q), priceOf(q), gapOf(q)];
      const bound = fit - price;
      if (gap < least.gap) least = { mean: q.mean, width: q.width, gap };

      drawBars(bars, { fit, price, bound, gap });
      drawDensities(q);
      drawMap([mean.value, logWidth.value]);
      drawKey(key);

      const nats = (value) => LIVE.number(value, 4);
      const where = `mean ${LIVE.number(q.mean, 2)}, width ${LIVE.number(q.width, 2)}`;
      const total = nats(bound + gap);
      sum.show(whole(`${nats(bound)} + ${nats(gap)} = ${total}`));
      smallest.show(
        answer ? whole(`${nats(least.gap)}, best ${nats(answer.gap)}`) : nats(least.gap),
      );
      reveal.element.textContent = answer ? "Hide the best Gaussian" : "Show the best Gaussian";
      chart.canvas.describe(
        `Densities over z: the prior, the posterior and q with ${where}. Left and right arrow keys ` +
          "move its mean, up makes it narrower and taller, down wider, with shift further; " +
          "Home puts it back.",
      );
      map.canvas.describe(
        `A map of q's mean and width, coloured by the gap where q has been: ${trail.gaps.size} of ` +
          `${COLUMNS * ROWS} cells. q has ${where}. Left and right arrow keys move its mean, up ` +
          "makes it wider, down narrower, with shift further; Home puts it back.",
      );
      bars.canvas.describe(
        `Bars in nats: the fit ${nats(fit)}, less the price ${nats(price)}, leaves the bound ` +
          `${nats(bound)}; the hatched gap ${nats(gap)} fills it up to log p(x) = ${nats(evidence)}.`,
      );
      const explored = trail.gaps.size;
      stage.values = { mean: q.mean, width: q.width, fit, price, bound, gap, evidence, least };
      Object.assign(stage.values, { answer, explored });
      const found = answer ? ` The best Gaussian leaves ${nats(answer.gap)} nats.` : "";
      return (
        `q with ${where}: fit ${nats(fit)} less price ${nats(price)} is the bound ${nats(bound)}; ` +
        `gap ${nats(gap)} nats, smallest so far ${nats(least.gap)}.${found}`
      );
    });
  });
})();
