/* What σ² lets through: the best linear VAE of the digits at any pixel variance, in closed form.

   linear-law.js has the numbers, with as many latents as pixels, so that σ² alone decides which are
   in use. The σ² that a loss implies, and that is marked on the scale: see losses.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const PIXELS = 64;
  const [LOW, HIGH, STEP] = [-2.3, 1.6, 0.02]; // log₁₀ σ²
  const FLOOR = -2.5; // of the drawing
  const TURNED = 2; // the value of the one latent whose image is shown
  const REACH = 18; // pixels: a press so near to the line takes hold of it

  const { eigenvalues, average, digits, kept } = LIVE.spectrum;
  const levels = LIVE.linspace(LOW, HIGH, 300).map((power) => LIVE.linearLaw(10 ** power));
  const curve = [levels.map(({ squaredError }) => squaredError), levels.map(({ rate }) => rate)];

  const lowered = (count) => [...String(count)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

  function drawSpectrum(chart, { level, chosen, mark }) {
    const pen = chart.canvas.context;
    const foot = chart.toY(FLOOR);
    chart.clear();
    chart.band([0, 49], [FLOOR, FLOOR], [level, level], "decoder");
    eigenvalues.forEach((value, i) => {
      const top = chart.toY(Math.log10(value));
      if (!(top < foot)) return; // below the axis
      const [left, width] = [chart.toX(i + 0.6), chart.toX(0.8) - chart.toX(0)];
      const water = Math.max(top, chart.toY(level));
      pen.fillStyle = "#AAAAAA"; // not coded: lost in the noise
      pen.fillRect(left, water, width, foot - water);
      pen.fillStyle = LIVE.INKS[i + 1 === chosen ? "encoder" : "data"].color;
      pen.fillRect(left, top, width, water - top);
      if (i + 1 === chosen) {
        chart.text(chosen, Math.log10(value) + 0.2, `z${lowered(chosen)}`, "encoder", "center");
      }
    });
    chart.line([0, 49], [level, level], "decoder");
    if (mark !== null) drawMark(chart, mark);
    const clear = mark !== null && level < mark && mark - level < 0.5 ? -0.2 : 0.2;
    const at = level === mark ? 24 : 48.5;
    chart.text(at, level > 1.4 ? level - 0.2 : level + clear, "σ²", "decoder", "right");
  }

  /* A hand that points from the right at the σ² of the reader's loss, or beyond the end. */
  function drawMark(chart, mark) {
    const pen = chart.canvas.context;
    const height = Math.min(Math.max(mark, FLOOR + 0.1), 1.7);
    const [x, y] = [chart.toX(49), chart.toY(height)];
    pen.beginPath();
    pen.moveTo(x - 12, y);
    pen.lineTo(x, y - 7);
    pen.lineTo(x, y + 7);
    pen.fillStyle = LIVE.INKS.decoder.color;
    pen.fill();
    const beyond = { "-1": " (below)", 0: "", 1: " (above)" }[Math.sign(mark - height)];
    chart.text(47, height + (height > 1.4 ? -0.2 : 0.2), `your loss${beyond}`, "decoder", "right");
  }

  function drawTrade(chart, { squaredError, rate }, variance, theirs) {
    const slope = -1 / (2 * variance); // nats of rate for a squared pixel of error
    chart.clear();
    chart.line([0, 5], [rate - slope * squaredError, rate + slope * (5 - squaredError)], "decoder");
    chart.line(...curve, "data");
    if (theirs) {
      chart.disc(theirs.squaredError, theirs.rate, 10, { edge: "decoder", width: 2 });
    }
    chart.disc(squaredError, rate, 6, { fill: "encoder", edge: "white", width: 2 });
    chart.text(4.9, 55, "law: the best linear VAE", "data", "right");
    chart.text(4.9, 46, "slope −1 / 2σ²", "decoder", "right");
  }

  LIVE.figure("rate-distortion", (stage) => {
    let chosen = 0; // the latent whose image is shown, counted from 1; 0 where there is none
    let theirs = null; // σ² of the reader's loss, where it has one
    stage.column();
    const spectrum = stage.chart({
      width: 340,
      aspect: 0.74,
      x: { range: [0, 49], label: "eigenvalue, the largest first", ticks: [1, 10, 20, 30, 40] },
      y: {
        range: [FLOOR, 1.75],
        label: "eigenvalue and σ²",
        ticks: [-2, -1, 0, 1],
        words: (power) => String(10 ** power),
        room: 56,
      },
    });
    const level = stage.slider({
      name: "variance",
      label: "noise σ²",
      minimum: LOW,
      maximum: HIGH,
      step: STEP,
      value: -1.3,
      decimals: 3,
      shows: (power) => varianceAt(power),
    });
    stage.keep(
      "latent",
      () => String(chosen),
      (text) => choose(Number.parseInt(text, 10) || 0),
    );
    takeHold();
    const error = stage.menu({
      name: "error",
      label: "Your loss",
      options: {
        half: "½ sum of squares + w KL",
        sum: "sum of squares + w KL",
        mean: "mean of squares + w KL",
        all: "mean over all + w sum of KL",
        entropy: "cross-entropy + w KL",
      },
      value: "mean",
    });
    let numbers = [];
    let span = error;
    stage.row(() => {
      numbers = [
        stage.number({ name: "w", label: "KL weight w", minimum: 1e-12, maximum: 1e9, value: 1 }),
        stage.number({ name: "d", label: "pixels D", minimum: 1, maximum: 1e9, value: PIXELS }),
      ];
      span = stage.menu({
        name: "span",
        label: "pixels from",
        options: { 1: "0 to 1", 2: "−1 to 1", 16: "0 to 16", 255: "0 to 255" },
        value: "1",
      });
      const batch = { name: "b", label: "batch", minimum: 1, maximum: 1e9, value: 128 };
      numbers.push(stage.number(batch));
    });
    const told = {
      variance: stage.readout("its σ², on [0, 1]"),
      deviation: stage.readout("its σ, of 255 grey levels"),
      best: stage.readout("best there"),
    };
    const go = stage.button("Set σ² to it", () => level.set(Math.log10(theirs)));

    stage.column({ pinned: true });
    const picture = () => {
      const made = { image: null, label: null };
      stage.stack(() => {
        made.image = stage.image({ width: 120, rows: 8, columns: 8 });
        made.label = stage.readout("");
      });
      return made;
    };
    let pictures = [];
    stage.row(() => {
      pictures = [picture(), picture(), picture()];
    });
    const [original, copy, decoded] = pictures;
    const lines = {
      active: stage.readout("latents in use"),
      rate: stage.readout("rate"),
      distortion: stage.readout("distortion"),
      total: stage.readout("sum, −log p(x)"),
    };

    stage.column();
    const shown = stage.slider({
      name: "digit",
      label: "Test digit",
      minimum: 0,
      maximum: 9,
      step: 1,
      value: 3,
      decimals: 0,
    });
    const trade = stage.chart({
      width: 340,
      aspect: 0.6,
      x: { range: [0, 5], label: "squared error per image", ticks: [0, 1, 2, 3, 4, 5] },
      y: { range: [0, 60], label: "rate, nats per image", ticks: [0, 20, 40, 60] },
    });

    function readLoss() {
      const [weight, pixels, batch] = numbers.map(({ value }) => value);
      const loss = { error: error.value, weight, pixels, batch, span: Number(span.value) };
      theirs = LIVE.impliedVariance(loss);
    }

    /* σ² where the slider stands; within half a step of the reader's loss it is that σ² exactly. */
    function varianceAt(power) {
      const near = theirs !== null && Math.abs(Math.log10(theirs) - power) <= STEP / 2;
      return near ? theirs : 10 ** power;
    }

    function choose(latent) {
      chosen = Math.min(Math.max(Math.round(latent), 0), kept);
    }

    /* A press inside a bar chooses its latent, a second one none; elsewhere it moves the line. */
    function takeHold() {
      const { element } = spectrum.canvas;
      let held = ""; // "line" or "bar" while a pointer is down; a key moves both
      element.addEventListener("pointerdown", (event) => {
        const [px, py] = spectrum.canvas.at(event);
        const latent = Math.round(spectrum.fromX(px));
        const top = spectrum.toY(Math.log10(eigenvalues[latent - 1] ?? 0));
        const onLine = Math.abs(py - spectrum.toY(level.value)) < REACH;
        held = onLine || py < top || latent > kept ? "line" : "bar";
        if (held === "bar" && latent === chosen) {
          held = "nothing";
          choose(0);
        }
      });
      element.addEventListener("lostpointercapture", () => (held = ""));
      const line = {
        step: STEP,
        home: level.home,
        get value() {
          return level.value;
        },
        set: (power) => {
          if (held === "line" || held === "") level.set(power);
        },
      };
      const bar = {
        step: 1,
        home: 0,
        get value() {
          return chosen;
        },
        set: (latent) => {
          if (held === "bar" || held === "") choose(latent);
        },
      };
      stage.pad(spectrum, bar, line);
    }

    /* What the best model does at the σ² of the reader's loss. */
    function verdict(variance) {
      const pixels = numbers[1].value;
      if (LIVE.beyondAnyNetwork(variance, pixels)) return "the mean image, for any network";
      if (pixels !== PIXELS) return "depends on your λ₁";
      const { active } = LIVE.linearLaw(variance);
      return active ? `${active} of ${PIXELS} in use` : "the mean image";
    }

    function tellLoss() {
      numbers[2].element.hidden = error.value !== "all";
      go.element.disabled = theirs === null;
      if (theirs === null) {
        told.variance.show("none");
        told.deviation.show("none");
        told.best.show("no density of grey pixels");
        return "Your loss has no σ²: it is not a density of grey pixels.";
      }
      const variance = LIVE.significant(theirs);
      const deviation = LIVE.significant(255 * Math.sqrt(theirs));
      told.variance.show(variance);
      told.deviation.show(deviation);
      told.best.show(verdict(theirs));
      return `Your loss: σ² = ${variance}, σ = ${deviation} grey levels; best there: ${verdict(theirs)}.`;
    }

    let before = "";
    stage.update(() => {
      readLoss();
      level.set(level.value); // the reader's loss may have moved: show σ² anew
      const variance = varianceAt(level.value);
      const law = LIVE.linearLaw(variance);
      const digit = digits.subarray(PIXELS * shown.value, PIXELS * (shown.value + 1)); // (64)
      const pixels = LIVE.reconstruct(digit, variance); // (64)
      const missed = pixels.reduce((sum, value, i) => sum + (value - digit[i]) ** 2, 0);
      const turned = chosen ? LIVE.turned(chosen, TURNED, variance) : average; // (64)

      const mark = theirs === null ? null : Math.log10(theirs);
      drawSpectrum(spectrum, { level: Math.log10(variance), chosen, mark });
      drawTrade(trade, law, variance, theirs === null ? null : LIVE.linearLaw(theirs));
      original.image.show(digit);
      copy.image.show(pixels);
      decoded.image.show(turned);
      const latent = `z${lowered(chosen)}`;
      original.label.show("digit");
      copy.label.show("its copy");
      decoded.label.show(chosen ? `${latent} = ${TURNED}` : "mean image");
      lines.active.show(`${law.active} of ${PIXELS}`);
      lines.rate.show(`${LIVE.number(law.rate, 2)} nats`);
      lines.distortion.show(`${LIVE.number(law.distortion, 2)} nats`);
      lines.total.show(`${LIVE.number(law.rate + law.distortion, 2)} nats`);

      const number = LIVE.number(variance, 3);
      const largest = LIVE.number(eigenvalues[0], 3);
      const collapsed = law.active === 0;
      const words = collapsed
        ? `The largest eigenvalue is ${largest}, so every latent collapses: rate 0, and every ` +
          "digit becomes the mean image."
        : `${law.active} latents in use, rate ${LIVE.number(law.rate, 2)} nats, squared error ` +
          `${LIVE.number(law.squaredError, 2)}.`;
      const said = tellLoss();
      const loss = before && said !== before ? ` ${said}` : "";
      before = said;
      const asleep = chosen > law.active ? "asleep: its image is the mean image" : "in use";
      const one = chosen
        ? ` Latent ${chosen}, eigenvalue ${LIVE.significant(eigenvalues[chosen - 1])}, is ${asleep}.`
        : "";

      spectrum.canvas.describe(
        `Eigenvalues as falling bars, σ² = ${number} as a line: ${law.active} bars rise above it. ` +
          `${said} Up and down arrow keys move σ², with shift further; left and right choose a bar; ` +
          "Home goes back to the beginning.",
      );
      trade.canvas.describe(
        `Rate against squared error: a falling curve, and on it the point of σ² = ${number}, ` +
          `rate ${LIVE.number(law.rate, 2)} nats, error ${LIVE.number(law.squaredError, 2)}.`,
      );
      original.image.describe(`Test digit ${shown.value}, 8 by 8 pixels.`);
      copy.image.describe(
        collapsed
          ? "Its copy: the mean image, as of every digit."
          : `Its copy, squared error ${LIVE.number(missed, 2)}.`,
      );
      decoded.image.describe(
        chosen
          ? `What the decoder draws where latent ${chosen} is ${TURNED} and all others are 0.`
          : "The mean image: what the decoder draws where all latents are 0.",
      );
      stage.values = { variance, ...law, digit: shown.value, pixels, implied: theirs };
      Object.assign(stage.values, { latent: chosen, turned });
      return `σ² = ${number}. ${words}${one}${loss}`;
    });
  });
})();
