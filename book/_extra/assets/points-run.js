/* A GAN and a VAE trained side by side on points of the plane, and what is measured beside them.

   Data are the reader's points, each as likely as any other, with noise of deviation σ. Generator and
   decoder are the same network with the same weights at the start; both meet the same data. Nothing
   here touches the page: layers.js, vae-network.js, game-network.js and plane-densities.js compute.

   VAE_LIVE.points.PRESETS                 {ring, arcs, digit, cluster, pair}: lists of points [x, y]
   VAE_LIVE.points.LIMIT, MOST             |x|, |y| ≤ LIMIT on a lattice of STEP; at most MOST points
   VAE_LIVE.points.snap(point)             → the nearest place for a point
   VAE_LIVE.points.text(points), list(text)     points as text for an address, and back; nonsense is null
   VAE_LIVE.points.BATCH, SHAPE            points of a batch; sizes of the VAE's networks
   VAE_LIVE.points.createRun(points, seed) → {model, generator, discriminator, rival, steps,
                                           round(settings)}: a step of everybody; rival is the
                                           discriminator of the hybrid
   VAE_LIVE.points.createLab(settings, points, seed)    a run and what is known of it; see below
   settings: {rate, judgements, deviation, loss, mix}: the learning rate, the discriminator's steps for
   one of the generator, σ, a key of game.LOSSES, and λ: the VAE's loss is −ELBO + λ · the game's. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { layers, vae, game, plane } = LIVE;
  const [LIMIT, STEP, MOST] = [2, 0.05, 40];
  const [BATCH, LATENTS] = [64, 2];
  const SHAPE = { encoder: [2, 32, 32, 2 * LATENTS], decoder: [LATENTS, 32, 32, 2] };
  const JUDGE = [2, 32, 32, 1];
  const SLICE = 12; // milliseconds of work between two pictures
  const HIT = 0.25; // a point is hit if p_g has this share of what p has near it
  const DRAWN = 300; // of the cloud that is shown
  const PRIOR = plane.lattice(plane.LATTICE);

  const snap = (point) =>
    point.map((value) => {
      const steps = Math.round(Math.min(LIMIT, Math.max(-LIMIT, value)) / STEP);
      return Number((steps * STEP).toFixed(2));
    });
  const circle = (count, radius, [x, y], from = 0, to = 2 * Math.PI) =>
    Array.from({ length: count }, (_, i) => {
      const angle = from + ((to - from) * i) / count;
      return snap([x + radius * Math.cos(angle), y + radius * Math.sin(angle)]);
    });
  const THREE = "9qirh7oqcvtqxrxpuhrjnfkbp7v6x5xdvbr9nehilgneqcuesgukvhukpgnfl9h2";
  const PRESETS = {
    ring: circle(8, 1.5, [0, 0]),
    arcs: [
      ...circle(11, 1, [-0.5, -0.25], 0, 1.1 * Math.PI),
      ...circle(11, 1, [0.5, 0.25], Math.PI, 2.1 * Math.PI),
    ],
    digit: [],
    cluster: [[0.8, 0.6], ...circle(6, 0.35, [0.8, 0.6])],
  };

  /* Two letters a coordinate would do for 1,296 places; there are 81. */
  const text = (points) =>
    points
      .flat()
      .map((value) => Math.round((value + LIMIT) / STEP).toString(36).padStart(2, "0"))
      .join("");
  function list(written) {
    const parts = written.match(/.{4}/g) ?? [];
    if (parts.join("") !== written || parts.length > MOST) return null;
    const points = parts.map((part) =>
      [part.slice(0, 2), part.slice(2)].map((digits) =>
        /^[0-9a-z]{2}$/.test(digits) ? Number.parseInt(digits, 36) * STEP - LIMIT : Number.NaN,
      ),
    );
    return points.flat().every((value) => value <= LIMIT + STEP / 2) ? points.map(snap) : null;
  }

  /** @param {number[][]} points */
  function createRun(points, seed) {
    const random = LIVE.generator(seed);
    const model = vae.start(SHAPE, random);
    const generator = layers.create(SHAPE.decoder, model.decoder.values.slice());
    const discriminator = layers.create(JUDGE);
    layers.start(discriminator, random);
    const rival = layers.create(JUDGE, discriminator.values.slice());
    const players = [model, generator, discriminator, rival];
    const held = new Map(players.map((each) => [each, layers.moments(each.values.length)]));
    const move = (net, slopes, rate) => layers.adam(net.values, held.get(net), slopes.values, rate);

    const data = (deviation) =>
      Array.from({ length: BATCH }, () => {
        const point = points[Math.floor(random.uniform() * points.length)];
        return point.map((value) => value + deviation * random.normal());
      });
    const draws = () => ({ z: random.normals(LATENTS * BATCH), noise: random.normals(2 * BATCH) });

    /* One step of a discriminator against a maker of points. */
    function judge(judging, maker, batch, { z, noise }, { deviation, rate }) {
      const { slopes, loss } = game.judge(judging, batch, game.make(maker, z, noise, deviation));
      move(judging, slopes, rate);
      return loss;
    }

    function round(settings) {
      const { rate, judgements, deviation, mix } = settings;
      const hybrid = mix > 0;
      let [batch, losses] = [[], []];
      for (let i = 0; i < judgements; i += 1) {
        batch = data(deviation);
        const drawn = draws();
        losses = [judge(discriminator, generator, batch, drawn, settings)];
        if (hybrid) losses.push(judge(rival, model.decoder, batch, drawn, settings));
      }
      const { z, noise } = draws();
      const fooled = game.fool(discriminator, generator, z, noise, settings);
      move(generator, fooled.slopes, rate);

      const variance = deviation ** 2;
      const bound = vae.gradient(model, batch, random.normals(LATENTS * BATCH), {
        ...{ variance, weight: 1 },
      });
      if (hybrid) {
        const { slopes } = game.fool(rival, model.decoder, z, noise, settings);
        slopes.values.forEach((slope, i) => {
          bound.slopes.decoder.values[i] += mix * slope;
        });
      }
      move(model, bound.slopes, rate);
      run.steps += 1;
      return [...losses, fooled.loss, bound.logLikelihood, bound.kl];
    }
    const run = { model, generator, discriminator, rival, steps: 0, round };
    return run;
  }

  /* Of both makers: how far p_g is from p, which points it hits, and what its discriminator sees. */
  function* dissect(run, points, { deviation, mix }) {
    const makers = { gan: run.generator, vae: run.model.decoder };
    const judges = { gan: run.discriminator, vae: mix > 0 ? run.rival : null };
    const means = {};
    for (const name of ["gan", "vae"]) means[name] = yield* plane.images(makers[name], PRIOR);
    const grid = plane.grid([...points.flat(), ...means.gan, ...means.vae], deviation);
    const even = new Float64Array(points.length).fill(1 / points.length);
    const p = yield* plane.density(points.flat(), even, deviation, grid);
    const found = {};
    for (const name of ["gan", "vae"]) {
      const q = yield* plane.density(means[name], PRIOR.weights, deviation, grid);
      const shares = plane.shares(points, p, q, { grid, deviation });
      found[name] = {
        ...plane.divergences(p, q, grid),
        hits: shares.filter((share) => share >= HIT).length,
        shares,
        value: judges[name] && plane.game(judges[name], p, q, grid),
      };
    }
    return found;
  }

  LIVE.points = {
    ...{ PRESETS, LIMIT, STEP, MOST, BATCH, SHAPE, DRAWN, SLICE },
    ...{ snap, text, list, createRun, dissect },
  };
})();
