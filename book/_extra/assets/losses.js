/* The pixel variance σ² that a loss "error + w KL" states without saying so, eq-exchange.

   A Gaussian with variance σ² per pixel charges ‖x − f‖² / 2σ². Divide the loss by w, so that the KL
   stands alone as it does in the bound: where the two charges are equal, so are the models.

   A loss is {error, weight, pixels, batch, span}: how the error is written, a name of CHARGES or
   "entropy"; w; the pixels of an image; the images of a batch, which matter to "all" alone; and the
   units that the program's pixels span. Every σ² is that of pixels in [0, 1].

   VAE_LIVE.impliedVariance(loss)          the loss's σ², null if there is none
   VAE_LIVE.neededWeight(loss, variance)   the w with which the loss, its own w aside, has this σ²;
                                           null where none does
   VAE_LIVE.impliedBeta(loss, variance)    the β of the β-VAE with this σ² that the loss trains,
                                           eq-beta-noise; without a σ² of its own its w
   VAE_LIVE.greyLevelCost(variance, pixels)  nats an image for an error of 1/255 in every pixel
   VAE_LIVE.uselessFrom(pixels)            σ² from which on no network does better than the mean image
   VAE_LIVE.beyondAnyNetwork(variance, pixels)   whether σ² is there
   VAE_LIVE.significant(value)             → "0.0615": a positive number in three digits */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;

  /* What each way to write the error charges an image for one unit of ‖x − f‖². */
  const CHARGES = {
    half: () => 1 / 2,
    sum: () => 1,
    mean: ({ pixels }) => 1 / pixels,
    all: ({ pixels, batch }) => 1 / (pixels * batch), // the KL is summed over the batch
  };

  /* The same where the pixels are in [0, 1], and those of the program are `span` times as large. */
  function chargeOf({ error, pixels, batch, span }) {
    const charge = CHARGES[error];
    return charge ? charge({ pixels, batch }) * span ** 2 : null;
  }

  LIVE.impliedVariance = (loss) => {
    const charge = chargeOf(loss);
    return charge === null ? null : loss.weight / (2 * charge);
  };

  LIVE.neededWeight = (loss, variance) => {
    const charge = chargeOf(loss);
    return charge === null ? null : 2 * charge * variance;
  };

  LIVE.impliedBeta = (loss, variance) => {
    const implied = LIVE.impliedVariance(loss);
    return implied === null ? loss.weight : implied / variance;
  };

  LIVE.greyLevelCost = (variance, pixels) => pixels / (2 * variance * 255 ** 2);

  /* Whatever the pixels in [0, 1], of any network: Hoeffding's lemma, in chapter 7. */
  LIVE.uselessFrom = (pixels) => pixels / 4;
  LIVE.beyondAnyNetwork = (variance, pixels) => variance >= LIVE.uselessFrom(pixels);

  const raised = (power) =>
    [...String(Number(power))].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");

  /* Three digits, or all that stand before the point; far from one with a power of ten. */
  LIVE.significant = (value) => {
    if (value < 1e-4 || value >= 1e6) {
      const [digits, power] = value.toExponential(2).split("e");
      return `${Number(digits)} × 10${raised(power)}`;
    }
    const digits = Math.max(3, Math.floor(Math.log10(value)) + 1);
    return value.toLocaleString("en-GB", { maximumSignificantDigits: digits });
  };
})();
