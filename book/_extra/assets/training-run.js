/* A run of training on the digits, what is measured beside it, and one step of it in slow motion.

   Nothing here touches the page. digits.js carries the data; layers.js, vae-network.js and vae-exact.js compute.

   VAE_LIVE.training.train, test, ten      the images, arrays of 64 grey levels; the first test digit
                                           of each class; labels, of the training digits; BATCH
   VAE_LIVE.training.createRun()           {model, moments, next(), gradient(batch, settings),
                                           move(slopes, rate)}: the same weights, batches and noise
                                           each time, whatever the settings
   VAE_LIVE.training.mapped(model)         → {codes, rates}: where q puts the training digits, and the
                                           rate of each latent, averaged over them, in nats
   VAE_LIVE.training.walk(run, settings)   one step with seven stops: {words, lit, next(), done, at,
                                           image, copy}; the weights move at the last one
   VAE_LIVE.training.createLab(settings)   a run and all that is known of it; see below
   settings: {variance, weight, rate}: σ², β and the learning rate. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const DIGITS = window.VAE_DIGITS;
  const { vae, exact } = LIVE;
  const [SHAPE, BATCH, SEED] = [vae.ofDigits(32), 100, 1];
  const SLICE = 12; // milliseconds of work between two pictures
  const SHARE = 1; // training gets so many times the milliseconds that measuring takes
  const MAP_EVERY = 100; // milliseconds from one map of the codes to the next

  const train = LIVE.digits(DIGITS.train);
  const test = LIVE.digits(DIGITS.test);
  const labels = Array.from(DIGITS.trainLabels, Number);
  /* The first test digit of each class. */
  const ten = DIGITS.colours.map((_, digit) => test[DIGITS.testLabels.indexOf(String(digit))]);

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const nats = (value) => `${LIVE.number(value, 2)} nats`;
  const pair = (values) => `(${values.map((value) => LIVE.number(value, 2)).join(", ")})`;
  const rateOf = (m, logVariance) => 0.5 * (Math.exp(logVariance) + m * m - 1 - logVariance);
  const posterior = (code) => ({ mean: [code[0], code[1]], logVariance: [code[2], code[3]] });

  function createRun() {
    const random = LIVE.generator(SEED);
    const model = vae.start(SHAPE, random);
    const moments = vae.moments(SHAPE);
    let order = [];

    /* BATCH rows, each once an epoch, and two numbers of noise for each. */
    function next() {
      if (order.length < BATCH) {
        order = train.map((_, i) => i);
        for (let i = order.length - 1; i > 0; i -= 1) {
          const other = Math.floor(random.uniform() * (i + 1));
          [order[i], order[other]] = [order[other], order[i]];
        }
      }
      return { rows: order.splice(0, BATCH), noise: random.normals(2 * BATCH) };
    }
    const gradient = ({ rows, noise }, settings) =>
      vae.gradient(
        model,
        rows.map((row) => train[row]),
        noise,
        settings,
      );
    const move = (slopes, rate) => vae.adam(model, moments, slopes, rate);
    return { model, moments, next, gradient, move };
  }

  /* Where q puts the training digits, and the rate of each latent, averaged over them. */
  function mapped(model) {
    const codes = train.map((image) => vae.encode(model, image));
    const rates = [0, 1].map((i) => mean(codes.map((code) => rateOf(code[i], code[2 + i]))));
    return { codes, rates };
  }

  /* One step, walked through: what each of the seven stops says, and what it lights. */
  function walk(run, settings) {
    const batch = run.next();
    const image = train[batch.rows[0]];
    const before = run.gradient(batch, settings);
    const { mean: centre, logVariance } = posterior(vae.encode(run.model, image));
    const deviations = logVariance.map((value) => Math.exp(value / 2));
    const noise = [batch.noise[0], batch.noise[1]];
    const z = centre.map((m, i) => m + deviations[i] * noise[i]);
    const copy = Float64Array.from(vae.decoder(run.model)(z[0], z[1]));
    const missed = image.reduce((sum, value, i) => sum + (value - copy[i]) ** 2, 0);
    const lossOf = ({ logLikelihood, kl }) => settings.weight * kl - logLikelihood;
    const steep = Math.hypot(...before.slopes.values);
    const factor = settings.weight === 1 ? "" : `${LIVE.number(settings.weight, 2)} · `;
    let after = Number.NaN; // the loss on the same batch once the weights have moved
    const stops = [
      {
        lit: "x",
        says: () =>
          `batch: ${BATCH} of the ${train.length.toLocaleString("en")} digits, x (${BATCH}, 64). ` +
          `The first of them, drawn here, is a ${labels[batch.rows[0]]}.`,
      },
      {
        lit: "encoder mu sigma axis q",
        says: () =>
          `encode: for this digit μ(x) = ${pair(centre)}, and σ = ${pair(deviations)}, ` +
          `the roots of Σ(x); (${BATCH}, 2) each for the batch.`,
      },
      {
        lit: "noise z axis q",
        says: () => `noise: ε = ${pair(noise)}, so z = μ + σε = ${pair(z)}; (${BATCH}, 2).`,
      },
      {
        lit: "decoder f lambda copy",
        says: () =>
          `decode: f(z) is the copy, 64 pixels, at a squared distance of ` +
          `${LIVE.number(missed, 2)} from x; (${BATCH}, 64). Λ is σ² = ` +
          `${LIVE.number(settings.variance, 3)} for every pixel.`,
      },
      {
        lit: "rate distortion loss",
        says: () =>
          `score: over the batch the distortion is ${nats(-before.logLikelihood)}, the rate ` +
          `${nats(before.kl)}, the loss ${LIVE.number(-before.logLikelihood, 2)} + ${factor}` +
          `${LIVE.number(before.kl, 2)} = ${nats(lossOf(before))}.`,
      },
      {
        lit: "extra",
        says: () =>
          `gradient: back from the loss through decoder, z and encoder, ` +
          `${before.slopes.values.length.toLocaleString("en")} slopes, of length ` +
          `${LIVE.number(steep, 1)} together.`,
      },
      {
        lit: "encoder decoder",
        says: () =>
          `update: Adam has moved every weight, at a learning rate of ` +
          `${LIVE.number(settings.rate, 4)}. The loss of the same batch with the same noise ` +
          `${after < lossOf(before) ? "falls" : "rises"} from ` +
          `${LIVE.number(lossOf(before), 2)} to ${nats(after)}.`,
      },
    ];
    let at = 0;
    return {
      image,
      copy,
      get at() {
        return at;
      },
      get lit() {
        return stops[at].lit.split(" ");
      },
      get words() {
        return `Stop ${at + 1} of ${stops.length}, ${stops[at].says()}`;
      },
      get done() {
        return at === stops.length - 1;
      },
      next() {
        at += 1;
        if (at < stops.length - 1) return;
        run.move(before.slopes, settings.rate);
        after = lossOf(run.gradient(batch, settings));
      },
    };
  }

  /* A run, and all that is known of it. The page sets `settings` and `drawing`, the image to be judged
     or null, and calls slice() until it returns false; waits() says whether there is anything to do.
     history: {step, variance, bound, best, logEvidence}, averages over the ten digits; former: the
     same of the run before. map: what mapped() returns. own: what is known of the drawing. crowd:
     log p(x) of all test digits. failed: the loss is no number any more. */
  function createLab(settings) {
    let run = createRun();
    let job = null; // what is being computed in slices: {advance, take}
    let mapAt = 0; // the milliseconds when the map was made
    let [measuring, training] = [0, 0]; // milliseconds of the last measurement, and since then
    let measured = -1; // the step of the last one

    const lab = {
      settings,
      drawing: null,
      asked: false, // has the reader asked for anything yet?
      running: false,
      failed: false,
      history: [],
      former: [],
      map: mapped(run.model),
      own: null,
      crowd: null,
      get model() {
        return run.model;
      },
      get steps() {
        return run.moments.count;
      },
      run(on) {
        lab.running = on && !lab.failed;
        lab.asked ||= lab.running;
      },
      step() {
        lab.running = false;
        trainStep();
        moved();
      },
      /* One step in slow motion, from the next batch on. */
      walk() {
        const walked = walk(run, { ...lab.settings });
        const { next } = walked;
        walked.next = () => {
          next();
          if (walked.done) moved();
        };
        return walked;
      },
      again() {
        run = createRun();
        if (lab.history.length > 1) lab.former = lab.history;
        Object.assign(lab, { asked: false, running: false, failed: false });
        Object.assign(lab, { history: [], own: null, crowd: null });
        job = null;
        [measuring, training, measured] = [0, 0, -1];
        remap();
      },
      waits() {
        job ||= nextJob();
        return job !== null || lab.running;
      },
      slice,
    };

    function remap() {
      lab.map = mapped(run.model);
      mapAt = performance.now();
    }

    /* After a step that the reader asked for: what was being computed is of other weights. */
    function moved() {
      job = null;
      measured = -1;
      lab.asked ||= !lab.failed;
      remap();
    }

    function trainStep() {
      const { slopes, logLikelihood, kl } = run.gradient(run.next(), lab.settings);
      run.move(slopes, lab.settings.rate);
      if (Number.isFinite(logLikelihood - kl)) return;
      Object.assign(lab, { failed: true, running: false, asked: false });
    }

    /* What log p(x) depends on. */
    const state = () => `${lab.steps} ${lab.settings.variance}`;

    function measurement() {
      const [step, { variance }] = [lab.steps, lab.settings];
      measured = step;
      [measuring, training] = [0, 0];
      return {
        advance: exact.dissect(run.model, variance, ten),
        take({ logEvidence, best, encoder }) {
          const point = { logEvidence: mean(logEvidence), best: mean(best), bound: mean(encoder) };
          const before = lab.history.filter((other) => other.step < step);
          lab.history = [...before, { step, variance, ...point }];
          remap();
        },
      };
    }

    function judgement() {
      const [now, image, { variance }] = [state(), lab.drawing, lab.settings];
      const code = vae.encode(run.model, image);
      const bound = exact.bound(run.model, variance, image, posterior(code));
      return {
        advance: exact.evidence(run.model, variance, [image]),
        take({ logEvidence }) {
          lab.own = { state: now, image, code, bound, logEvidence: logEvidence[0] };
        },
      };
    }

    function comparison() {
      const now = state();
      return {
        advance: exact.evidence(run.model, lab.settings.variance, test),
        take({ logEvidence }) {
          lab.crowd = { state: now, logEvidence };
        },
      };
    }

    function nextJob() {
      if (!lab.asked) return null;
      const due = !lab.running || training >= SHARE * measuring;
      const elsewhere = lab.history.at(-1)?.variance !== lab.settings.variance;
      if (elsewhere || (measured !== lab.steps && due)) return measurement();
      if (lab.running || !lab.drawing) return null;
      if (lab.own?.state !== state() || lab.own.image !== lab.drawing) return judgement();
      return lab.crowd?.state === state() ? null : comparison();
    }

    /* Some milliseconds of whatever is to be done; false once nothing is. */
    function slice() {
      const begin = performance.now();
      let now = begin;
      while (now < begin + SLICE) {
        if (!lab.waits()) return false;
        const before = now;
        const measures = job !== null;
        if (measures) advance();
        else trainStep();
        now = performance.now();
        if (measures) measuring += now - before;
        else training += now - before;
      }
      if (lab.running && now - mapAt > MAP_EVERY) remap();
      return true;
    }

    function advance() {
      const { done, value } = job.advance.next();
      if (!done) return;
      job.take(value);
      job = null;
    }
    return lab;
  }

  LIVE.training = {
    train,
    test,
    ten,
    labels,
    BATCH,
    createRun,
    mapped,
    walk,
    createLab,
    posterior,
  };
})();
