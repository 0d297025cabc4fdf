/* The latent pad: z moves over the plane of a trained VAE, and its decoder draws the digit.

   Behind z lie the means of q(z|x) of the 1,500 training digits. weights.js carries them and the
   decoder; the book's Python computes the same numbers, and a test holds the two together. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const WEIGHTS = window.VAE_WEIGHTS;
  const COLORS = [
    ...["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"],
    ...["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"],
  ]; // the same ten as vae_tutorial.pictures.DIGIT_COLOURS
  const NEIGHBOURS = 15;
  const FAR = 0.5; // from here on, no training digit's mean is near

  const means = LIVE.float32(WEIGHTS.means); // (1500 · 2): z₁ and z₂ in turn
  const labels = Array.from(WEIGHTS.labels, Number); // (1500)
  const scale = Math.exp(WEIGHTS.logVariance / 2); // σ, one for all pixels
  const classes = COLORS.map((color, digit) => {
    const own = labels.flatMap((label, i) => (label === digit ? [i] : []));
    const xs = own.map((i) => means[2 * i]);
    const ys = own.map((i) => means[2 * i + 1]);
    return { color, digit, xs, ys };
  });

  /* f(z): two latents to 64 pixels. */
  LIVE.decode = LIVE.network(WEIGHTS.decoder);

  /* Of the nearest training digits: how many are of which class, and how far the first one is. */
  LIVE.neighbours = (z) => {
    const distances = labels.map((label, i) => ({
      label,
      distance: Math.hypot(means[2 * i] - z[0], means[2 * i + 1] - z[1]),
    }));
    const nearest = distances.sort((a, b) => a.distance - b.distance).slice(0, NEIGHBOURS);
    const counts = new Array(10).fill(0); // (10)
    for (const { label } of nearest) counts[label] += 1;
    return { counts, distance: nearest[0].distance };
  };

  /* The same in words. */
  function company({ counts, distance }) {
    if (distance > FAR) return "far from every training digit";
    const order = counts.map((_, digit) => digit).sort((a, b) => counts[b] - counts[a]);
    if (counts[order[0]] > (2 / 3) * NEIGHBOURS) return `among the training ${order[0]}s`;
    return `between training ${order[0]}s and ${order[1]}s`;
  }

  function drawPlane(chart, z) {
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const pen = chart.canvas.context;
    chart.clear();
    for (const { color, xs, ys } of classes) chart.points(xs, ys, color, 2, 0.6);
    const angles = LIVE.linspace(0, 2 * Math.PI, 100);
    const circle = [angles.map((a) => 2 * Math.cos(a)), angles.map((a) => 2 * Math.sin(a))];
    chart.line(...circle, "prior");
    for (const { color, digit, xs, ys } of classes) {
      const [x, y] = [mean(xs), mean(ys)];
      chart.disc(x, y, 9, { fill: "white", edge: color, width: 1.5 });
      chart.text(x, y, String(digit), "data", "center");
    }
    const [px, py] = [chart.toX(z[0]), chart.toY(z[1])];
    for (const [color, width] of [
      ["white", 6],
      ["#222222", 2.5],
    ]) {
      chart.disc(z[0], z[1], 11, { edge: color, width });
      pen.beginPath();
      for (const [across, up] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        pen.moveTo(px + 5 * across, py + 5 * up);
        pen.lineTo(px + 17 * across, py + 17 * up);
      }
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.stroke();
    }
  }

  LIVE.figure("latent-pad", (stage) => {
    const random = LIVE.generator(3);
    let noise = random.normals(64);
    const axis = { range: [-4.1, 4.1], ticks: [-4, -2, 0, 2, 4] };
    const latent = { minimum: -4, maximum: 4, step: 0.05, home: 0 };

    stage.column();
    const chart = stage.chart({
      width: 380,
      aspect: 1,
      x: { ...axis, label: "first latent, z₁" },
      y: { ...axis, label: "second latent, z₂" },
    });
    const first = stage.slider({ ...latent, name: "z1", label: "z₁", value: -1.75 });
    const second = stage.slider({ ...latent, name: "z2", label: "z₂", value: -0.8 });
    stage.pad(chart, first, second);

    stage.column();
    const image = stage.image({ width: 200, rows: 8, columns: 8 });
    const place = stage.readout("z lies");
    const density = stage.readout("log p(z)");
    const shown = stage.choice({
      name: "show",
      label: "Show",
      options: {
        mean: "the mean, f(z)",
        draw: `a draw from p(x|z), f(z) + σε with σ = ${LIVE.number(scale, 2)}`,
      },
      value: "mean",
    });
    stage.button("Draw another ε", () => {
      noise = random.normals(64);
      shown.set("draw");
    });

    stage.update(() => {
      const z = [first.value, second.value];
      const mean = LIVE.decode(z); // (64)
      const draw = mean.map((value, i) => value + scale * noise[i]); // (64)
      const logPrior = LIVE.logNormal(z, [0, 0], [0, 0]);
      const near = LIVE.neighbours(z);
      const pixels = shown.value === "mean" ? mean : draw;

      const point = `z = (${LIVE.number(z[0], 2)}, ${LIVE.number(z[1], 2)})`;
      const words = company(near);
      const what = shown.value === "mean" ? "The decoder's mean" : "A draw from p(x|z)";
      drawPlane(chart, z);
      image.show(pixels);
      place.show(words);
      density.show(`${LIVE.number(logPrior, 2)} nats`);
      chart.canvas.describe(
        `The latent plane with the training digits' means by class. ${point}, ${words}. ` +
          "Arrow keys move z, with shift further; Home puts it in the centre.",
      );
      image.describe(`${what} at ${point}, 8 by 8 pixels: ${words}.`);
      stage.values = { z, mean, noise, pixels, logPrior, ...near };
      return `${point}: ${words}.`;
    });
  });
})();
