/* The pixel variance σ² that a loss "error + w KL" states without saying so, eq-exchange.

   A Gaussian with variance σ² per pixel charges ‖x − f‖² / 2σ². Divide the loss by w, so that the KL
   stands alone as it does in the bound: where the two charges are equal, so are the models. */
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

  /* σ² for pixels in [0, 1], where those of the program span `span` units; null if there is none. */
  LIVE.impliedVariance = ({ error, weight, pixels, batch, span }) => {
    const charge = CHARGES[error];
    return charge ? weight / (2 * charge({ pixels, batch }) * span ** 2) : null;
  };

  /* From σ² = D/4 on, no network of any kind does better than the mean image, whatever the pixels
     in [0, 1]: Hoeffding's lemma, in chapter 7. */
  LIVE.beyondAnyNetwork = (variance, pixels) => variance >= pixels / 4;
})();
