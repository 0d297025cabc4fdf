/* Noise ε that stays put while μ and Σ move: z = μ + Lε follows as one cloud, and each z asks for a
   change of μ that would raise f(z) = ‖z‖², in two ways.

   The pathwise arrow is the slope of f at z. The score-function arrow is the value of f at z, along
   the direction that makes this z likelier. Moved to one origin, the arrows are two clouds with one
   mean, the gradient of E f. Their numbers: see gradients.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const SHOWN = 200; // the draws that are drawn, and the first of the estimates
  const ARROWS = 24; // of these have arrows
  const SCALE = 0.16; // an arrow's length for one unit of gradient, in units of z
  const LIMIT = 20000; // draws at most
  const PRESS = 1000; // draws that one press adds where motion is to be reduced
  const PACE = 1.012; // growth of their number in a frame elsewhere
  const TURN = LIVE.linspace(0, 2 * Math.PI, 100);
  const ESTIMATES = { score: "rival", pathwise: "encoder" }; // and their inks, the last on top

  const pair = (noise, k) => [noise[2 * k], noise[2 * k + 1]];
  const columns = (points) => [points.map(([x]) => x), points.map(([, y]) => y)];

  /* Circles on which ‖z‖² is 1, 4, 9 and 16. */
  function drawHeights(chart) {
    const pen = chart.canvas.context;
    pen.strokeStyle = "#CCCCCC";
    pen.lineWidth = 1;
    for (const radius of [1, 2, 3, 4]) {
      const [across, down] = [chart.toX(radius) - chart.toX(0), chart.toY(0) - chart.toY(radius)];
      pen.beginPath();
      pen.ellipse(chart.toX(0), chart.toY(0), across, down, 0, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  /* The noise, the cloud with its curve at two deviations, and the arrows of the first points. */
  function drawPlane(chart, law, noise, estimates) {
    const [move, gradients] = [LIVE.moved(law), LIVE.gradients(law)];
    const still = Array.from({ length: SHOWN }, (_, k) => pair(noise, k));
    const ring = TURN.map((angle) => move([2 * Math.cos(angle), 2 * Math.sin(angle)]));
    chart.clear();
    drawHeights(chart);
    chart.points(...columns(still), "prior", 2, 0.3);
    chart.points(...columns(still.map(move)), "encoder", 2, 0.5);
    chart.line(...columns(ring), "encoder");
    for (const name of estimates) {
      for (const each of still.slice(0, ARROWS)) {
        const [z, gradient] = [move(each), gradients(each)[name]];
        const tip = [z[0] + SCALE * gradient[0], z[1] + SCALE * gradient[1]];
        chart.arrow(z, tip, ESTIMATES[name], 1.25);
      }
    }
    chart.disc(law.mean[0], law.mean[1], 5, { fill: "data", edge: "white", width: 1.5 });
    const names = { "score function": "rival", "z, pathwise": "encoder", "noise ε": "prior" };
    Object.entries(names).forEach(([words, ink], row) => {
      chart.text(-4.8, -4.6 + 0.6 * row, words, ink, "left");
    });
  }

  /* The tips of the arrows of both estimates, moved to one origin; their means with bars of two
     standard errors each way; and the exact gradient. */
  function drawTips(chart, law, noise, means) {
    const gradients = LIVE.gradients(law);
    const drawn = Array.from({ length: SHOWN }, (_, k) => gradients(pair(noise, k)));
    chart.clear();
    for (const name of Object.keys(ESTIMATES)) {
      chart.points(...columns(drawn.map((each) => each[name])), ESTIMATES[name], 2, 0.35);
    }
    for (const [name, ink] of Object.entries(ESTIMATES)) {
      const [[x, y], [across, up]] = [means[name].means, means[name].errors];
      chart.arrow([0, 0], [x, y], ink, name === "score" ? 5 : 2); // neither hides the other
      chart.line([x - 2 * across, x + 2 * across], [y, y], ink, []);
      chart.line([x, x], [y - 2 * up, y + 2 * up], ink, []);
    }
    const [x, y] = law.mean;
    chart.disc(2 * x, 2 * y, 6, { edge: "data", width: 2 });
  }

  LIVE.figure("reparameterize", (stage) => {
    const random = LIVE.generator(7);
    let noise = random.normals(2 * LIMIT); // (2K)
    let count = SHOWN;
    let running = false;
    const place = { minimum: -2, maximum: 2, step: 0.05, value: 1 };
    const width = { minimum: 0.2, maximum: 1.6, step: 0.05, value: 1 };

    stage.column();
    const axis = { range: [-5, 5], ticks: [-4, -2, 0, 2, 4] };
    const plane = stage.chart({
      width: 340,
      aspect: 1,
      x: { ...axis, label: "ε₁ and z₁" },
      y: { ...axis, label: "ε₂ and z₂" },
    });
    const arrows = stage.choice({
      name: "arrows",
      label: "Arrows",
      options: { both: "both", pathwise: "pathwise", score: "score function" },
      value: "both",
    });
    const widths = [stage.slider({ ...width, name: "sigma1", label: "σ₁" })];
    let means = [];
    let tilt = widths[0];
    stage.fold({ name: "more", label: "More: σ₂, ρ and μ" }, () => {
      widths.push(stage.slider({ ...width, name: "sigma2", label: "σ₂" }));
      const range = { minimum: -0.95, maximum: 0.95, step: 0.05 };
      tilt = stage.slider({ ...range, name: "rho", label: "ρ", value: 0 });
      means = [
        stage.slider({ ...place, name: "mu1", label: "μ₁", home: 0 }),
        stage.slider({ ...place, name: "mu2", label: "μ₂", home: 0 }),
      ];
    });
    stage.pad(plane, means[0], means[1]);

    stage.column({ pinned: true });
    const reach = { range: [-14, 14], ticks: [-10, 0, 10] };
    const tips = stage.chart({
      width: 340,
      aspect: 1,
      x: { ...reach, label: "gradient in μ₁" },
      y: { ...reach, label: "in μ₂" },
    });
    const lines = {};
    stage.stack(() => {
      lines.exact = stage.readout("exact, 2μ₁");
      lines.pathwise = stage.readout("pathwise");
      lines.score = stage.readout("score function");
      lines.pathwiseVariance = stage.readout("variance, pathwise");
      lines.scoreVariance = stage.readout("variance, score");
    });

    stage.column();
    let draw = null;
    stage.row(() => {
      draw = stage.button("", () => {
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
    });

    function buttonWords() {
      if (running) return "Pause";
      if (count === LIMIT) return `All ${LIMIT.toLocaleString("en-GB")} drawn`;
      return LIVE.reducedMotion() ? `Draw ${PRESS.toLocaleString("en-GB")} more` : "Draw more";
    }

    stage.update(() => {
      const [mean, deviations] = [means, widths].map((each) => each.map(({ value }) => value));
      const law = { mean, deviations, correlation: tilt.value };
      const estimates = LIVE.gradientMeans(law, noise, count);
      const exact = LIVE.gradientLaw(law);
      drawPlane(plane, law, noise, Object.keys(ESTIMATES).filter(isShown));
      drawTips(tips, law, noise, estimates);

      const both = (values) => `(${values.map((each) => LIVE.number(each, 2)).join(", ")})`;
      const seen = (name) => {
        const [[average], [error]] = [estimates[name].means, estimates[name].errors];
        return `${LIVE.number(average, 2)} ± ${LIVE.number(2 * error, 2)}`;
      };
      lines.exact.show(LIVE.number(exact.exact, 2));
      lines.pathwise.show(seen("pathwise"));
      lines.score.show(seen("score"));
      const variances = [exact.pathwise, exact.score].map((each) => LIVE.number(each, 1));
      lines.pathwiseVariance.show(variances[0]);
      lines.scoreVariance.show(variances[1]);
      draw.element.textContent = buttonWords();

      const drawn = count.toLocaleString("en-GB");
      const shape = `σ = ${both(deviations)}, ρ = ${LIVE.number(tilt.value, 2)}`;
      const result =
        `After ${drawn} draws: pathwise ${seen("pathwise")}, score function ${seen("score")}; ` +
        `exact ${LIVE.number(exact.exact, 2)}. Variances of a draw: ${variances.join(" and ")}.`;
      plane.canvas.describe(
        `${SHOWN} noise points that stay put around 0, and the same points as z, around ` +
          `μ = ${both(mean)}, ${shape}. On ${ARROWS} of them, arrows: ${arrows.value}. ` +
          "Arrow keys move μ, with shift further; Home puts it in the centre.",
      );
      tips.canvas.describe(
        `The arrows of both estimates from one origin: a narrow cloud, pathwise, and a wide one, ` +
          `score function, around the exact gradient ${both(mean.map((each) => 2 * each))}. ${result}`,
      );
      stage.values = { ...law, noise, count, estimates, exact, running, arrows: arrows.value };
      return `μ = ${both(mean)}, ${shape}. ${result}`;
    });

    function isShown(name) {
      return arrows.value === "both" || arrows.value === name;
    }
  });
})();
