/* The exact game on a pad: mean and width of p_g, four divergences, and the way downhill by each. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const GAME = LIVE.exactGame;
  const STEPS_A_FRAME = 2;
  const FURTHEST = 4000; // steps of a walk
  const FLAT = 0.01; // a slope that is not drawn
  const LONG = 0.9; // units of the mean: an arrow that stands for a very steep slope
  const STYLES = {
    likelihood: { words: "KL(p‖p_g)", ink: "data", dash: [] },
    reverse: { words: "KL(p_g‖p)", ink: "data", dash: [3, 3] },
    saturating: { words: "2 JS", ink: "rival", dash: [3, 3] },
    nonSaturating: { words: "KL(p_g‖p) − 2 JS", ink: "rival", dash: [] },
  };
  const NAMES = Object.keys(STYLES);
  const POWERS = GAME.WIDTHS.map(Math.log2);
  const LAWS = { two: "two modes", one: "one Gaussian", skewed: "skewed" };
  const nats = (value) => LIVE.number(value, 4);
  /** @param {number[]} place  mean and width */
  const shape = ([mean, width]) => `mean ${LIVE.number(mean, 2)}, width ${LIVE.number(width, 2)}`;
  /** @param {number[]} place  mean and width */
  const onPad = ([mean, width]) => [mean, Math.log2(width)];

  /* How the arrow of a divergence is drawn, before its number. */
  function drawSample({ context: pen, width, height }, { ink, dash }) {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, width, height);
    pen.beginPath();
    pen.moveTo(2, height / 2);
    pen.lineTo(width - 2, height / 2);
    pen.strokeStyle = LIVE.INKS[ink].color;
    pen.lineWidth = 3;
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  }

  LIVE.figure("game-pad", (stage) => {
    const view = LIVE.linspace(-5, 5, 401);
    let place = [1, 0.5]; // mean and width of p_g, unrounded where a walk has led
    let told = [1, -1]; // what the sliders were last set to: another value is the reader's
    let walk = null;
    let walking = false;
    let ends = []; // where walks under this law came to rest: {follows, place, value}

    stage.column();
    const pad = stage.chart({
      width: 380,
      height: 270,
      x: { range: GAME.MEANS, ticks: [-4, -2, 0, 2, 4], label: "mean of p_g" },
      y: {
        range: POWERS,
        ticks: [-2, -1, 0, 1],
        words: (power) => ["1/4", "1/2", "1", "2"][power + 2],
        label: "width of p_g",
      },
    });
    const [low, high] = GAME.MEANS;
    const mean = stage.slider({
      ...{ name: "mean", label: "mean of p_g", minimum: low, maximum: high, step: 0.05 },
      value: told[0],
    });
    const power = stage.slider({
      ...{ name: "width", label: "width of p_g", minimum: POWERS[0], maximum: POWERS[1] },
      ...{ step: 0.02, value: told[1], shows: (value) => 2 ** value },
    });
    stage.pad(pad, mean, power);

    stage.column();
    const across = { range: [-5, 5], ticks: [-4, -2, 0, 2, 4], label: "x" };
    const densities = stage.chart({
      ...{ width: 380, height: 150, x: across },
      y: { range: [0, 1], ticks: [0, 0.5, 1], label: "density" },
    });
    const judged = stage.chart({
      ...{ width: 380, height: 120, x: across },
      y: { range: [0, 1.03], ticks: [0, 0.5, 1], label: "D*(x)" },
    });
    const law = stage.menu({ name: "law", label: "p has", options: LAWS, value: "two" });
    const follows = stage.menu({
      ...{ name: "follow", label: "lower", value: NAMES[0] },
      options: Object.fromEntries(NAMES.map((name) => [name, STYLES[name].words])),
    });
    const go = stage.button("Follow its arrow", () => {
      if (walking) {
        rest();
        return;
      }
      walk = GAME.walk(law.value, follows.value, place[0], place[1]);
      walking = true;
      stage.animate(step);
    });

    stage.column({ pinned: true, wide: true });
    const samples = {};
    const shown = {};
    for (const name of NAMES) {
      stage.row(() => {
        samples[name] = stage.canvas({ width: 34, height: 14 });
        shown[name] = stage.readout(STYLES[name].words);
      });
      samples[name].describe(`The arrow of ${STYLES[name].words}.`);
    }

    function rest() {
      walking = false;
      stage.stop();
    }

    function step() {
      for (let i = 0; i < STEPS_A_FRAME && walking; i += 1) {
        walking = walk.next() && walk.path.length < FURTHEST;
      }
      place = walk.place;
      mean.set(place[0]);
      power.set(Math.log2(place[1]));
      told = [mean.value, power.value];
      if (!walking) ends.push({ follows: walk.follows, place, value: walk.value() });
      return walking;
    }

    /* A hand on the pad or on a slider takes p_g out of a walk; other data begin afresh. */
    function heed() {
      const moved = mean.value !== told[0] || power.value !== told[1];
      const other = walk !== null && walk.law !== law.value;
      if (walking && (moved || other || walk.follows !== follows.value)) rest();
      if (moved) {
        told = [mean.value, power.value];
        place = [told[0], 2 ** told[1]];
      }
      if (moved || other) walk = null;
      if (other) ends = [];
    }

    /* Downhill, and the longer the steeper, but never longer than LONG. */
    function drawArrow(name, gradient) {
      const [slopeMean, slopeWidth] = gradient;
      const size = Math.hypot(slopeMean, slopeWidth);
      if (size < FLAT) return;
      const long = (LONG * Math.sqrt(size / (1 + size))) / size;
      const from = onPad(place);
      const to = [from[0] - long * slopeMean, from[1] - (long * slopeWidth) / Math.LN2];
      const { ink, dash } = STYLES[name];
      pad.line([from[0], to[0]], [from[1], to[1]], ink, dash);
      const neck = from.map((start, axis) => to[axis] + 0.01 * (start - to[axis]));
      drawHead(neck, to, ink, name === follows.value ? 3 : 2);
    }

    /* The head alone: an arrow of the chart has one no longer than half of it. */
    function drawHead(neck, to, ink, wide) {
      const [x, y] = [pad.toX(to[0]), pad.toY(to[1])];
      const angle = Math.atan2(y - pad.toY(neck[1]), x - pad.toX(neck[0]));
      const long = 5 + 2 * wide;
      const tail = [
        pad.fromX(x - 2 * long * Math.cos(angle)),
        pad.fromY(y - 2 * long * Math.sin(angle)),
      ];
      pad.arrow(tail, to, ink, wide);
    }

    function drawPad({ gradients }) {
      pad.clear();
      if (walk) {
        const [xs, ys] = [0, 1].map((axis) => walk.path.map((each) => onPad(each)[axis]));
        pad.line(xs, ys, STYLES[walk.follows].ink, STYLES[walk.follows].dash);
      }
      for (const end of ends) {
        const edge = STYLES[end.follows].ink;
        const [x, y] = onPad(end.place);
        pad.disc(x, y, 5, { fill: "white", edge, width: 2.5 });
      }
      for (const name of NAMES) drawArrow(name, gradients[name]);
      const [x, y] = onPad(place);
      pad.disc(x, y, 6, { fill: "decoder" });
    }

    function drawLaws(data, made, judge) {
      densities.clear();
      densities.line(view, view.map(data), "data");
      densities.line(view, view.map(made), "decoder");
      densities.key([
        ["data", "p"],
        ["decoder", "p_g"],
      ]);
      judged.clear();
      judged.line([-5, 5], [0.5, 0.5], "data", [1, 4]);
      judged.line(view, view.map(judge), "rival", []);
    }

    stage.update(() => {
      heed();
      const found = GAME.look(law.value, place[0], place[1]);
      const { divergences, gradients } = found;
      drawPad(found);
      const made = GAME.made(place[0], place[1]);
      const judge = GAME.best(law.value, place[0], place[1]);
      drawLaws(GAME.density(law.value), made, judge);
      for (const name of NAMES) {
        drawSample(samples[name], STYLES[name]);
        const steep = LIVE.number(Math.hypot(...gradients[name]), 3);
        shown[name].show(`${nats(divergences[name])}, slope ${steep}`.replaceAll(" ", "\u00a0"));
      }
      go.element.textContent = walking ? "Stop" : "Follow its arrow";

      const numbers = NAMES.map((name) => `${STYLES[name].words} ${nats(divergences[name])}`);
      pad.canvas.describe(
        `A pad of the mean and the width of p_g, now ${shape(place)}, with four arrows downhill. ` +
          "Left and right arrow keys move the mean, up makes p_g wider, down narrower, with shift " +
          `further; Home puts it back. Walks came to rest at ${ends.length} places.`,
      );
      densities.canvas.describe(
        `The density p of the data, ${LAWS[law.value]}, and p_g with ${shape(place)}.`,
      );
      judged.canvas.describe(
        `The best discriminator's D* over x, from ${LIVE.number(Math.min(...view.map(judge)), 2)} ` +
          `to ${LIVE.number(Math.max(...view.map(judge)), 2)}; a line at one half.`,
      );
      const last = ends.at(-1);
      stage.values = { law: law.value, follows: follows.value, place, divergences, gradients };
      Object.assign(stage.values, { walking, ends, steps: walk ? walk.path.length - 1 : 0 });
      const arrived =
        walk && !walking && last
          ? ` ${STYLES[last.follows].words} was followed until it stood still.`
          : "";
      return `p has ${LAWS[law.value]}, p_g ${shape(place)}: ${numbers.join(", ")} nats.${arrived}`;
    });
  });
})();
