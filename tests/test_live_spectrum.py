"""What the live figure rate-distortion computes: against `vae_tutorial.linear` and scikit-learn."""

import math

import export_rate_distortion
import pytest
import torch
from scripts import apart, computed
from sklearn.decomposition import PCA

from vae_tutorial.data import load_digits
from vae_tutorial.linear import evidence_at_mean, most_likely_at, rate_law, spectrum

ROW = "[law.active, law.rate, law.squaredError, law.distortion]"


LAW = f"vs => vs.map(v => {{ const law = VAE_LIVE.linearLaw(v); return {ROW} }})"


TURNED = "([latent, v]) => [...VAE_LIVE.turned(latent, 2, v)]"


COPY = "([image, v]) => [...VAE_LIVE.reconstruct(image, v)]"


@pytest.fixture(scope="module")
def data():
    return spectrum(load_digits(torch.float64).train)


def levels(count):
    """σ² over the slider's range, on a log scale, (count,)."""
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return 10 ** (-2.3 + 3.9 * uniform)


def test_rate_error_and_distortion_are_those_of_the_module(data):
    variance = levels(400)
    active, rate, error, distortion = torch.tensor(
        computed("rate-distortion").evaluate(LAW, variance.tolist()), dtype=torch.float64
    ).T  # (400,) each
    law = rate_law(data.eigenvalues, variance, 64)
    assert torch.equal(active, (data.eigenvalues > variance[:, None]).sum(1).double())
    relative = [((rate - law.rate) / law.rate.clamp(min=1e-3)).abs().max()]
    relative.append(((error - law.squared_error) / law.squared_error).abs().max())
    # and the sum of rate and distortion is the average −log p(x) of the training digits
    train = load_digits(torch.float64).train
    evidence = torch.stack(
        [evidence_at_mean(most_likely_at(data, 64, v), train).mean() for v in variance[:20]]
    )  # (20,)
    total = rate[:20] + distortion[:20]
    relative.append(((total + evidence) / evidence).abs().max())
    print(f"rate and distortion, 400 levels: at most {max(relative):.1e} apart (relative)")
    assert max(relative) <= 1e-5


def test_copies_are_posterior_means_decoded(data):
    page, images, worst = computed("rate-distortion"), export_rate_distortion.ten_digits(), 0.0
    for i, variance in enumerate(levels(200).tolist()):
        copy = torch.tensor(page.evaluate(COPY, [images[i % 10].tolist(), variance])).double()
        worst = max(
            worst, (copy - export_rate_distortion.copies(images[i % 10], variance)).abs().max()
        )
    print(f"rate and distortion, 200 copies: at most {worst:.1e} of the grey range apart")
    assert worst <= 1e-5


def test_copies_are_shrunken_projections_on_the_axes_of_scikit_learn():
    train = load_digits(torch.float64).train.numpy()
    fitted = PCA(64, svd_solver="full").fit(train)
    images, variance = export_rate_distortion.ten_digits(), 0.05
    eigenvalues = fitted.explained_variance_ * 1499 / 1500  # divisor n
    kept = (1 - variance / eigenvalues.clip(min=variance)) * fitted.transform(images.numpy())
    expected = torch.from_numpy(kept @ fitted.components_ + fitted.mean_)  # (10, 64)
    page = computed("rate-distortion")
    seen = [page.evaluate(COPY, [image.tolist(), variance]) for image in images]
    apart("ten copies", seen, expected, 1e-5)


def test_a_latent_at_two_draws_what_the_best_decoder_of_the_module_draws(data):
    page, worst = computed("rate-distortion"), 0.0
    for variance in (1.0, 0.3, 0.05, 0.006):
        model = most_likely_at(data, 64, torch.tensor(variance, dtype=torch.float64))
        for latent in (1, 2, 7, 18, 45):
            column = model.weight[:, latent - 1]  # (64,), up to a sign
            column = column * column[column.abs().argmax()].sign()
            seen = torch.tensor(page.evaluate(TURNED, [latent, variance])).double()
            worst = max(worst, (seen - (data.mean + 2 * column)).abs().max())
    print(f"rate and distortion, 20 latents at 2: at most {worst:.1e} of the grey range apart")
    assert worst <= 1e-5


@pytest.mark.parametrize(("below", "active"), [(1.001, 0), (0.999, 1)])
def test_the_first_latent_wakes_at_the_largest_eigenvalue(data, below, active):
    (row,) = computed("rate-distortion").evaluate(LAW, [below * data.eigenvalues[0].item()])
    assert row[0] == active
    assert row[1] == pytest.approx(active * -0.5 * math.log(0.999), abs=1e-7)
