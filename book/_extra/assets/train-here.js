/* Train it here: a VAE with two latents, trained in the page on the 1,500 digits.

   While it trains, log p(x) of ten test digits is computed exactly, and what their bound leaves below
   it is split into what the encoder loses and what the family of q does. digits.js carries the data,
   framework.js the framework's drawing for a step in slow motion, vae-network.js the training,
   vae-exact.js the integrals, and drawn-digit.js the reader's own digit. All of it is done in slices of
   a few milliseconds, between two of which the page answers. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const DIGITS = window.VAE_DIGITS;
  const FRAMEWORK = window.VAE_FRAMEWORK;
  const { vae, exact, drawn } = LIVE;
  const [HIDDEN, BATCH, SEED] = [32, 100, 1];
  const SLICE = 12; // milliseconds of work a frame
  const SHARE = 1; // training gets so many times the milliseconds that measuring takes
  const DEPTH = 30; // nats below the top that the chart of the bound shows
  const ASLEEP = 0.05; // nats: a latent with a lower rate has collapsed
  const MAP_EVERY = 100; // milliseconds between two pictures of the plane

  /* Letters from a to q, one a pixel, as arrays of 64 grey levels from 0 to 1. */
  function images(letters) {
    const levels = Float64Array.from(letters, (letter) => (letter.charCodeAt(0) - 97) / 16);
    return Array.from({ length: levels.length / 64 }, (_, i) =>
      levels.subarray(64 * i, 64 * i + 64),
    );
  }
  const train = images(DIGITS.train);
  const test = images(DIGITS.test);
  const labels = Array.from(DIGITS.trainLabels, Number);
  const classes = DIGITS.colours.map((_, digit) =>
    labels.flatMap((label, i) => (label === digit ? [i] : [])),
  );
  /* The first test digit of each class. */
  const ten = DIGITS.colours.map((_, digit) => test[DIGITS.testLabels.indexOf(String(digit))]);

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const nats = (value) => `${LIVE.number(value, 2)} nats`;
  const pair = (values) => `(${values.map((value) => LIVE.number(value, 2)).join(", ")})`;
  const rateOf = (m, logVariance) => 0.5 * (Math.exp(logVariance) + m * m - 1 - logVariance);
  const posterior = (code) => ({ mean: [code[0], code[1]], logVariance: [code[2], code[3]] });

  /* A run from its start: the same weights, batches and noise each time, whatever the settings. */
  function createRun() {
    const random = LIVE.generator(SEED);
    const model = vae.start(HIDDEN, random);
    const moments = vae.moments(HIDDEN);
    let order = [];

    /* BATCH rows, each once an epoch, and two numbers of noise for each. */
    function next() {
      if (order.length < BATCH) {
        order = train.map((_, i) => i);
        for (let i = order.length - 1; i > 0; i -= 1) {
          const other = Math.floor(random.uniform() * (i + 1));
          [order[i], order[other]] = [order[other], order[i]];
        }
      }
      return { rows: order.splice(0, BATCH), noise: random.normals(2 * BATCH) };
    }
    const gradient = ({ rows, noise }, settings) =>
      vae.gradient(
        model,
        rows.map((row) => train[row]),
        noise,
        settings,
      );
    const move = (slopes, rate) => vae.adam(model, moments, slopes, rate);
    return { model, moments, next, gradient, move };
  }

  /* Where q puts the training digits, and the rate of each latent, averaged over them. */
  function mapped(model) {
    const codes = train.map((image) => vae.encode(model, image));
    const rates = [0, 1].map((i) => mean(codes.map((code) => rateOf(code[i], code[2 + i]))));
    return { codes, rates };
  }

  /* One step, walked through: what each of the seven stops says, and what it lights. */
  function walk(run, settings, rate) {
    const batch = run.next();
    const image = train[batch.rows[0]];
    const before = run.gradient(batch, settings);
    const { mean: centre, logVariance } = posterior(vae.encode(run.model, image));
    const deviations = logVariance.map((value) => Math.exp(value / 2));
    const noise = [batch.noise[0], batch.noise[1]];
    const z = centre.map((m, i) => m + deviations[i] * noise[i]);
    const copy = Float64Array.from(vae.decoder(run.model)(z[0], z[1]));
    const missed = image.reduce((sum, value, i) => sum + (value - copy[i]) ** 2, 0);
    const lossOf = ({ logLikelihood, kl }) => settings.weight * kl - logLikelihood;
    const steep = Math.hypot(...before.slopes.values);
    const factor = settings.weight === 1 ? "" : `${LIVE.number(settings.weight, 2)} · `;
    let after = Number.NaN; // the loss on the same batch once the weights have moved
    const stops = [
      {
        lit: "x",
        says: () =>
          `batch: ${BATCH} of the ${train.length.toLocaleString("en")} digits, x (${BATCH}, 64). ` +
          `The first of them, drawn here, is a ${labels[batch.rows[0]]}.`,
      },
      {
        lit: "encoder mu sigma axis q",
        says: () =>
          `encode: for this digit μ(x) = ${pair(centre)}, and σ = ${pair(deviations)}, ` +
          `the roots of Σ(x); (${BATCH}, 2) each for the batch.`,
      },
      {
        lit: "noise z axis q",
        says: () => `noise: ε = ${pair(noise)}, so z = μ + σε = ${pair(z)}; (${BATCH}, 2).`,
      },
      {
        lit: "decoder f lambda copy",
        says: () =>
          `decode: f(z) is the copy, 64 pixels, at a squared distance of ` +
          `${LIVE.number(missed, 2)} from x; (${BATCH}, 64). Λ is σ² = ` +
          `${LIVE.number(settings.variance, 3)} for every pixel.`,
      },
      {
        lit: "rate distortion loss",
        says: () =>
          `score: over the batch the distortion is ${nats(-before.logLikelihood)}, the rate ` +
          `${nats(before.kl)}, the loss ${LIVE.number(-before.logLikelihood, 2)} + ${factor}` +
          `${LIVE.number(before.kl, 2)} = ${nats(lossOf(before))}.`,
      },
      {
        lit: "extra",
        says: () =>
          `gradient: back from the loss through decoder, z and encoder, ` +
          `${before.slopes.values.length.toLocaleString("en")} slopes, of length ` +
          `${LIVE.number(steep, 1)} together.`,
      },
      {
        lit: "encoder decoder",
        says: () =>
          `update: Adam has moved every weight, at a learning rate of ` +
          `${LIVE.number(rate, 4)}. The loss of the same batch with the same noise ` +
          `${after < lossOf(before) ? "falls" : "rises"} from ` +
          `${LIVE.number(lossOf(before), 2)} to ${nats(after)}.`,
      },
    ];
    let at = 0;
    return {
      image,
      copy,
      get at() {
        return at;
      },
      get lit() {
        return stops[at].lit.split(" ");
      },
      get words() {
        return `Stop ${at + 1} of ${stops.length}, ${stops[at].says()}`;
      },
      get done() {
        return at === stops.length - 1;
      },
      next() {
        at += 1;
        if (at < stops.length - 1) return;
        run.move(before.slopes, rate);
        after = lossOf(run.gradient(batch, settings));
      },
    };
  }

  /* The framework's drawing in the page: light(parts) dims the others, show(image, copy) fills it. */
  function createDrawing(parent) {
    const host = document.createElement("div");
    host.className = "framework-drawing";
    host.innerHTML = FRAMEWORK.wide + FRAMEWORK.tall;
    parent.append(host);

    /* Greys over the ones that the drawing came with. */
    function fill(part, pixels) {
      for (const group of host.querySelectorAll(`g.${part}`)) {
        const cells = group.querySelector("g");
        const frame = group.querySelector(":scope > rect");
        const [x, y, size] = ["x", "y", "width"].map((name) => Number(frame.getAttribute(name)));
        const side = size / 8;
        const squares = Array.from(pixels, (ink, i) => {
          const [row, column] = [Math.floor(i / 8), i % 8];
          const opacity = Math.min(1, Math.max(0, ink)).toFixed(3);
          return (
            `<rect x="${x + side * column}" y="${y + side * row}" width="${side}" ` +
            `height="${side}" fill="${frame.getAttribute("stroke")}" fill-opacity="${opacity}"/>`
          );
        });
        cells.innerHTML = squares.join("");
      }
    }
    /* Where the groups of some parts stand on the screen, together. */
    function placeOf(parts) {
      const boxes = [...host.querySelectorAll("svg > g")]
        .filter((group) => parts.some((part) => group.classList.contains(part)))
        .map((group) => group.getBoundingClientRect())
        .filter(({ width }) => width > 0); // one of the two drawings is hidden
      return {
        top: Math.min(...boxes.map(({ top }) => top)),
        bottom: Math.max(...boxes.map(({ bottom }) => bottom)),
      };
    }
    return {
      /* Scrolls only where a part is hidden: below the window, or above the line `under`. */
      reveal(parts, under) {
        const { top, bottom } = placeOf(parts);
        if (top < under || bottom > window.innerHeight) window.scrollBy(0, top - under - 24);
      },
      show({ image, copy }) {
        fill("x", image);
        fill("copy", copy);
      },
      light(parts) {
        for (const group of host.querySelectorAll("svg > g")) {
          group.classList.toggle("unlit", !parts.some((part) => group.classList.contains(part)));
        }
        for (const svg of host.querySelectorAll("svg")) {
          svg.setAttribute("aria-label", `The framework, lit: ${parts.join(", ")}.`);
        }
      },
    };
  }

  /* Of the run before, `former`, only log p(x) is left. */
  function drawCurves(chart, history, former) {
    const steps = history.map((point) => point.step);
    const of = (name) => history.map((point) => point[name]);
    const [truth, best, bound] = ["logEvidence", "best", "bound"].map(of);
    if (history.length > 0) {
      const now = history.filter(({ variance }) => variance === history.at(-1).variance);
      const top = Math.max(...now.map((point) => point.logEvidence));
      const late = now.filter(({ step }) => step >= steps.at(-1) / 4);
      const foot = Math.max(Math.min(...late.map((point) => point.bound)), top - DEPTH);
      const room = 0.05 + (former.length > 0 ? 0.85 : 0.55) * (top - foot); // for the key
      chart.range([0, 1.03 * Math.max(150, steps.at(-1))], [foot - 0.1 * room, top + room]);
    }
    chart.clear();
    const before = ["step", "logEvidence"].map((name) => former.map((point) => point[name]));
    chart.line(before[0], before[1], "rival");
    if (history.length > 1) {
      chart.gap(steps, bound, truth);
      chart.line(steps, best, "encoder", [5, 3]);
      chart.line(steps, bound, "encoder");
      chart.line(steps, truth, "data");
    } else {
      for (const [values, ink] of [
        [truth, "data"],
        [bound, "encoder"],
      ]) {
        if (values.length > 0) chart.points(steps, values, ink, 4, 1);
      }
    }
    const names = [
      ["data", "log p(x), exact"],
      ["encoder", "bound of the best q", [5, 3]],
      ["encoder", "bound of the encoder’s q"],
    ];
    chart.key(former.length > 0 ? [...names, ["rival", "log p(x), the run before"]] : names);
  }

  function drawPlane(chart, { codes }, own) {
    chart.clear();
    const at = (i, axis) => codes[i][axis];
    classes.forEach((members, digit) => {
      const places = [0, 1].map((axis) => members.map((i) => at(i, axis)));
      chart.points(places[0], places[1], DIGITS.colours[digit], 1.7, 0.6);
    });
    const angles = LIVE.linspace(0, 2 * Math.PI, 60);
    const ring = (centre, radii) => [
      angles.map((angle) => centre[0] + radii[0] * Math.cos(angle)),
      angles.map((angle) => centre[1] + radii[1] * Math.sin(angle)),
    ];
    const [circleX, circleY] = ring([0, 0], [2, 2]);
    chart.line(circleX, circleY, "prior");
    classes.forEach((members, digit) => {
      const [x, y] = [0, 1].map((axis) => mean(members.map((i) => at(i, axis))));
      chart.disc(x, y, 8, { fill: "white", edge: DIGITS.colours[digit], width: 1.5 });
      chart.text(x, y, String(digit), "data", "center");
    });
    if (!own) return;
    const q = posterior(own);
    const [xs, ys] = ring(
      q.mean,
      q.logVariance.map((value) => 2 * Math.exp(value / 2)),
    );
    chart.line(xs, ys, "encoder");
    chart.disc(q.mean[0], q.mean[1], 5, { fill: "encoder", edge: "white", width: 2 });
  }

  /* Two rows of images with a white pixel between them. */
  function strip(rows, columns) {
    const width = 9 * columns - 1;
    const pixels = new Float64Array(width * (9 * rows.length - 1));
    rows.forEach((row, r) => {
      row.forEach((image, c) => {
        image.forEach((ink, i) => {
          pixels[width * (9 * r + Math.floor(i / 8)) + 9 * c + (i % 8)] = ink;
        });
      });
    });
    return pixels;
  }

  /* The mean image at μ(x). */
  function copyOf(model, image) {
    const [first, second] = vae.encode(model, image);
    return Float64Array.from(vae.decoder(model)(first, second));
  }

  LIVE.training = { train, test, ten, createRun, mapped }; // for the tests

  LIVE.figure("train-here", (stage) => {
    let run = createRun();
    let map = { ...mapped(run.model), steps: 0 };
    let mapAt = 0; // the milliseconds when it was made
    let history = []; // {step, variance, bound, best, logEvidence}
    let former = []; // the same of the run before
    let running = false;
    let working = false;
    let failed = false; // a loss that is no number any more
    let asked = false; // has the reader asked for anything yet?
    let [measuring, training] = [0, 0]; // milliseconds of the last measurement, and since then
    let measured = -1; // the step of the last one
    let job = null; // what is being computed in slices: {advance, take}
    let walked = null; // the step in slow motion
    let bitmap = new Uint8Array(drawn.SIDE ** 2);
    let strokes = 0; // changes of the bitmap so far
    let own = null; // what is known of the drawn digit
    let crowd = null; // log p(x) of all test digits
    const pen = { down: false, at: [15.5, 6] };

    stage.column({ pinned: true });
    const lines = {
      step: stage.readout("step"),
      truth: stage.readout("log p(x)"),
      bound: stage.readout("bound"),
      threshold: stage.readout("σ²β, λ₁"),
      gap: stage.readout("gap"),
      rates: stage.readout("rates"),
    };
    const ownCopies = stage.image({ width: 160, rows: 8, columns: 17 });
    const surprise = stage.readout("drawn");
    const sentence = stage.readout("");
    const onward = stage.button("Next stop", () => {
      if (walked.done) walked = startedWalk();
      else walked.next();
      asked ||= walked.done;
      drawing.reveal(walked.lit, sentence.element.parentElement.getBoundingClientRect().bottom);
    }).element;

    stage.column();
    const slowColumn = stage.place();
    slowColumn.classList.add("live-steps");
    const drawing = createDrawing(slowColumn);

    stage.column();
    const curves = stage.chart({
      width: 340,
      aspect: 0.62,
      x: { range: [0, 155], label: "training steps" },
      y: { range: [-30, 0], label: "nats per test digit", room: 56 },
    });
    const pad = stage.canvas({ width: 210, aspect: 1 });
    const mode = stage.choice({
      name: "mode",
      label: "Mode",
      options: { train: "train", draw: "draw a digit", slow: "slow step" },
      value: "train",
    });
    const start = stage.button("Start", () => {
      running = !running && !failed;
      ask();
    }).element;
    const one = stage.button("One step", () => {
      running = false;
      trainStep();
      ask();
    }).element;
    const erase = stage.button("Erase", () => {
      bitmap = new Uint8Array(drawn.SIDE ** 2);
      strokes += 1;
    }).element;
    const again = stage.button("Begin again", () => {
      run = createRun();
      remap();
      if (history.length > 1) former = history;
      history = [];
      running = failed = asked = false;
      job = walked = own = crowd = null;
      measuring = training = 0;
      measured = -1;
    }).element;
    const row = document.createElement("div");
    row.className = "live-row";
    start.before(row);
    row.append(start, one, erase, again);

    const rate = stage.slider({
      name: "rate",
      label: "learning rate",
      minimum: -4,
      maximum: -1,
      step: 0.1,
      value: -2,
      decimals: 4,
      shows: (power) => 10 ** power,
    });
    const variance = stage.slider({
      name: "variance",
      label: "σ² of a pixel",
      minimum: -2,
      maximum: 0.2,
      step: 0.02,
      value: -1.3,
      decimals: 3,
      shows: (power) => 10 ** power,
    });
    const weight = stage.slider({
      name: "beta",
      label: "β, weight of KL",
      minimum: -1,
      maximum: 2,
      step: 0.1,
      value: 0,
      decimals: 2,
      shows: (power) => 10 ** power,
    });
    const settings = () => ({ variance: 10 ** variance.value, weight: 10 ** weight.value });

    stage.column();
    const axis = { range: [-3.4, 3.4], ticks: [-2, 0, 2] };
    const plane = stage.chart({
      width: 340,
      aspect: 0.95,
      x: { ...axis, label: "first latent, z₁" },
      y: { ...axis, label: "second latent, z₂" },
    });
    const copies = stage.image({ width: 340, rows: 17, columns: 89 });
    stage.keep(
      "digit",
      () => drawn.text(bitmap),
      (text) => {
        bitmap = drawn.bitmap(text);
        strokes += 1;
      },
    );

    const startedWalk = () => walk(run, settings(), 10 ** rate.value);

    /* What log p(x) depends on. */
    const weightsKey = () => `${run.moments.count} ${settings().variance}`;

    function trainStep() {
      const { slopes, logLikelihood, kl } = run.gradient(run.next(), settings());
      run.move(slopes, 10 ** rate.value);
      if (Number.isFinite(logLikelihood - kl)) return;
      running = asked = false;
      failed = true;
    }

    /* What is to be computed next, as a job, or null. */
    function nextJob() {
      if (!asked) return null;
      const { variance: now } = settings();
      const steps = run.moments.count;
      const due = running ? training >= SHARE * measuring : true;
      if (history.at(-1)?.variance !== now || (measured !== steps && due)) {
        const take = ({ logEvidence, best, encoder }) => {
          const [truth, top, bound] = [logEvidence, best, encoder].map(mean);
          const point = { step: steps, variance: now, logEvidence: truth, best: top, bound };
          history = [...history.filter((other) => other.step < steps), point];
          remap();
        };
        measured = steps;
        measuring = training = 0;
        return { advance: exact.dissect(run.model, now, ten), take };
      }
      if (running || mode.value !== "draw" || !bitmap.includes(1)) return null;
      const key = weightsKey();
      if (own?.key !== key || own.strokes !== strokes) {
        const image = drawn.digit(bitmap);
        const code = vae.encode(run.model, image);
        const bound = exact.bound(run.model, now, image, posterior(code));
        const drawing = strokes;
        const take = ({ logEvidence }) => {
          own = { key, strokes: drawing, image, code, bound, logEvidence: logEvidence[0] };
        };
        return { advance: exact.evidence(run.model, now, [image]), take };
      }
      if (crowd?.key !== key) {
        const take = ({ logEvidence }) => {
          crowd = { key, logEvidence };
        };
        return { advance: exact.evidence(run.model, now, test), take };
      }
      return null;
    }

    function remap() {
      map = { ...mapped(run.model), steps: run.moments.count };
      mapAt = performance.now();
    }

    /* Some milliseconds of whatever is to be done; false once nothing is. */
    function slice() {
      const end = performance.now() + SLICE;
      let now = performance.now();
      do {
        const before = now;
        job ||= nextJob();
        if (job) {
          const { done, value } = job.advance.next();
          now = performance.now();
          measuring += now - before;
          if (done) {
            job.take(value);
            job = null;
          }
        } else if (running) {
          trainStep();
          now = performance.now();
          training += now - before;
        } else {
          working = false;
          return false;
        }
      } while (now < end);
      if (running && performance.now() - mapAt > MAP_EVERY) remap();
      return true;
    }

    function ask() {
      asked = true;
      if (working) return;
      working = true;
      stage.work(slice);
    }

    /* A drawing in the pad: with a finger or the mouse, or with keys. */
    const place = (event) => {
      const box = pad.element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map(
        (part) => (part / box.width) * drawn.SIDE,
      );
    };
    function ink(from, to) {
      drawn.stroke(bitmap, from, to);
      strokes += 1;
      pen.at = to;
      ask();
      stage.changed();
    }
    pad.element.classList.add("live-pad");
    pad.element.addEventListener("pointerdown", (event) => {
      pad.element.setPointerCapture(event.pointerId);
      ink(place(event), place(event));
    });
    pad.element.addEventListener("pointermove", (event) => {
      if (pad.element.hasPointerCapture(event.pointerId)) ink(pen.at, place(event));
    });
    pad.element.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key !== " " && !moves[event.key]) return;
      event.preventDefault();
      if (event.key === " ") pen.down = !pen.down;
      const to = (moves[event.key] || [0, 0]).map((by, i) =>
        Math.min(drawn.SIDE, Math.max(0, pen.at[i] + by)),
      );
      if (pen.down) ink(pen.at, to);
      pen.at = to;
      stage.changed();
    });

    function drawPad() {
      const pencil = pad.context;
      const cell = pad.width / drawn.SIDE;
      pencil.fillStyle = "white";
      pencil.fillRect(0, 0, pad.width, pad.height);
      pencil.strokeStyle = "#DDDDDD";
      pencil.lineWidth = 1;
      for (let line = 0; line <= 8; line += 1) {
        pencil.strokeRect(4 * line * cell, 0, 0, pad.height);
        pencil.strokeRect(0, 4 * line * cell, pad.width, 0);
      }
      pencil.fillStyle = LIVE.INKS.data.color;
      bitmap.forEach((ink, i) => {
        const [y, x] = [Math.floor(i / drawn.SIDE), i % drawn.SIDE];
        if (ink) pencil.fillRect(x * cell, y * cell, cell + 0.5, cell + 0.5);
      });
      pencil.beginPath();
      pencil.arc(pen.at[0] * cell, pen.at[1] * cell, 5, 0, 2 * Math.PI);
      pencil.strokeStyle = pen.down ? LIVE.INKS.encoder.color : "#666666";
      pencil.lineWidth = 2;
      pencil.stroke();
    }

    /* What the drawn digit is to the model, in words. */
    function wordsOfOwn() {
      if (!bitmap.includes(1)) return "draw it in the square";
      if (!asked) return "train first, or press One step";
      if (own?.key !== weightsKey() || own.strokes !== strokes) return "…";
      const said = `log p(x) ${nats(own.logEvidence)}, bound ${nats(own.bound)}`;
      if (crowd?.key !== own.key) return said;
      const worse = crowd.logEvidence.filter((value) => value < own.logEvidence).length;
      return `${said}; ${worse} of the ${test.length} test digits surprise the model more`;
    }

    function show(modeNow) {
      const visible = (element, inModes) => (element.hidden = !inModes.includes(modeNow));
      visible(curves.canvas.element, ["train"]);
      visible(pad.element, ["draw"]);
      visible(plane.canvas.element, ["train", "draw"]);
      visible(copies.element, ["train"]);
      visible(ownCopies.element, ["draw"]);
      visible(surprise.element, ["draw"]);
      if (modeNow === "draw") pad.element.tabIndex = 0;
      else pad.element.removeAttribute("tabindex");
      visible(slowColumn, ["slow"]);
      visible(sentence.element, ["slow"]);
      for (const line of Object.values(lines)) visible(line.element, ["train"]);
      for (const each of [rate, variance, weight]) {
        visible(each.element.parentElement, ["train", "draw"]);
      }
      visible(start, ["train", "draw"]);
      visible(one, ["train"]);
      visible(onward, ["slow"]);
      visible(erase, ["draw"]);
    }

    stage.update(() => {
      const { variance: now, weight: beta } = settings();
      const steps = run.moments.count;
      const last = history.at(-1);
      const slow = mode.value === "slow";
      if (slow) running = false;
      if (asked && !working && nextJob()) ask();
      if (!running && map.steps !== steps) remap();
      if (!slow) walked = null;
      show(mode.value);
      start.textContent = running ? "Pause" : "Start";

      const epochs = LIVE.number(steps / (train.length / BATCH), 1);
      const threshold = now * beta;
      const above = threshold >= DIGITS.largestEigenvalue;
      const asleep = map.rates.every((value) => value < ASLEEP);
      const gap = last ? last.logEvidence - last.bound : 0;
      const encoderLoses = last ? last.best - last.bound : 0;
      lines.step.show(String(steps));
      lines.truth.show(last ? nats(last.logEvidence) : "–");
      lines.bound.show(last ? nats(last.bound) : "–");
      lines.gap.show(
        last
          ? `${LIVE.number(gap, 2)}: ${LIVE.number(encoderLoses, 2)} encoder, ` +
              `${LIVE.number(gap - encoderLoses, 2)} family`
          : "–",
      );
      const largest = LIVE.number(DIGITS.largestEigenvalue, 3);
      lines.threshold.show(`${LIVE.number(threshold, 3)} ${above ? "≥" : "<"} ${largest}`);
      lines.rates.show(
        map.rates.map((value) => LIVE.number(value, 2)).join(" + ") +
          (asleep && steps > 0 ? ", collapsed" : ""),
      );

      const image = mode.value === "draw" && bitmap.includes(1) ? drawn.digit(bitmap) : null;
      drawCurves(curves, history, former);
      drawPlane(plane, map, image && vae.encode(run.model, image));
      if (mode.value === "train") {
        copies.show(strip([ten, ten.map((each) => copyOf(run.model, each))], 10));
      }
      if (mode.value === "draw") {
        drawPad();
        ownCopies.show(image ? strip([[image, copyOf(run.model, image)]], 2) : strip([[]], 2));
        surprise.show(wordsOfOwn());
      }
      if (slow) {
        walked ||= startedWalk();
        drawing.show(walked);
        drawing.light(walked.lit);
        sentence.show(walked.words);
      }

      const measured = last
        ? `log p(x) is ${nats(last.logEvidence)}, the bound ${nats(last.bound)}, the gap ` +
          `${nats(gap)}: ${LIVE.number(encoderLoses, 2)} of the encoder and ` +
          `${LIVE.number(gap - encoderLoses, 2)} of the family.`
        : "Nothing is measured yet.";
      curves.canvas.describe(
        `Curves over the training steps: the exact log p(x) of ten test digits on top, the bound ` +
          `of the best q, and the bound of the encoder’s q. ${measured}`,
      );
      plane.canvas.describe(
        `The latent plane with the means of the training digits by class. Rates of the two ` +
          `latents: ${map.rates.map((value) => LIVE.number(value, 2)).join(" and ")} nats.`,
      );
      pad.describe(
        `A square to draw a digit in, ${bitmap.includes(1) ? "with ink" : "empty"}; the pen is ` +
          `${pen.down ? "down" : "up"}. Arrow keys move it, the space bar lowers and lifts it.`,
      );
      copies.describe("Ten test digits, and below them their copies.");
      ownCopies.describe("The drawn digit as the model gets it, 8 by 8 pixels, and its copy.");
      stage.values = {
        ...{ steps, running, working, threshold, gap, encoderLoses, rates: map.rates },
        ...{ logEvidence: last?.logEvidence, bound: last?.bound, best: last?.best },
        ...{
          measured: history.length,
          former: former.length,
          stop: walked?.at,
          digit: image,
          own,
          strokes,
        },
        weights: run.model.values,
        crowd: crowd?.logEvidence,
      };
      if (failed) {
        return "The loss is no number any more. Begin again, with a lower learning rate.";
      }
      if (slow) return walked.words;
      if (mode.value === "draw") {
        return `The pen is ${pen.down ? "down" : "up"}. Your digit: ${wordsOfOwn()}.`;
      }
      const collapsed = asleep && steps > 0 ? " Both latents have collapsed." : "";
      const place =
        `Step ${steps}, epoch ${epochs}${running ? ", training" : ""}, at a learning rate of ` +
        `${LIVE.number(10 ** rate.value, 4)} and σ²β = ${LIVE.number(threshold, 3)}, ` +
        `${above ? "at least" : "below"} λ₁ = ${largest}.`;
      return `${place} ${measured}${collapsed}`;
    });
  });
})();
