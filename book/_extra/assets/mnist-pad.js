/* The pad of the landing page: z moves over the plane of a VAE that was trained on MNIST, and its
   decoder draws the digit, 28 by 28 pixels. mnist-weights.js carries the decoder and where the
   encoder puts 1,000 test digits, which are not drawn: they say what kind of digit is near. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const WEIGHTS = window.VAE_MNIST;
  const ROWS = 28;
  const NEIGHBOURS = 15;
  const TILES = 15; // in each direction

  const means = LIVE.float32(WEIGHTS.means); // (1000 · 2): z₁ and z₂ in turn
  const labels = Array.from(WEIGHTS.labels, Number); // (1000)
  const logits = LIVE.network(WEIGHTS.decoder);

  /* f(z): two latents to 784 pixels, the probability that each is black. */
  LIVE.decode = (z) => logits(z).map((logit) => 1 / (1 + Math.exp(-logit)));

  LIVE.figure("mnist-pad", (stage) => {
    const { range } = WEIGHTS;

    stage.column();
    const {
      chart,
      sliders: [first, second],
    } = LIVE.plane(stage, WEIGHTS);

    stage.column({ pinned: true });
    const image = stage.image({ width: 252, rows: ROWS, columns: ROWS });
    const place = stage.readout("z lies");

    stage.column();
    const walk = LIVE.walk(stage, {
      sliders: [first, second],
      places: WEIGHTS.hearts.map((index) => [means[2 * index], means[2 * index + 1]]),
      between: ["3", "8"],
      decode: LIVE.decode,
      rows: ROWS,
      faded: false,
    });

    let sheet = null; // made once, when first shown
    function tiles() {
      sheet ||= LIVE.sheet(LIVE.tiles(range, TILES).map(LIVE.decode), TILES, ROWS);
      return sheet;
    }

    stage.update(() => {
      walk.draw();
      const z = [first.value, second.value];
      const pixels = LIVE.decode(z); // (784)
      const near = LIVE.nearest(means, z, NEIGHBOURS);
      const { counts, words } = LIVE.company(labels, near);
      const point = `z = (${LIVE.number(z[0], 2)}, ${LIVE.number(z[1], 2)})`;

      chart.clear();
      LIVE.onPlane.sheet(chart, range, tiles(), 0.8);
      LIVE.onPlane.walk(chart, walk.line());
      LIVE.onPlane.cross(chart, z);
      image.show(pixels);
      place.show(words);
      chart.canvas.describe(
        `The latent plane, tiled with the digits that the decoder draws there. ${point}, ${words}. ` +
          "Arrow keys move z, with shift further; Home puts it in the centre.",
      );
      image.describe(`What the decoder draws at ${point}, 28 by 28 pixels: ${words}.`);
      stage.values = { z, pixels, counts, distance: near[0].distance, walk: walk.values() };
      return `${point}: ${words}.`;
    });
  });
})();
