/* A game on a line where both densities are known: p, a mixture, and p_g = N(mean, width²).

   VAE_LIVE.exactGame.LAWS                 name → the law of the data: its pieces [share, mean, width]
   .look(law, mean, width)                 {divergences, gradients}: four numbers in nats, and the
                                           gradient of each in (mean, log width). likelihood is
                                           KL(p‖p_g), reverse is KL(p_g‖p), saturating is 2 JS and
                                           nonSaturating is KL(p_g‖p) − 2 JS
   .best(law, mean, width)                 D*(x) = p(x) / (p(x) + p_g(x)), a function of x
   .density(law), .made(mean, width)       p(x) and p_g(x), functions of x
   .walk(law, follows, mean, width)        downhill against one gradient: {law, follows, place, path,
                                           value(), next()}: next makes a step, and returns false
                                           where there is none; value is the divergence, in nats
   Sums run over the nodes of one trapezoidal rule; Book: eq-divergences, eq-generator-gradient. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const [REACH, COUNT] = [30, 2001]; // nodes on [−30, 30]: further than ten widths of any p_g
  const LOG_TWO = Math.log(2);
  const ROOT = Math.sqrt(2 * Math.PI);
  const LAWS = {
    two: [
      [0.5, -2, 0.6],
      [0.5, 2, 0.6],
    ],
    one: [[1, 0, 1]],
    skewed: [
      [0.7, -1, 0.5],
      [0.3, 1.5, 1.2],
    ],
  };
  const WIDTHS = [0.25, 2 ** 1.5];
  const MEANS = [-4, 4];
  const [PACE, LONGEST, STILL] = [0.3, 0.04, 1e-6]; // of a walk: step ÷ slope, a step, a slope

  const nodes = LIVE.linspace(-REACH, REACH, COUNT);
  const gaps = nodes.map((_, i) => (i % (COUNT - 1) === 0 ? 0.5 : 1) * ((2 * REACH) / (COUNT - 1)));

  const logNormal = (x, mean, width) => -0.5 * ((x - mean) / width) ** 2 - Math.log(width * ROOT);

  /* log p(x): the largest piece is taken out of the sum, which then cannot underflow. */
  function logDensity(law) {
    return (x) => {
      const parts = LAWS[law].map(
        ([share, mean, width]) => Math.log(share) + logNormal(x, mean, width),
      );
      const most = Math.max(...parts);
      return most + Math.log(parts.reduce((sum, part) => sum + Math.exp(part - most), 0));
    };
  }
  const density = (law) => {
    const log = logDensity(law);
    return (x) => Math.exp(log(x));
  };

  const made = (mean, width) => (x) => Math.exp(logNormal(x, mean, width));

  const atNodes = {}; // law → log p at the nodes
  for (const law of Object.keys(LAWS)) atNodes[law] = nodes.map(logDensity(law));

  /* log (1 + eˡ), without overflow. */
  const softplus = (l) => Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)));

  /* Every divergence is an average under p or p_g, and its gradient one of the same costs times the
     score of p_g: with D* held still, for it does not know the parameters. */
  function look(law, mean, width) {
    const divergences = { likelihood: 0, reverse: 0, saturating: 0, nonSaturating: 0 };
    const gradients = Object.fromEntries(Object.keys(divergences).map((name) => [name, [0, 0]]));
    nodes.forEach((x, i) => {
      const logData = atNodes[law][i];
      const logMade = logNormal(x, mean, width);
      const [data, made] = [gaps[i] * Math.exp(logData), gaps[i] * Math.exp(logMade)];
      const logit = logData - logMade; // of D*
      const [sayMade, sayData] = [softplus(logit), softplus(-logit)]; // −log (1 − D*), −log D*
      divergences.likelihood += data * logit;
      divergences.reverse -= made * logit;
      divergences.saturating += data * (LOG_TWO - sayData) + made * (LOG_TWO - sayMade);

      const away = (x - mean) / width;
      const score = [away / width, away * away - 1]; // of log p_g, in mean and log width
      score.forEach((slope, axis) => {
        gradients.likelihood[axis] -= data * slope;
        gradients.reverse[axis] -= made * slope * logit;
        gradients.saturating[axis] -= made * slope * sayMade;
        gradients.nonSaturating[axis] += made * slope * sayData;
      });
    });
    divergences.nonSaturating = divergences.reverse - divergences.saturating;
    return { divergences, gradients };
  }

  function best(law, mean, width) {
    const log = logDensity(law);
    return (x) => 1 / (1 + Math.exp(logNormal(x, mean, width) - log(x)));
  }

  /**
   * @param {number} value
   * @param {number[]} limits
   */
  const within = (value, [low, high]) => Math.min(Math.max(value, low), high);

  /* A step that would raise the divergence is halved; none is longer than LONGEST. */
  function walk(law, follows, mean, width) {
    let found = look(law, mean, width);
    let pace = PACE;
    const value = () => found.divergences[follows];
    const state = { law, follows, place: [mean, width], path: [[mean, width]], value, next };

    function tried(slopeMean, slopeWidth) {
      const [from, wide] = state.place;
      const size = Math.hypot(slopeMean, slopeWidth);
      const step = Math.min(pace, LONGEST / size);
      return [
        within(from - step * slopeMean, MEANS),
        within(wide * Math.exp(-step * slopeWidth), WIDTHS),
      ];
    }

    function next() {
      const slope = found.gradients[follows];
      while (Math.hypot(...slope) > STILL && pace > 1e-6) {
        const place = tried(slope[0], slope[1]);
        const there = look(law, place[0], place[1]);
        if (there.divergences[follows] < found.divergences[follows]) {
          [state.place, found] = [place, there];
          state.path.push(place);
          pace = Math.min(1.3 * pace, PACE);
          return true;
        }
        pace /= 2;
      }
      return false;
    }
    return state;
  }

  LIVE.exactGame = { LAWS, MEANS, WIDTHS, look, best, density, made, walk };
})();
