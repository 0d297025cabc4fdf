/* A GAN and a VAE trained side by side on points of the plane, and what is measured beside them.

   Data are the reader's points, each as likely as any other, with noise of deviation σ. Generator and
   decoder are the same network with the same weights at the start; both meet the same data. Nothing
   here touches the page: layers.js, vae-network.js, game-network.js and mixtures.js compute.

   VAE_LIVE.sideBySide.PRESETS             {ring, arcs, digit, cluster}: lists of points [x, y]
   VAE_LIVE.sideBySide.LIMIT, STEP, MOST   |x|, |y| ≤ LIMIT, on a lattice; at most so many points
   VAE_LIVE.sideBySide.snap(point)         → the nearest place for a point
   VAE_LIVE.sideBySide.text(points), list(text)    points for an address, and back; nonsense is null
   VAE_LIVE.sideBySide.SHAPE, JUDGE        sizes of the VAE's networks and of a discriminator
   VAE_LIVE.sideBySide.createRun(points, seed)     → {points, model, generator, discriminator, rival,
                                           steps, round(settings)}: a step of everybody; the points may
                                           be others from one to the next; rival is the hybrid's
                                           discriminator
   VAE_LIVE.sideBySide.samples(maker, deviation)   → a cloud of points that a network makes, each from
                                           the same latent and with the same grain at every call
   VAE_LIVE.sideBySide.dissect(run, settings)      a generator function, with pauses, that returns
                                           {gan, vae}: each {forward, reverse, jensenShannon, missing}
                                           in nats, shares and hits of the points, and seen: what the
                                           discriminator's game value makes of JS, or null without one
   VAE_LIVE.sideBySide.createLab(settings, points, seed)     a run and what is known of it; see below
   settings: {rate, judgements, deviation, loss, mix}: the learning rate, the discriminator's steps for
   one of the generator, σ, a key of game.LOSSES, and λ: the VAE's loss is −ELBO + λ · the game's. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { layers, vae, game, mixtures } = LIVE;
  const { images } = mixtures;
  const [LIMIT, STEP, MOST] = [2, 0.05, 40];
  const [BATCH, LATENTS] = [64, 2];
  const SHAPE = { encoder: [2, 32, 32, 2 * LATENTS], decoder: [LATENTS, 32, 32, 2] };
  const JUDGE = [2, 32, 32, 1];
  const SLICE = 12; // milliseconds of work between two pictures
  const SHOWN = 300; // samples of a cloud
  const HIT = 0.25; // a point is hit if p_g has this share of what p has near it

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
  const PRESETS = {
    ring: circle(8, 1.5, [0, 0]),
    arcs: [
      ...circle(11, 1, [-0.5, -0.25], 0, 1.1 * Math.PI),
      ...circle(11, 1, [0.5, 0.25], Math.PI, 2.1 * Math.PI),
    ],
    digit: [
      ...circle(11, 0.75, [0, 0.75], 0.85 * Math.PI, -0.62 * Math.PI),
      ...circle(13, 0.9, [0, -0.85], 0.5 * Math.PI, -0.95 * Math.PI),
    ],
    cluster: [[0.8, 0.6], ...circle(6, 0.35, [0.8, 0.6])],
  };

  /* Two letters a coordinate would do for 1,296 places; there are 81. */
  const text = (points) =>
    points
      .flat()
      .map((value) =>
        Math.round((value + LIMIT) / STEP)
          .toString(36)
          .padStart(2, "0"),
      )
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
    const run = { points, steps: 0 };
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
        const point = run.points[Math.floor(random.uniform() * run.points.length)];
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
      let batch = [];
      let losses = [];
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
      const latentNoise = random.normals(LATENTS * BATCH);
      const bound = vae.gradient(model, batch, latentNoise, { variance, weight: 1 });
      if (hybrid) {
        const { slopes } = game.fool(rival, model.decoder, z, noise, settings);
        slopes.values.forEach((slope, i) => {
          bound.slopes.decoder.values[i] += mix * slope;
        });
      }
      move(model, bound.slopes, rate);
      run.steps += 1;
      return [...losses, fooled.loss, bound.logLikelihood, bound.kl].every(Number.isFinite);
    }
    return Object.assign(run, { model, generator, discriminator, rival, round });
  }

  /* The cloud: the same latents and the same grain, whatever the network. */
  function samples(maker, deviation) {
    const random = LIVE.generator(77);
    const [z, noise] = [random.normals(LATENTS * SHOWN), random.normals(2 * SHOWN)];
    return game.make(maker, z, noise, deviation);
  }

  /* Of both makers: how far p_g is from p, which points it hits, and what its discriminator sees. */
  function* dissect(run, { deviation, mix }) {
    const { points } = run;
    const makers = { gan: run.generator, vae: run.model.decoder };
    const judges = { gan: run.discriminator, vae: mix > 0 ? run.rival : null };
    const [gan, vae] = [yield* images(makers.gan, deviation), yield* images(makers.vae, deviation)];
    const grid = mixtures.grid([points.flat(), gan.means, vae.means], deviation);
    const even = new Float64Array(points.length).fill(1 / points.length);
    const p = yield* mixtures.density(points.flat(), even, deviation, grid);
    const found = {};
    for (const [name, { means, weights }] of Object.entries({ gan, vae })) {
      const q = yield* mixtures.density(means, weights, deviation, grid);
      const shares = mixtures.shares(points, p, q, { grid, deviation });
      found[name] = {
        ...mixtures.divergences(p, q, grid),
        hits: shares.filter((share) => share >= HIT).length,
        shares,
        seen: judges[name] && (mixtures.game(judges[name], p, q, grid) + Math.log(4)) / 2,
      };
    }
    return found;
  }

  /* A run, and all that is known of it. The page sets `settings`, gives points to place(), and calls
     slice() until it returns false; waits() says whether there is anything to do. history: {step, gan,
     vae}, what dissect returned; former: that of the run before. latest: the last of them, if it is of
     these points, weights and σ. failed: a loss is no number any more. */
  function createLab(settings, points, seed) {
    let run = createRun(points, seed);
    let job = null; // what is being measured in slices
    let measured = ""; // the state of the last measurement
    let [measuring, training] = [0, 0]; // milliseconds of the last one, and since then

    const lab = {
      settings,
      running: false,
      failed: false,
      history: [],
      former: [],
      get run() {
        return run;
      },
      get latest() {
        const last = lab.history.at(-1);
        return last?.state === state() ? last : null;
      },
      start(on) {
        lab.running = on && !lab.failed;
      },
      place(wanted) {
        run.points = wanted;
        [job, measured] = [null, ""];
      },
      again(other) {
        run = createRun(run.points, other);
        if (lab.history.length > 1) lab.former = lab.history;
        Object.assign(lab, { running: false, failed: false, history: [] });
        job = null;
        [measuring, training, measured] = [0, 0, ""];
      },
      waits() {
        job ||= nextJob();
        return job !== null || lab.running;
      },
      slice,
    };

    /* What a measurement depends on. */
    const state = () =>
      [run.steps, lab.settings.deviation, lab.settings.mix > 0, text(run.points)].join(" ");

    function nextJob() {
      if (lab.failed || run.steps === 0) return null;
      if (measured === state() || (lab.running && training < measuring)) return null;
      const now = state();
      const [step, { deviation }] = [run.steps, lab.settings];
      [measured, measuring, training] = [now, 0, 0];
      const advance = dissect(run, { ...lab.settings });
      return {
        advance() {
          const { done, value } = advance.next();
          if (!done) return;
          job = null;
          const before = lab.history.filter((other) => other.step < step);
          lab.history = [...before, { step, deviation, state: now, ...value }];
        },
      };
    }

    function trainRound() {
      if (run.round(lab.settings)) return;
      Object.assign(lab, { failed: true, running: false });
    }

    /* Some milliseconds of whatever is to be done; false once nothing is. */
    function slice() {
      const begin = performance.now();
      let now = begin;
      while (now < begin + SLICE) {
        if (!lab.waits()) return false;
        const before = now;
        const measures = job !== null;
        if (measures) job.advance();
        else trainRound();
        now = performance.now();
        if (measures) measuring += now - before;
        else training += now - before;
      }
      return true;
    }
    return lab;
  }

  LIVE.sideBySide = {
    ...{ PRESETS, LIMIT, STEP, MOST, HIT, SHAPE, JUDGE },
    ...{ snap, text, list, createRun, samples, dissect, createLab },
  };
})();
