/* Nats to spend: the reader gives them to the latents of the best linear VAE of the digits, one by
   one or by a water level, and sees what error remains. The numbers: linear-law.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const LATENTS = 20; // that can get nats; the others keep their whole variance
  const FLOOR = -2.2; // log₁₀ of the least error that is drawn, and that a hand can reach
  const STEP = 0.02; // of log₁₀ error: about 0.02 nats
  const { eigenvalues, digits } = LIVE.spectrum;
  const PIXELS = 64;

  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const equal = (nats) => Array.from({ length: LATENTS }, () => nats / LATENTS);
  /* The nats of each latent at a water level, which never reaches the others here. */
  const poured = (level) =>
    eigenvalues.slice(0, LATENTS).map((value) => Math.max(0, Math.log(value / level) / 2));

  const levels = LIVE.linspace(-2, 0, 200).map((power) => LIVE.linearLaw(10 ** power));
  const curve = [levels.map(({ squaredError }) => squaredError), levels.map(({ rate }) => rate)];

  /* A bar an eigenvalue: black what its nats have removed, grey what remains. */
  function drawBars(chart, { rates, chosen, level }) {
    const pen = chart.canvas.context;
    const foot = chart.toY(FLOOR);
    chart.clear();
    if (level !== null) {
      chart.band([0.4, 20.6], [FLOOR, FLOOR], [Math.log10(level), Math.log10(level)], "decoder");
    }
    rates.forEach((nats, i) => {
      const top = chart.toY(Math.log10(eigenvalues[i]));
      const cut = Math.min(foot, chart.toY(Math.log10(eigenvalues[i] * Math.exp(-2 * nats))));
      const [left, width] = [chart.toX(i + 0.6), chart.toX(0.8) - chart.toX(0)];
      pen.fillStyle = "#AAAAAA";
      pen.fillRect(left, cut, width, foot - cut);
      pen.fillStyle = LIVE.INKS[i + 1 === chosen ? "encoder" : "data"].color;
      pen.fillRect(left, top, width, cut - top);
      if (i + 1 === chosen) {
        pen.strokeStyle = LIVE.INKS.encoder.color;
        pen.lineWidth = 2;
        pen.strokeRect(left - 1, top - 1, width + 2, foot - top + 1);
        const words = `${LIVE.number(nats, 2)} nats`;
        chart.text(Math.min(Math.max(chosen, 3.2), 17.5), 0.12, words, "encoder", "center");
      }
    });
    if (level !== null) {
      chart.line([0.4, 20.6], [Math.log10(level), Math.log10(level)], "decoder");
      const words = `level ${LIVE.number(level, 3)}`;
      chart.text(20.4, Math.log10(level) + 0.13, words, "decoder", "right");
    }
  }

  function drawPlane(chart, { error, spent, least, enough }) {
    chart.clear();
    chart.line([enough.squaredError, error], [enough.rate, spent], "rival");
    chart.line([error, error], [enough.rate, spent], "rival");
    chart.line(...curve, "data");
    chart.disc(least, spent, 5, { fill: "white", edge: "data", width: 2 });
    chart.disc(error, spent, 6, { fill: "encoder", edge: "white", width: 2 });
    chart.text(2.15, 8.5, "law", "data", "left");
    chart.text(error + 0.1, spent + 0.6, "yours", "encoder", "left");
  }

  LIVE.figure("water-filling", (stage) => {
    let rates = equal(6); // nats of each latent, (LATENTS)
    let chosen = 1; // the latent in hand, counted from 1

    stage.column();
    const bars = stage.chart({
      width: 360,
      aspect: 0.7,
      x: { range: [0.4, 20.6], label: "latent, by its eigenvalue", ticks: [1, 5, 10, 15, 20] },
      y: {
        range: [FLOOR, 0.25],
        label: "variance, squared pixels",
        ticks: [-2, -1, 0],
        words: (power) => String(10 ** power),
        room: 56,
      },
    });
    const by = stage.choice({
      name: "by",
      label: "Spend",
      options: { hand: "by hand", water: "by a water level" },
      value: "hand",
    });
    const budget = stage.slider({
      name: "budget",
      label: "nats to spend",
      minimum: 0.5,
      maximum: 10,
      step: 0.1,
      value: 6,
      decimals: 1,
    });
    stage.row(() => {
      stage.button("Equal shares", () => spendByHand(() => equal(budget.value)));
      stage.button("Take all back", () => spendByHand(() => equal(0)));
    });
    stage.keep(
      "nats",
      () => rates.map((nats) => nats.toFixed(2)).join("_"),
      (text) => {
        const read = text.split("_").map(Number);
        const sound = read.length === LATENTS && read.every((nats) => nats >= 0 && nats < 9);
        rates = sound ? read : equal(6);
      },
    );

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
    const [original, yours, best] = pictures;
    const lines = {
      left: stage.readout("nats left to spend"),
      error: stage.readout("your squared error"),
      least: stage.readout("the law’s, for as many nats"),
      wasted: stage.readout("nats you could have saved"),
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
    const plane = stage.chart({
      width: 360,
      aspect: 0.58,
      x: { range: [1, 5], label: "squared error per image", ticks: [1, 2, 3, 4, 5] },
      y: { range: [0, 11], label: "rate, nats per image", ticks: [0, 5, 10] },
    });

    function spendByHand(share) {
      by.set("hand");
      rates = share();
    }

    /* A latent gets nats down to this log₁₀ error, as far as the budget reaches. */
    function cutAt(power) {
      const others = total(rates) - rates[chosen - 1];
      const wanted = Math.log(eigenvalues[chosen - 1] / 10 ** Math.max(power, FLOOR)) / 2;
      rates[chosen - 1] = Math.min(Math.max(wanted, 0), Math.max(budget.value - others, 0));
    }

    const latent = {
      step: 1,
      home: 1,
      get value() {
        return chosen;
      },
      set: (wanted) => {
        chosen = Math.min(Math.max(Math.round(wanted), 1), LATENTS);
      },
    };
    const cut = {
      step: STEP,
      get home() {
        return Math.log10(eigenvalues[chosen - 1]); // gives its nats back
      },
      get value() {
        if (by.value === "water") return Math.log10(LIVE.waterLevel(budget.value));
        return Math.log10(eigenvalues[chosen - 1] * Math.exp(-2 * rates[chosen - 1]));
      },
      set: (power) => {
        if (by.value === "water") budget.set(LIVE.linearLaw(10 ** power).rate);
        else cutAt(power);
      },
    };
    stage.pad(bars, latent, cut);

    /* What the budget and the way of spending ask of the nats. */
    function settle() {
      const spent = total(rates);
      if (by.value === "water") rates = poured(LIVE.waterLevel(budget.value));
      else if (spent > budget.value) {
        rates = rates.map((nats) => (nats * budget.value) / spent);
      }
    }

    stage.update(() => {
      settle();
      const [spent, error] = [total(rates), LIVE.remainingError(rates)];
      const level = LIVE.waterLevel(spent);
      const least = LIVE.linearLaw(level).squaredError;
      const enough = LIVE.linearLaw(LIVE.levelOfError(error));
      const wasted = Math.max(0, spent - enough.rate);
      const digit = digits.subarray(PIXELS * shown.value, PIXELS * (shown.value + 1)); // (64)
      const [copy, bestCopy] = [LIVE.copyOf(digit, rates), LIVE.reconstruct(digit, level)];

      drawBars(bars, { rates, chosen, level: by.value === "water" ? level : null });
      drawPlane(plane, { error, spent, least, enough });
      original.image.show(digit);
      yours.image.show(copy);
      best.image.show(bestCopy);
      original.label.show("digit");
      yours.label.show("your copy");
      best.label.show("the law’s");
      lines.left.show(LIVE.number(Math.max(0, budget.value - spent), 2));
      lines.error.show(LIVE.number(error, 3));
      lines.least.show(LIVE.number(least, 3));
      lines.wasted.show(LIVE.number(wasted, 2));

      const now = rates[chosen - 1];
      const one = `Latent ${chosen} has ${LIVE.number(now, 2)} nats and keeps an error of ${LIVE.number(
        eigenvalues[chosen - 1] * Math.exp(-2 * now),
        3,
      )}.`;
      const all =
        `${LIVE.number(spent, 2)} of ${LIVE.number(budget.value, 1)} nats spent, squared error ${LIVE.number(error, 3)}; ` +
        `the law leaves ${LIVE.number(least, 3)}.`;
      const water = `Water level ${LIVE.number(level, 3)}.`;
      bars.canvas.describe(
        `Twenty falling bars, an eigenvalue each: black what its nats removed, grey what remains. ` +
          `${by.value === "water" ? water : one} Left and right arrow keys choose a latent, down ` +
          `gives it nats and up takes them, with shift more; Home takes all that it has.`,
      );
      plane.canvas.describe(
        `Rate against squared error: the law as a falling curve, and your point at error ` +
          `${LIVE.number(error, 2)}, rate ${LIVE.number(spent, 2)}, above it by ` +
          `${LIVE.number(wasted, 2)} nats.`,
      );
      original.image.describe(`Test digit ${shown.value}, 8 by 8 pixels.`);
      yours.image.describe(`Its copy from your nats, softer than the digit.`);
      best.image.describe(`Its copy from as many nats, spent as the law spends them.`);
      stage.values = {
        rates,
        latent: chosen,
        budget: budget.value,
        spent,
        squaredError: error,
        least,
        wasted,
        level,
        copy,
        bestCopy,
        digit: shown.value,
      };
      return by.value === "water" ? `${water} ${all}` : `${one} ${all}`;
    });
  });
})();
