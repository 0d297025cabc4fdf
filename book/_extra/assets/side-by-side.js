/* Side by side: a GAN and a VAE with one decoder, trained in the page on points that the reader places.

   side-by-side-run.js trains and measures, in slices of a few milliseconds between which the page
   answers; side-by-side-planes.js draws the planes. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { PRESETS, HIT, createLab, samples, text, list } = LIVE.sideBySide;
  const { createPlane, createHand } = LIVE.planes;
  const { layers } = LIVE;
  const SEEDS = 999;
  const LOWEST = -2; // log₁₀ nats: the foot of the chart
  const MAKERS = {
    gan: { name: "GAN", ink: "rival" },
    vae: { name: "VAE", ink: "decoder" },
  };
  const nats = (value) => LIVE.number(value, value < 10 ? 2 : 1);

  function createSettings(stage) {
    const rate = stage.slider({
      ...{ name: "rate", label: "learning rate", shows: (value) => 10 ** value, decimals: 4 },
      ...{ minimum: -4, maximum: -1, step: 0.1, value: -2.5 },
    });
    const judgements = stage.slider({
      ...{ name: "judgements", label: "steps of D", decimals: 0 },
      ...{ minimum: 1, maximum: 8, step: 1, value: 1 },
    });
    const deviation = stage.slider({
      ...{ name: "deviation", label: "noise σ" },
      ...{ minimum: 0.1, maximum: 0.6, step: 0.05, value: 0.15 },
    });
    const mix = stage.slider({
      ...{ name: "mix", label: "λ, hybrid", decimals: 1 },
      ...{ minimum: 0, maximum: 20, step: 0.5, value: 0 },
    });
    const loss = stage.menu({
      ...{ name: "loss", label: "f lowers" },
      options: { nonSaturating: "−log D", saturating: "log(1 − D)" },
      value: "nonSaturating",
    });
    return () => ({
      rate: 10 ** rate.value,
      judgements: judgements.value,
      deviation: deviation.value,
      mix: mix.value,
      loss: loss.value,
    });
  }

  function hitsOf({ shares }) {
    return shares.map((share) => share >= HIT);
  }

  const wordsOf = (name, measured, count) =>
    `the ${name} hits ${measured.hits} of ${count}, KL(p‖p_g) ${nats(measured.forward)}, ` +
    `KL(p_g‖p) ${nats(measured.reverse)} nats`;

  /* What stands under a plane. */
  function linesOf(title, measured) {
    if (!measured) return [title, "KL –, reverse –", "JS –"];
    const { hits, shares, forward, reverse, jensenShannon, seen } = measured;
    const judged = seen === null ? "" : `, D sees ${LIVE.number(seen, 3)}`;
    return [
      `${title}: ${hits} of ${shares.length} points hit`,
      `KL ${nats(forward)}, reverse ${nats(reverse)}`,
      `JS ${LIVE.number(jensenShannon, 3)}${judged}`,
    ];
  }

  function wordsOfRun(lab, names, { judgements, rate }) {
    if (lab.failed) return "A loss is no number any more. Begin again, with a lower learning rate.";
    const { steps, points } = lab.run;
    const last = lab.history.at(-1);
    const begin =
      `Step ${steps}${lab.running ? ", training" : ""}, ${points.length} points, learning rate ` +
      `${LIVE.number(rate, 4)}, ${judgements} of D a step`;
    if (!last) return `${begin}. Nothing is measured yet.`;
    const told = ["gan", "vae"].map((each) =>
      wordsOf(names[each], last[each], last.gan.shares.length),
    );
    return `${begin}. At step ${last.step} ${told.join("; ")}.`;
  }

  function drawHistory(chart, { history, former }, names) {
    const column = (points, name) =>
      points.map((point) => Math.max(Math.log10(point[name].forward), LOWEST));
    const steps = (points) => points.map(({ step }) => step);
    const end = Math.max(300, history.at(-1)?.step ?? 0, former.at(-1)?.step ?? 0);
    chart.range([0, 1.03 * end], [LOWEST, 2]);
    chart.clear();
    for (const [name, { ink }] of Object.entries(MAKERS)) {
      chart.points(steps(former), column(former, name), ink, 1.2, 0.45);
      chart.line(steps(history), column(history, name), ink);
      if (history.length === 1) chart.points(steps(history), column(history, name), ink, 3, 1);
    }
    chart.key(
      Object.entries(MAKERS).map(([name, { ink }]) => [ink, names[name]]),
      "right",
    );
  }

  LIVE.figure("side-by-side", (stage) => {
    let seed = 1;
    let preset = "ring"; // what the menu said last
    let working = false;

    stage.column({ pinned: true });
    const parts = {};
    stage.row(() => {
      for (const [name, { ink }] of Object.entries(MAKERS)) {
        stage.stack(() => {
          const plane = createPlane(stage, ink);
          parts[name] = { plane, lines: [0, 1, 2].map(() => stage.readout("")) };
        });
      }
    });

    stage.column();
    const chart = stage.chart({
      width: 380,
      height: 170,
      x: { range: [0, 300], label: "training steps" },
      y: {
        range: [LOWEST, 2],
        ticks: [-2, -1, 0, 1, 2],
        words: (tick) => String(10 ** tick),
        label: "KL(p‖p_g), nats",
        room: 56,
      },
    });
    let start;
    stage.row(() => {
      start = stage.button("Start", () => lab.start(!lab.running));
      stage.button("Begin again", () => lab.again(seed));
      stage.button("Other seed", () => {
        seed = (seed % SEEDS) + 1;
        lab.again(seed);
      });
    });

    stage.column();
    const menu = stage.menu({
      ...{ name: "points", label: "Points", value: "ring" },
      options: {
        ring: "ring of eight",
        arcs: "two arcs",
        digit: "a three",
        cluster: "one cluster",
        own: "your own",
      },
    });
    const settings = createSettings(stage);
    const lab = createLab(settings(), PRESETS.ring, seed);
    const hand = createHand(
      Object.values(parts).map(({ plane }) => plane),
      {
        points: () => lab.run.points,
        place(points) {
          lab.place(points);
          preset = "own";
          menu.set("own");
        },
        changed: () => stage.changed(),
      },
    );
    stage.keep(
      "own",
      () => (menu.value === "own" ? text(lab.run.points) : ""),
      (written) => {
        const points = menu.value === "own" ? list(written) : null;
        if (points?.length > 0) lab.place(points);
        if (points?.length > 0) preset = "own";
      },
    );
    stage.keep(
      "seed",
      () => String(seed),
      (written) => {
        const wanted = Number(written);
        const next = Number.isInteger(wanted) && wanted >= 1 && wanted <= SEEDS ? wanted : 1;
        if (next !== seed) lab.again(next);
        seed = next;
      },
    );

    function work() {
      if (working || !lab.waits()) return;
      working = true;
      stage.work(() => {
        working = lab.slice();
        return working;
      });
    }

    const nameOf = (hybrid) => ({ gan: "GAN", vae: hybrid ? "hybrid" : "VAE" });

    function showPlane(name, { deviation }, hybrid) {
      const { run, latest } = lab;
      const { plane, lines } = parts[name];
      const maker = name === "gan" ? run.generator : run.model.decoder;
      const judge = name === "gan" ? run.discriminator : hybrid ? run.rival : null;
      const trace = judge && layers.trace(judge.sizes);
      const field = judge && ((point) => layers.forward(judge, trace, point)[0]);
      const cloud = samples(maker, deviation);
      const focused = document.activeElement === plane.canvas.element;
      plane.draw({
        points: run.points,
        hits: latest && hitsOf(latest[name]),
        cloud,
        field,
        cursor: focused ? hand.at : null,
      });
      const words = linesOf(nameOf(hybrid)[name], lab.history.at(-1)?.[name]);
      lines.forEach((line, i) => {
        line.show(words[i]);
      });
    }

    function describe(names) {
      const count = lab.run.points.length;
      const where = hand.at.map((value) => LIVE.number(value, 2)).join(", ");
      for (const [name, { plane }] of Object.entries(parts)) {
        const last = lab.history.at(-1)?.[name];
        plane.canvas.describe(
          `A plane with ${count} points and the samples of the ${names[name]}` +
            `${last ? `, which hits ${last.hits} of ${last.shares.length}` : ", not trained yet"}. ` +
            `The cursor is at ${where}${hand.held < 0 ? "" : ", with a point picked up"}: arrow keys ` +
            "move it, Enter places a point or removes it, Space picks one up and puts it down.",
        );
      }
      const last = lab.history.at(-1);
      chart.canvas.describe(
        "KL(p‖p_g) over the training steps, on a logarithmic scale, of both" +
          `${last ? `: now ${nats(last.gan.forward)} and ${nats(last.vae.forward)} nats` : ""}.`,
      );
    }

    stage.update(() => {
      if (menu.value !== preset) {
        preset = menu.value;
        if (preset !== "own") lab.place(PRESETS[preset]);
      }
      lab.settings = settings();
      const hybrid = lab.settings.mix > 0;
      const names = nameOf(hybrid);
      work();
      start.element.textContent = lab.running ? "Pause" : "Start";
      for (const name of Object.keys(MAKERS)) showPlane(name, lab.settings, hybrid);
      drawHistory(chart, lab, names);
      describe(names);
      const { run } = lab;
      stage.values = {
        ...{ steps: run.steps, points: run.points, seed, working, running: lab.running },
        ...{ failed: lab.failed, history: lab.history.length, former: lab.former.length },
        ...{ latest: lab.latest, cursor: hand.at, held: hand.held, settings: lab.settings },
        ...{ vae: run.model.values, generator: run.generator.values },
        discriminator: run.discriminator.values,
      };
      return wordsOfRun(lab, names, lab.settings);
    });
  });
})();
