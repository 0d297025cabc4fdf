/* Train it here: a VAE with two latents, trained in the page on the 1,500 digits.

   While it trains, log p(x) of ten test digits is computed exactly, and what their bound leaves below
   it is split into what the encoder loses and what the family of q does. The reader may draw a digit,
   and walk through one step. training-run.js does the work, in slices of a few milliseconds between
   which the page answers; training-pictures.js draws. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { vae, drawn, training } = LIVE;
  const { createDrawing, createPad, drawCurves, drawPlane, strip } = LIVE.trainingPictures;
  const LARGEST = window.VAE_DIGITS.largestEigenvalue; // λ₁
  const ASLEEP = 0.05; // nats: a latent with a lower rate has collapsed
  const nats = (value) => `${LIVE.number(value, 2)} nats`;

  /* The mean image at μ(x). */
  function copyOf(model, image) {
    const [first, second] = vae.encode(model, image);
    return Float64Array.from(vae.decoder(model)(first, second));
  }

  /* The three sliders: powers of ten. */
  function createSettings(stage) {
    const power = { shows: (value) => 10 ** value };
    const rate = stage.slider({
      ...{ name: "rate", label: "learning rate", ...power, decimals: 4 },
      ...{ minimum: -4, maximum: -1, step: 0.1, value: -2 },
    });
    const variance = stage.slider({
      ...{ name: "variance", label: "σ² of a pixel", ...power, decimals: 3 },
      ...{ minimum: -2, maximum: 0.2, step: 0.02, value: -1.3 },
    });
    const weight = stage.slider({
      ...{ name: "beta", label: "β, weight of KL", ...power, decimals: 2 },
      ...{ minimum: -1, maximum: 2, step: 0.1, value: 0 },
    });
    return {
      lines: [rate, variance, weight].map(({ element }) => element.parentElement),
      read: () => ({
        rate: 10 ** rate.value,
        variance: 10 ** variance.value,
        weight: 10 ** weight.value,
      }),
      /* Where either slider, with the other left alone, reaches σ²β = λ₁. */
      markThreshold() {
        variance.mark(Math.log10(LARGEST) - weight.value);
        weight.mark(Math.log10(LARGEST) - variance.value);
      },
    };
  }

  /* What is known of a lab's model, as numbers. */
  function summary(lab) {
    const { history, map, settings, steps } = lab;
    const last = history.at(-1);
    const threshold = settings.variance * settings.weight;
    return {
      ...{ steps, last, threshold, rates: map.rates },
      above: threshold >= LARGEST,
      asleep: steps > 0 && map.rates.every((value) => value < ASLEEP),
      gap: last && last.logEvidence - last.bound,
      encoderLoses: last && last.best - last.bound,
      familyLoses: last && last.logEvidence - last.best,
    };
  }

  function wordsOfMeasurement({ last, gap, encoderLoses, familyLoses }) {
    if (!last) return "Nothing is measured yet.";
    return (
      `log p(x) is ${nats(last.logEvidence)}, the bound ${nats(last.bound)}, the gap ` +
      `${nats(gap)}: ${LIVE.number(encoderLoses, 2)} of the encoder and ` +
      `${LIVE.number(familyLoses, 2)} of the family.`
    );
  }

  function wordsOfRun(lab, known) {
    if (lab.failed) {
      return "The loss is no number any more. Begin again, with a lower learning rate.";
    }
    const epochs = LIVE.number((known.steps * training.BATCH) / training.train.length, 1);
    return (
      `Step ${known.steps}, epoch ${epochs}${lab.running ? ", training" : ""}, at a learning rate ` +
      `of ${LIVE.number(lab.settings.rate, 4)} and σ²β = ${LIVE.number(known.threshold, 3)}, ` +
      `${known.above ? "at least" : "below"} λ₁ = ${LIVE.number(LARGEST, 3)}. ` +
      `${wordsOfMeasurement(known)}${known.asleep ? " Both latents have collapsed." : ""}`
    );
  }

  /* What a drawn image is to the model. */
  function wordsOfDrawing({ asked, own, crowd }, image) {
    if (!image) return "draw a digit in the square";
    if (!asked) return "train first: press Start";
    if (own?.image !== image) return "…";
    const said = `log p(x) ${nats(own.logEvidence)}, bound ${nats(own.bound)}`;
    if (crowd?.state !== own.state) return said;
    const worse = crowd.logEvidence.filter((value) => value < own.logEvidence).length;
    return `${said}; ${worse} of the ${training.test.length} test digits surprise the model more`;
  }

  LIVE.figure("train-here", (stage) => {
    let walked = null; // the step in slow motion
    let working = false;
    let image = null; // the drawn digit, 64 pixels

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
    const judged = stage.readout("drawn");
    const sentence = stage.readout("");
    const onward = stage.button("Next stop", () => {
      if (walked.done) walked = lab.walk();
      else walked.next();
      drawing.reveal(walked.lit, sentence.element.parentElement.getBoundingClientRect().bottom);
    });

    stage.column();
    const steps = stage.place();
    steps.classList.add("live-steps");
    const drawing = createDrawing(steps);

    stage.column();
    const curves = stage.chart({
      width: 340,
      aspect: 0.62,
      x: { range: [0, 155], label: "training steps" },
      y: { range: [-30, 0], label: "nats per test digit", room: 56 },
    });
    const square = stage.canvas({ width: 210, aspect: 1 });
    const pad = createPad(square, () => {
      see();
      stage.changed();
    });
    const mode = stage.choice({
      name: "mode",
      label: "Mode",
      options: { train: "train", draw: "draw a digit", slow: "slow step" },
      value: "train",
    });
    const start = stage.button("Start", () => lab.run(!lab.running));
    const one = stage.button("One step", () => lab.step());
    const erase = stage.button("Erase", () => {
      pad.bitmap = drawn.bitmap("");
      see();
    });
    const again = stage.button("Begin again", () => {
      lab.again();
      walked = null;
    });
    const row = document.createElement("div");
    row.className = "live-row";
    start.element.before(row);
    row.append(...[start, one, erase, again].map(({ element }) => element));
    const settings = createSettings(stage);
    const lab = training.createLab(settings.read());

    stage.column();
    const axis = { range: [-3.4, 3.4], ticks: [-2, 0, 2] };
    const plane = stage.chart({
      width: 340,
      aspect: 0.95,
      x: { ...axis, label: "first latent, z₁" },
      y: { ...axis, label: "second latent, z₂" },
    });
    const copies = stage.image({ width: 340, rows: 17, columns: 89 });
    const shownIn = {
      train: [curves.canvas, plane.canvas, copies, start, one, again, ...Object.values(lines)],
      draw: [square, plane.canvas, ownCopies, judged, start, erase, again],
      slow: [sentence, onward, again],
    };
    stage.keep(
      "digit",
      () => drawn.text(pad.bitmap),
      (text) => {
        pad.bitmap = drawn.bitmap(text);
        see();
      },
    );

    function see() {
      image = pad.bitmap.includes(1) ? drawn.digit(pad.bitmap) : null;
    }

    function showParts() {
      const parts = new Set(Object.values(shownIn).flat());
      for (const part of parts) part.element.hidden = !shownIn[mode.value].includes(part);
      for (const line of settings.lines) line.hidden = mode.value === "slow";
      steps.hidden = mode.value !== "slow";
      if (mode.value === "draw") square.element.tabIndex = 0;
      else square.element.removeAttribute("tabindex");
      start.element.textContent = lab.running ? "Pause" : "Start";
    }

    function showNumbers({ last, threshold, above, rates, asleep, ...known }, failed) {
      lines.step.show(String(known.steps));
      lines.truth.show(last ? nats(last.logEvidence) : "–");
      lines.bound.show(last ? nats(last.bound) : "–");
      const [encoder, family] = [known.encoderLoses, known.familyLoses].map((value) =>
        LIVE.number(value ?? 0, 2),
      );
      lines.gap.show(
        last ? `${LIVE.number(known.gap, 2)}: ${encoder} encoder, ${family} family` : "–",
      );
      if (failed) lines.gap.show("none: the loss is no number. Begin again");
      const [left, right] = [threshold, LARGEST].map((value) => LIVE.number(value, 3));
      lines.threshold.show(`${left} ${above ? "≥" : "<"} ${right}`);
      const both = rates.map((value) => LIVE.number(value, 2)).join(" + ");
      lines.rates.show(asleep ? `${both}, collapsed` : both);
    }

    function showPictures() {
      const { model } = lab;
      const { ten } = training;
      drawCurves(curves, lab.history, lab.former);
      drawPlane(plane, lab.map, lab.drawing && vae.encode(model, image));
      copies.show(strip([ten, ten.map((each) => copyOf(model, each))], 10));
      pad.draw();
      ownCopies.show(strip([image ? [image, copyOf(model, image)] : []], 2));
      judged.show(wordsOfDrawing(lab, image));
      if (!walked) return;
      drawing.show(walked);
      drawing.light(walked.lit);
      sentence.show(walked.words);
    }

    function describe(known) {
      curves.canvas.describe(
        "Curves over the training steps: the exact log p(x) of ten test digits on top, the bound " +
          `of the best q, and the bound of the encoder’s q. ${wordsOfMeasurement(known)}`,
      );
      plane.canvas.describe(
        "The latent plane with the means of the training digits by class. Rates of the two " +
          `latents: ${known.rates.map((value) => LIVE.number(value, 2)).join(" and ")} nats.`,
      );
      square.describe(
        `A square to draw a digit in, ${image ? "with ink" : "empty"}; the pen is ` +
          `${pad.pen.down ? "down" : "up"}. Arrow keys move it, the space bar lowers and lifts it.`,
      );
      copies.describe("Ten test digits, and below them their copies.");
      ownCopies.describe("The drawn digit as the model gets it, 8 by 8 pixels, and its copy.");
    }

    function work() {
      if (working || !lab.waits()) return;
      working = true;
      stage.work(() => {
        working = lab.slice();
        return working;
      });
    }

    stage.update(() => {
      lab.settings = settings.read();
      settings.markThreshold();
      lab.drawing = mode.value === "draw" ? image : null;
      if (mode.value === "slow") {
        lab.run(false);
        walked ||= lab.walk();
      } else {
        walked = null;
      }
      work();
      const known = summary(lab);
      showParts();
      showNumbers(known, lab.failed);
      showPictures();
      describe(known);
      stage.values = {
        ...{ ...known, ...known.last, working, running: lab.running, digit: image },
        ...{ measured: lab.history.length, former: lab.former.length, stop: walked?.at },
        ...{ own: lab.own, crowd: lab.crowd?.logEvidence, weights: lab.model.values },
      };
      if (walked) return walked.words;
      if (mode.value === "train") return wordsOfRun(lab, known);
      return `The pen is ${pad.pen.down ? "down" : "up"}. Drawn: ${wordsOfDrawing(lab, image)}.`;
    });
  });
})();
