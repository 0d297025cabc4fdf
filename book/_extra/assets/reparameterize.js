/* Noise ε that stays put while μ, σ and ρ move: z = μ + Lε follows as one cloud.

   The same draws, and more of them, feed two estimates of the gradient in μ₁ of E‖z‖²: pathwise
   and score function, each with its spread. Their numbers: see gradients.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SHOWN = 200; // the draws in the planes, and the first of the estimates
  const LIMIT = 20000; // draws at most
  const PRESS = 1000; // draws that one press adds where motion is to be reduced
  const PACE = 1.012; // growth of their number in a frame elsewhere
  const TURN = LIVE.linspace(0, 2 * Math.PI, 100);
  const POWERS = LIVE.linspace(1, Math.log10(LIMIT), 150);
  const COUNTS = [...new Set(POWERS.map((power) => Math.round(10 ** power)))];

  const pair = (noise, k) => [noise[2 * k], noise[2 * k + 1]];

  /* The cloud, its curves at one and two deviations, and one point followed from the centre. */
  function drawPlane(chart, move, noise, followed, ink) {
    const places = Array.from({ length: SHOWN }, (_, k) => move(pair(noise, k)));
    const [centre, place] = [move([0, 0]), places[followed]];
    chart.clear();
    chart.points(
      places.map(([x]) => x),
      places.map(([, y]) => y),
      ink,
      2.5,
      0.55,
    );
    for (const radius of [1, 2]) {
      const ring = TURN.map((angle) => move([radius * Math.cos(angle), radius * Math.sin(angle)]));
      chart.line(
        ring.map(([x]) => x),
        ring.map(([, y]) => y),
        ink,
      );
    }
    chart.line([centre[0], place[0]], [centre[1], place[1]], "data");
    chart.disc(place[0], place[1], 7, { edge: "data", width: 2 });
    return place;
  }

  function drawRuns(chart, counts, runs, exact) {
    const xs = counts.map(Math.log10);
    const named = { score: ["rival", "score function"], pathwise: ["encoder", "pathwise"] };
    chart.range([1, Math.log10(LIMIT)], [exact - 6, exact + 6]);
    chart.clear();
    for (const [name, [ink]] of Object.entries(named)) {
      const { means, errors } = runs[name];
      const lows = means.map((mean, i) => mean - 2 * errors[i]);
      const highs = means.map((mean, i) => mean + 2 * errors[i]);
      chart.band(xs, lows, highs, ink);
      chart.line(xs, means, ink);
    }
    chart.line([1, Math.log10(LIMIT)], [exact, exact], "data");
    chart.key([...Object.values(named), ["data", "exact, 2μ₁"]], "right");
  }

  LIVE.figure("reparameterize", (stage) => {
    const random = LIVE.generator(7);
    let noise = random.normals(2 * LIMIT); // (2K)
    let count = SHOWN;
    let followed = 8; // one that lies well off the centre
    let running = false;
    const axis = { range: [-5, 5], ticks: [-4, -2, 0, 2, 4] };
    const planes = { width: 340, aspect: 1 };
    const place = { minimum: -2, maximum: 2, step: 0.05 };
    const width = { minimum: 0.2, maximum: 1.6, step: 0.05 };

    stage.column();
    const outside = stage.chart({
      ...planes,
      x: { ...axis, label: "noise, ε₁" },
      y: { ...axis, label: "noise, ε₂" },
    });
    const widths = [
      stage.slider({ ...width, name: "sigma1", label: "σ₁", value: 1.2 }),
      stage.slider({ ...width, name: "sigma2", label: "σ₂", value: 0.8 }),
    ];
    const range = { minimum: -0.95, maximum: 0.95, step: 0.05 };
    const tilt = stage.slider({ ...range, name: "rho", label: "ρ", value: 0.7 });
    stage.button("Follow another point", () => (followed = (followed + 1) % SHOWN));

    stage.column();
    const inside = stage.chart({
      ...planes,
      x: { ...axis, label: "first latent, z₁" },
      y: { ...axis, label: "second latent, z₂" },
    });
    const means = [
      stage.slider({ ...place, name: "mu1", label: "μ₁", value: 1, home: 0 }),
      stage.slider({ ...place, name: "mu2", label: "μ₂", value: -0.5, home: 0 }),
    ];
    stage.pad(inside, means[0], means[1]);
    stage.button("Set μ = (1, 1) and Σ = I", () => {
      for (const each of [...means, ...widths]) each.set(1);
      tilt.set(0);
    });

    stage.column();
    const chart = stage.chart({
      width: 340,
      aspect: 0.85,
      x: {
        range: [1, Math.log10(LIMIT)],
        label: "draws, log scale",
        ticks: [1, 2, 3, 4],
        words: (power) => (10 ** power).toLocaleString("en-GB"),
      },
      y: { range: [-4, 8], label: "gradient in μ₁ of E‖z‖²" }, // moves with the exact value
    });

    stage.column();
    const lines = {
      count: stage.readout("draws"),
      exact: stage.readout("exact gradient"),
      pathwise: stage.readout("pathwise"),
      pathwiseVariance: stage.readout("its variance (exact)"),
      score: stage.readout("score function"),
      scoreVariance: stage.readout("its variance (exact)"),
      ratio: stage.readout("ratio of exact variances"),
    };
    const draw = stage.button("", () => {
      running = !running && count < LIMIT;
      if (!running) return stage.stop();
      const target = LIVE.reducedMotion() ? Math.min(LIMIT, count + PRESS) : LIMIT;
      stage.animate(() => {
        count = Math.min(target, LIVE.reducedMotion() ? target : Math.ceil(count * PACE));
        running = count < target;
        return running;
      });
    });
    stage.button("Take new noise", () => {
      stage.stop();
      [noise, count, running] = [random.normals(2 * LIMIT), SHOWN, false];
    });

    function buttonWords() {
      if (running) return "Pause";
      if (count === LIMIT) return `All ${LIMIT.toLocaleString("en-GB")} drawn`;
      return LIVE.reducedMotion() ? `Draw ${PRESS.toLocaleString("en-GB")} more` : "Draw more";
    }

    stage.update(() => {
      const [mean, deviations] = [means, widths].map((each) => each.map(({ value }) => value));
      const law = { mean, deviations, correlation: tilt.value };
      const counts = [...COUNTS.filter((each) => each < count), count];
      const runs = LIVE.gradientRuns(law, noise, counts);
      const exact = LIVE.gradientLaw(law);
      const epsilon = drawPlane(outside, (each) => each, noise, followed, "prior");
      const z = drawPlane(inside, LIVE.moved(law), noise, followed, "encoder");
      drawRuns(chart, counts, runs, exact.exact);

      const both = (values) => `(${values.map((each) => LIVE.number(each, 2)).join(", ")})`;
      const seen = (name) => {
        const [average, error] = [runs[name].means.at(-1), runs[name].errors.at(-1)];
        return `${LIVE.number(average, 2)} ± ${LIVE.number(2 * error, 2)}`;
      };
      for (const name of ["pathwise", "score"]) {
        const variance = LIVE.number(runs[name].variances.at(-1), 2);
        lines[name].show(seen(name));
        lines[`${name}Variance`].show(`${variance} (${LIVE.number(exact[name], 2)})`);
      }
      const drawn = count.toLocaleString("en-GB");
      lines.count.show(drawn);
      lines.exact.show(LIVE.number(exact.exact, 2));
      lines.ratio.show(LIVE.number(exact.score / exact.pathwise, 1));
      draw.element.textContent = buttonWords();

      const shape = `σ = ${both(deviations)}, ρ = ${LIVE.number(tilt.value, 2)}`;
      const where = `ε = ${both(epsilon)}, which becomes z = ${both(z)}`;
      const estimates = `pathwise ${seen("pathwise")}, score function ${seen("score")}`;
      const result = `After ${drawn} draws: ${estimates}; exact ${LIVE.number(exact.exact, 2)}.`;
      outside.canvas.describe(`${SHOWN} noise points that stay put. One is followed: ${where}.`);
      inside.canvas.describe(
        `The same points as z, around μ = ${both(mean)}, ${shape}. ` +
          "Arrow keys move μ, with shift further; Home puts it in the centre.",
      );
      chart.canvas.describe(`Both gradient estimates against the number of draws. ${result}`);
      stage.values = { ...law, noise, count, epsilon, z, runs, exact, running };
      return `μ = ${both(mean)}, ${shape}. ${result}`;
    });
  });
})();
