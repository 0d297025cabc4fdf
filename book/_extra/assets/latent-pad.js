/* The latent pad: z moves over the plane of the VAE of chapter 9, and its decoder draws the digit.

   Behind z lie the means of q(z|x) of the 1,500 training digits. weights.js carries them and the
   decoder, digits.js the digits; Python computes the same numbers, and tests hold the two together. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const WEIGHTS = window.VAE_WEIGHTS;
  const NEIGHBOURS = 15;
  const TILES = 13; // in each direction

  const means = LIVE.float32(WEIGHTS.means); // (1500 · 2): z₁ and z₂ in turn
  const logVariances = LIVE.float32(WEIGHTS.logVariances); // (1500 · 2)
  const labels = Array.from(window.VAE_DIGITS.trainLabels, Number); // (1500)
  const images = LIVE.digits(window.VAE_DIGITS.train); // (1500) of (64)
  const scale = Math.exp(WEIGHTS.logVariance / 2); // σ, one for all pixels
  const middles = LIVE.middles(means, labels);
  const place = (index) => [means[2 * index], means[2 * index + 1]];

  /* f(z): two latents to 64 pixels. */
  LIVE.decode = LIVE.network(WEIGHTS.decoder);

  /* A training digit and its q(z|x). */
  LIVE.digit = (index) => ({
    label: labels[index],
    pixels: Array.from(images[index]),
    mean: place(index),
    logVariance: [logVariances[2 * index], logVariances[2 * index + 1]],
  });

  /* log p(x, z) = log p(x|z) + log p(z), in nats. */
  LIVE.logJoint = (pixels, z) =>
    LIVE.logNormal(
      pixels,
      LIVE.decode(z),
      pixels.map(() => WEIGHTS.logVariance),
    ) + LIVE.logNormal(z, [0, 0], [0, 0]);

  LIVE.figure("latent-pad", (stage) => {
    const random = LIVE.generator(3);
    const { range } = WEIGHTS;
    let noise = random.normals(64);
    let selected = -1; // a training digit's number
    let left = ""; // z as the selection put it

    stage.column();
    const {
      chart,
      sliders: [first, second],
    } = LIVE.plane(stage, WEIGHTS, select);
    const current = () => [first.value, second.value];

    stage.column({ pinned: true });
    let image, caption, original, source, lines;
    stage.row(() => {
      stage.stack(() => {
        image = stage.image({ width: 128, rows: 8, columns: 8 });
        caption = stage.readout("");
      });
      stage.stack(() => {
        original = stage.image({ width: 128, rows: 8, columns: 8 });
        source = stage.readout("");
      });
    });
    stage.stack(() => {
      lines = {
        place: stage.readout("z lies"),
        prior: stage.readout("log p(z)"),
        joint: stage.readout("log p(x, z)"),
        best: stage.readout("… at μ(x)"),
      };
    });

    stage.column();
    const shown = stage.choice({
      name: "show",
      label: "Show",
      options: {
        mean: "the mean, f(z)",
        draw: `a draw from p(x|z), σ = ${LIVE.number(scale, 2)}`,
      },
      value: "mean",
    });
    stage.button("Draw another ε", () => {
      noise = random.normals(64);
      shown.set("draw");
    });
    const walk = LIVE.walk(stage, {
      sliders: [first, second],
      places: WEIGHTS.hearts.map(place),
      between: ["7", "0"],
      decode: LIVE.decode,
      rows: 8,
      faded: true,
    });
    stage.keep(
      "digit",
      () => (selected < 0 ? "" : String(selected)),
      (text) => {
        selected = /^\d+$/.test(text) && Number(text) < labels.length ? Number(text) : -1;
      },
    );

    /* Selects the training digit nearest to z, and lets a selected one go. */
    function select() {
      const [{ index, distance }] = LIVE.nearest(means, current(), 1);
      const again = index === selected || current().join() === left;
      selected = again || distance > LIVE.FAR ? -1 : index;
      left = "";
      if (selected < 0) return;
      first.set(means[2 * index]);
      second.set(means[2 * index + 1]);
      left = current().join();
    }

    function drawPlane(z, { mean, logVariance }) {
      chart.clear();
      LIVE.onPlane.sheet(chart, range, tiles(), 0.3);
      LIVE.onPlane.points(chart, means, labels);
      LIVE.onPlane.prior(chart);
      LIVE.onPlane.walk(chart, walk.line());
      LIVE.onPlane.cross(chart, z);
      const [xs, ys] = LIVE.ellipse(mean, logVariance);
      chart.line(xs, ys, "encoder", selected < 0 ? [3, 3] : []);
      chart.disc(mean[0], mean[1], 4, { edge: "encoder", width: 2 });
      LIVE.onPlane.classes(chart, middles);
    }

    let sheet = null; // made once, when first shown
    function tiles() {
      sheet ||= LIVE.sheet(LIVE.tiles(range, TILES).map(LIVE.decode), TILES, 8);
      return sheet;
    }

    stage.update(() => {
      walk.draw();
      const z = current();
      const mean = LIVE.decode(z); // (64)
      const draw = mean.map((value, i) => value + scale * noise[i]); // (64)
      const pixels = shown.value === "mean" ? mean : draw;
      const near = LIVE.nearest(means, z, NEIGHBOURS);
      const { counts, words } = LIVE.company(labels, near);
      const index = selected < 0 ? near[0].index : selected;
      const x = LIVE.digit(index);
      const logPrior = LIVE.logNormal(z, [0, 0], [0, 0]);
      const [logJoint, logJointAtMean] = [z, x.mean].map((at) => LIVE.logJoint(x.pixels, at));

      const point = `z = (${LIVE.number(z[0], 2)}, ${LIVE.number(z[1], 2)})`;
      const which = selected < 0 ? "the nearest training digit" : "the selected training digit";
      const joint = `log p(x, z) is ${LIVE.number(logJoint, 1)} nats`;
      drawPlane(z, x);
      image.show(pixels);
      caption.show(shown.value === "mean" ? "f(z)" : "a draw from p(x|z)");
      original.show(x.pixels);
      source.show(`x, ${selected < 0 ? "nearest" : "selected"}: a ${x.label}`);
      lines.place.show(words);
      lines.prior.show(`${LIVE.number(logPrior, 2)} nats`);
      lines.joint.show(`${LIVE.number(logJoint, 1)} nats`);
      lines.best.show(`${LIVE.number(logJointAtMean, 1)} nats`);
      chart.canvas.describe(
        "The latent plane, tiled with what the decoder draws there, and the training digits' means " +
          `by class. ${point}, ${words}. An ellipse shows q(z|x) of ${which}, a ${x.label}. ` +
          "Arrow keys move z, with shift further; Home puts it in the centre; Enter selects the " +
          "nearest training digit, or lets it go.",
      );
      const what = shown.value === "mean" ? "The decoder's mean" : "A draw from p(x|z)";
      image.describe(`${what} at ${point}, 8 by 8 pixels: ${words}.`);
      original.describe(`The image x of ${which}, a ${x.label}, 8 by 8 pixels.`);
      stage.values = {
        ...{ z, mean, noise, pixels, logPrior, counts, distance: near[0].distance },
        ...{ selected, index, logJoint, logJointAtMean, walk: walk.values() },
      };
      const chosen = selected < 0 ? "" : ` Selected: a ${x.label}; ${joint}.`;
      return `${point}: ${words}.${chosen}`;
    });
  });
})();
