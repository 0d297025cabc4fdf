"""How z is drawn, what it costs, where codes lie: measures against oracles, and planted faults."""

import math
from functools import cache, partial
from itertools import chain

import numpy as np
import pytest
import scipy.special
import sound
import torch
from drawn import close, double, normal
from scipy import stats
from scipy.spatial import distance
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_tutorial.audit import Verdict, audit, codes
from vae_tutorial.audit.subject import Spectrum, Subject, as_likelihood, chosen, eigenvalues_of
from vae_tutorial.data import load_digits
from vae_tutorial.models import DiagonalPosterior, FullPosterior

WRONG, LOOK, SOUND, CANNOT_TELL = Verdict
DRAWS = ("repeats", "draws", "gradient", "log-variances")
CODES = ("rate", "prior", "holes", "samples", "latent scale")


def findings(x, *names, **given):
    """The findings of the checks named, each a list by the name that it prints."""
    report = audit(x, watched=lambda checks, count: [c for c in checks if c.name in names], **given)
    found = {}
    for finding in report.findings:
        found.setdefault(finding.check, []).append(finding)
    return found


def brief(seed=0, latent=8):
    """A sound VAE of grey digits, trained briefly: shared by tests."""
    return sound.gaussian(seed, latent, 0.15, 8).model


def verdicts(found):
    return {name: [finding.verdict for finding in lines] for name, lines in found.items()}


def flat(lists):
    return list(chain.from_iterable(lists))


def full_posterior(batch=6, latent=3, seed=1):
    root = 0.4 * normal(batch, latent, latent, seed=seed).tril(-1)
    root = root + (0.3 * normal(batch, latent, seed=seed + 1)).exp().diag_embed()
    return FullPosterior(normal(batch, latent, seed=seed + 2), root)


def diagonal_posterior(batch=6, latent=3, seed=1):
    return DiagonalPosterior(
        normal(batch, latent, seed=seed), 0.5 * normal(batch, latent, seed=seed + 1) - 1
    )


# Measures


@pytest.mark.parametrize("count", [40, 3000])
def test_kolmogorov_smirnov_is_scipys(count):
    draws = normal(count, seed=3).numpy() * 1.1 + 0.1
    gap, p_value = codes.kolmogorov_smirnov(torch.special.ndtr(torch.from_numpy(draws)))
    expected = stats.kstest(draws, "norm", method="exact")
    assert gap == pytest.approx(expected.statistic, abs=1e-12)
    assert p_value == pytest.approx(expected.pvalue, rel=0.05)  # Stephens: a few per cent


def test_a_path_of_the_wrong_sign_is_said_to_be_one():
    found = codes._passed(
        [double(1.0, -1.0)], {"mean": [double(1.0, 0.0)], "log-variance": [double(0.0, 1.0)]}
    )
    assert "1.00 by the mean and −1.00 by the log-variance" in found.measured
    assert found.verdict is LOOK


@pytest.mark.parametrize("argument", [0.05, 0.3, 0.8, 1.2, 1.9, 3.0])
def test_kolmogorovs_tail_is_scipys(argument):
    expected = scipy.special.kolmogorov(argument)
    assert codes.kolmogorov_tail(argument) == pytest.approx(expected, rel=1e-10)


def test_noise_is_described_as_numpy_does():
    noise = 0.3 + 1.7 * normal(50, 8, seed=4)
    found, flat = codes.describe_noise(noise), noise.numpy().ravel()
    assert found.mean == pytest.approx(flat.mean())
    assert found.mean_error == pytest.approx(stats.sem(flat))
    assert found.deviation == pytest.approx(np.sqrt(np.mean(flat**2)))
    again = np.random.default_rng(1).choice(flat, (2000, len(flat)))  # the bootstrap's error
    spread = np.sqrt(np.mean(again**2, 1)).std()
    assert found.deviation_error == pytest.approx(spread, rel=0.06)
    assert found.distance == pytest.approx(stats.kstest(flat, "norm").statistic)


def test_slope_is_that_of_least_squares():
    x, y = normal(60, seed=1), 2 * normal(60, seed=1) + normal(60, seed=2)
    expected = stats.linregress(x.numpy(), y.numpy())
    assert codes.slope(x, y) == pytest.approx((expected.slope, expected.stderr))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shared_noise_has_the_correlation_of_signs(axis):
    common = 0.6  # correlation of the noise: of its signs 2/π asin 0.6, by Sheppard
    shape = [8, 30, 40]
    together = shape.copy()
    together[axis] = 1
    noise = math.sqrt(common) * normal(*together, seed=1)
    noise = noise + math.sqrt(1 - common) * normal(*shape, seed=2)
    found, _ = codes.shared(3 * noise + 1, axis)
    # pairs that share a common draw repeat one another, so the error is that of `together` draws
    assert found == pytest.approx(2 / math.pi * math.asin(common), abs=4 / math.sqrt(240))


def test_the_error_of_shared_noise_is_its_spread():
    each = [codes.shared(normal(4, 20, 5, seed=seed), 1) for seed in range(300)]
    found, errors = torch.tensor(each).T
    assert abs(found.mean()) < 4 * found.std() / math.sqrt(300)
    assert errors.mean().item() == pytest.approx(found.std().item(), rel=0.2)  # 300: ± 4 %


def test_the_largest_pair_is_the_one_planted():
    noise = normal(4000, 5, seed=1)
    noise[:, 3] = 0.8 * noise[:, 1] + 0.6 * noise[:, 3]
    expected = 2 / math.pi * math.asin(0.8)
    assert codes.largest_pair(2 * noise - 1) == pytest.approx(expected, abs=4 / math.sqrt(4000))


@pytest.mark.parametrize("posterior", [full_posterior(), diagonal_posterior()])
def test_whitened_draws_are_the_noise_that_made_them(posterior):
    z = normal(2, 6, 3, seed=9)
    noise = codes.whitened(posterior, z)
    if isinstance(posterior, FullPosterior):
        law = MultivariateNormal(posterior.mean, scale_tril=posterior.cholesky)
        made = posterior.mean + torch.einsum("bij,kbj->kbi", posterior.cholesky, noise)
    else:
        law = Independent(Normal(posterior.mean, (0.5 * posterior.log_variance).exp()), 1)
        made = posterior.mean + (0.5 * posterior.log_variance).exp() * noise
    close(made, z)
    close(codes.variances(posterior), law.variance)


def test_shares_are_those_of_least_squares():
    columns = [[normal(4, 3, seed=seed), normal(5, seed=seed + 10)] for seed in (1, 2, 3)]
    flat = [torch.cat([part.flatten() for part in column]).numpy() for column in columns]
    expected, *_ = np.linalg.lstsq(np.stack(flat[1:], 1), flat[0], rcond=None)
    assert codes.shares(columns[0], columns[1:]) == pytest.approx(expected.tolist())


def test_dead_log_variances_are_counted():
    raw = nn.Parameter(double([1.0, -2.0, -3.0, 0.5], [-1.0, -1.0, 7.0, 9.0]).T.contiguous())
    expected = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool).T
    assert torch.equal(codes.dead(raw.relu(), [raw]), expected)
    assert torch.equal(codes.dead(raw.clamp(-2.5, 0.25)[:, :1], [raw]).sum(0), torch.tensor([2]))
    tied = nn.Parameter(double([1.0, 2.0]))
    assert not codes.dead(tied.expand(4, 2), [tied]).any()  # constant over images, and learned
    assert codes.dead(torch.zeros(4, 2), [tied]).all()  # fixed


def test_kl_by_latent_is_torchs():
    posterior = diagonal_posterior()
    normals = Normal(posterior.mean, (0.5 * posterior.log_variance).exp())
    expected = kl_divergence(normals, Normal(double(0.0), double(1.0)))
    close(codes.kl_by_latent(posterior), expected)
    full = full_posterior()
    margins = (full.cholesky @ full.cholesky.mT).diagonal(dim1=-2, dim2=-1).sqrt()
    expected = kl_divergence(Normal(full.mean, margins), Normal(double(0.0), double(1.0)))
    close(codes.kl_by_latent(full), expected)


@pytest.mark.parametrize("posterior", [full_posterior(400, 4), diagonal_posterior(400, 4)])
def test_moments_of_all_codes(posterior):
    found = codes.moments(posterior)
    means, inner = posterior.mean.numpy(), codes.variances(posterior).numpy()
    variance = means.var(0) + inner.mean(0)  # the law of total variance
    close(found.mean, means.mean(0))
    close(found.variance, variance)
    gaussian = Normal(found.mean, found.variance.sqrt())
    cost = kl_divergence(gaussian, Normal(double(0.0), double(1.0))).sum()
    assert found.nats == pytest.approx(cost.item())

    def again(rows):  # the same numbers of images drawn with replacement
        mean = means[rows].mean(0)
        var = means[rows].var(0) + inner[rows].mean(0)
        return mean, var, 0.5 * (mean**2 + var - 1 - np.log(var)).sum()

    random = np.random.default_rng(1)
    drawn = [again(random.integers(0, 400, 400)) for _ in range(600)]
    mean, var, nats = (np.std(part, 0) for part in zip(*drawn, strict=True))
    np.testing.assert_allclose(found.mean_error, mean, rtol=0.15)  # 600 draws: ± 3 %
    np.testing.assert_allclose(found.variance_error, var, rtol=0.15)
    assert found.nats_error == pytest.approx(nats, rel=0.15)


@pytest.mark.parametrize("posterior", [full_posterior(50, 4), diagonal_posterior(50, 4)])
def test_the_largest_correlation_is_that_of_the_mixture(posterior):
    if isinstance(posterior, FullPosterior):
        law = MultivariateNormal(posterior.mean, scale_tril=posterior.cholesky)
        inner = law.covariance_matrix.mean(0).numpy()
    else:
        inner = np.diag(posterior.log_variance.exp().mean(0).numpy())
    covariance = np.cov(posterior.mean.numpy().T, bias=True) + inner
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale) - np.eye(4)
    assert codes.largest_correlation(posterior) == pytest.approx(np.abs(correlation).max())


def test_a_shift_is_seen_along_its_direction():
    shift = 0.8  # two unit normals so far apart differ by 2Φ(0.4) − 1
    z = normal(4000, 3, seed=1) + double(0.0, shift, 0.0)
    found, p_value = codes.farthest_direction(z)
    expected = 2 * stats.norm.cdf(shift / 2) - 1
    assert found == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(4000))
    assert p_value < 1e-50


def test_a_shell_is_seen_by_its_radius_alone():
    z = normal(4000, 20, seed=1)
    z = math.sqrt(20) * z / z.norm(dim=1, keepdim=True)  # every |z|² is 20
    below = stats.chi2.cdf(20, 20)
    assert codes.farthest_direction(z)[0] == pytest.approx(max(below, 1 - below), abs=1e-6)


def test_draws_of_the_prior_pass():
    p_values = [codes.farthest_direction(normal(200, 3, seed=seed))[1] for seed in range(30)]
    # Bonferroni promises at most 5 % below 0.05: six of 30 have a chance of 1 in 300
    assert sum(p_value < 0.05 for p_value in p_values) < 6


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_the_share_in_holes_of_one_gaussian(width):
    posterior = DiagonalPosterior(torch.zeros(1, 1).double(), double([2 * math.log(width)]))
    places = (torch.arange(20_000).double() + 0.5) / 20_000
    even = torch.special.ndtri(places).unsqueeze(1)
    found = codes.share_in_holes(posterior, width * even, even)
    limit = stats.norm.ppf(0.995) * width  # beyond which q(z) has 1 % of its codes
    assert found == pytest.approx(2 * stats.norm.sf(limit), abs=1e-3)


def test_the_aggregate_is_torchs_mixture(monkeypatch):
    monkeypatch.setattr(codes, "MOST_NUMBERS", 50)  # several rounds
    posterior, z = diagonal_posterior(), normal(9, 3, seed=5)
    normals = Independent(Normal(posterior.mean, (0.5 * posterior.log_variance).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(6).double()), normals)
    close(codes.aggregate_density(posterior, z), mixture.log_prob(z))


def test_nearest_images_and_explained_variance():
    rows, images = normal(7, 5, seed=1), normal(9, 5, seed=2)
    expected = distance.cdist(rows.numpy(), images.numpy(), "sqeuclidean").min(1)
    close(codes.nearest(rows, images), expected)
    expected = r2_score(images[:7].numpy(), rows.numpy(), multioutput="variance_weighted")
    assert codes.explained(images[:7], rows) == pytest.approx(expected)


def test_the_scale_of_latents():
    mean, variance = 2 + 3 * normal(300, 2, 16, seed=1), normal(300, 2, 16, seed=2).exp()
    mean = mean + normal(300, 2, 1, seed=3)  # positions of an image are alike
    found = codes.scale(mean, variance)
    total = mean.numpy().var((0, 2)) + variance.numpy().mean((0, 2))
    close(found.mean, mean.numpy().mean((0, 2)))
    close(found.deviation, np.sqrt(total))

    def again(rows):
        part = mean[rows].numpy()
        return part.mean((0, 2)), np.sqrt(part.var((0, 2)) + variance[rows].numpy().mean((0, 2)))

    random = np.random.default_rng(1)
    drawn = [again(random.integers(0, 300, 300)) for _ in range(400)]
    shift, spread = (np.std(part, 0) for part in zip(*drawn, strict=True))
    np.testing.assert_allclose(found.mean_error, shift, rtol=0.15)  # 400 draws: ± 3.5 %
    np.testing.assert_allclose(found.deviation_error, spread, rtol=0.15)


def test_the_spectrum_across_halves():
    truth = double(9.0, 4.0, 1.0)
    found = eigenvalues_of(normal(6000, 3, seed=1) * truth.sqrt())
    error = truth * math.sqrt(2 / 3000)  # of a variance
    assert ((found - truth).abs() < 4 * error).all()


def test_noise_in_few_images_promises_nothing():
    noise = normal(100, 64, seed=1)
    within = np.linalg.eigvalsh(np.cov(noise.numpy().T))[-1]
    assert within > 2.5  # although every variance is 1
    assert eigenvalues_of(noise)[:8].mean() < 1 + 4 * math.sqrt(2 / 50 / 8)


# The rate beside its law


def rate_of(nats, variance, eigenvalues=(4.0, 1.0)):
    known = None if variance is None else codes.Variance(variance, "as stated")
    return codes.Rate(nats, 2, Spectrum(double(*eigenvalues), 1000), known)


def test_the_law_is_that_of_reverse_water_filling():
    found = rate_of(0.0, 0.25)
    assert found.law == pytest.approx(0.5 * (math.log(16) + math.log(4)))
    assert found.promised == 2
    assert rate_of(0.0, 2.0).promised == 1


@pytest.mark.parametrize(
    ("nats", "variance", "verdict", "word"),
    [  # the law: 2.08 nats at 0.25, 0 at 5, 6.6 at 0.0026
        (0.05, 0.25, WRONG, "ignores z"),
        (0.2, 0.25, LOOK, "far less"),
        (0.6, 0.25, SOUND, ""),
        (2.1, 0.25, SOUND, ""),
        (5.0, 0.25, SOUND, ""),
        (5.5, 0.25, LOOK, "far more"),
        (2.5, 0.0026, LOOK, "far less"),
        (3.0, 0.0026, SOUND, ""),
        (0.0, 5.0, LOOK, "σ < 2 "),
        (1.5, 5.0, LOOK, "far more"),
        (0.05, None, LOOK, "ignores z"),
        (0.2, None, SOUND, ""),
    ],
)
def test_the_rate_is_judged_beside_the_law(nats, variance, verdict, word):
    found, _, reason = rate_of(nats, variance).judged()
    assert found is verdict
    assert verdict is SOUND or word in reason


@pytest.mark.parametrize(
    ("likelihood", "decode", "expected", "source"),
    [
        (0.5, None, 0.25, "stated"),
        ("gaussian", lambda z: Normal(z, torch.full_like(z, 0.3)), 0.09, "decoded"),
        (None, lambda z: Independent(Normal(z, torch.full_like(z, 0.3)), 1), 0.09, "decoded"),
        ("gaussian", lambda z: 0 * z, 2.0, "squared error"),
    ],
)
def test_the_noise_of_a_pixel_is_found(likelihood, decode, expected, source):
    x = math.sqrt(2) * torch.ones(50, 3).double()
    stated = as_likelihood(likelihood)
    subject = Subject(x, lambda x: (x, 0 * x), decode, stated, None)
    found = codes.pixel_variance(subject, x, subject.posterior(x))
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert source in found.source


@pytest.mark.parametrize(
    ("likelihood", "decode"),
    [
        ("bernoulli", lambda z: z),
        (lambda x, decoded: (x - decoded).sum(-1), lambda z: z),
        (None, lambda z: z),
        ("gaussian", None),
        ("gaussian", lambda z: torch.distributions.Bernoulli(logits=z)),
    ],
)
def test_without_a_gaussian_there_is_no_noise_of_a_pixel(likelihood, decode):
    x = normal(50, 3)
    subject = Subject(x, lambda x: (x, 0 * x), decode, as_likelihood(likelihood), None)
    assert codes.pixel_variance(subject, x, subject.posterior(x)) is None


# Faults in how z is drawn, as a user would write them

DIGITS = load_digits()


class Mine(sound.Plain):
    """A VAE of one's own whose way to z can be replaced."""

    def __init__(self, reparameterize, latent=4):
        super().__init__(latent)
        with torch.no_grad():
            self.encoder[-1].weight.mul_(3)  # so that variances differ between images
            self.encoder[-1].bias[latent:] -= 2
        self.reparameterize = reparameterize

    def draw(self, x):
        return self.reparameterize(*self.encode(x))


def right(mean, log_variance):
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def drawn_by(reparameterize, *names, latent=4):
    torch.manual_seed(1)
    model = Mine(reparameterize, latent)
    found = findings(DIGITS.train, *(names or DRAWS), encode=model.encode, draw=model.draw)
    return {name: lines[0] for name, lines in found.items()}


def plus(noise):
    """A reparameterisation with other noise than it should have."""
    return lambda mean, log_variance: mean + (0.5 * log_variance).exp() * noise(mean)


def of_power(power):
    return lambda mean, log_variance: (
        mean + (0.5 * power * log_variance).exp() * torch.randn_like(mean)
    )


def same_noise(mean):
    return torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("reparameterize", "words"),
    [
        (of_power(2), "the variance exp(log σ²) is used as the deviation"),
        (of_power(0.5), "root is taken twice"),
        (of_power(0), "deviation 1 is added"),
        (of_power(-1), "sign turned"),
        (of_power(1.5), "σ to the power 1."),
        (plus(lambda mean: 0.01 * torch.randn_like(mean)), "0.0"),
        (plus(torch.rand_like), "torch.rand_like"),
        (lambda mean, log_variance: mean, "without noise"),
        (plus(lambda mean: torch.randn(mean.shape[1])), "All images of a batch share"),
        (plus(lambda mean: torch.randn(len(mean), 1)), "Latents share"),
        (plus(lambda mean: torch.rand_like(mean).mul(2).sub(1).mul(3**0.5)), "not normal"),
    ],
)
def test_noise_that_is_wrong(reparameterize, words):
    found = drawn_by(reparameterize, "draws")["draws"]
    assert found.verdict is WRONG
    assert words in found.reason


def test_noise_of_a_hundredth_is_measured():
    found = drawn_by(plus(lambda mean: 0.01 * torch.randn_like(mean)), "draws")["draws"]
    assert found.value == pytest.approx(0.01, abs=5 * found.standard_error)
    assert "grows as σ to the power" in found.reason


def test_noise_of_the_variance_has_the_spread_of_sigma():
    torch.manual_seed(1)
    model = Mine(right)
    with torch.no_grad():
        variance = model.encode(DIGITS.train[:500])[1].exp()
    found = drawn_by(of_power(2), "draws")["draws"]
    assert found.value == pytest.approx(variance.mean().sqrt().item(), rel=0.05)


def test_the_same_noise_again_is_to_be_looked_at():
    found = drawn_by(plus(same_noise), "draws")["draws"]
    assert found.verdict is LOOK
    assert "same noise" in found.reason


def test_the_transposed_cholesky_factor_is_wrong():
    torch.manual_seed(1)
    layer = nn.Linear(64, 12)

    def encode(x):
        root = layer(x)[:, 3:].reshape(-1, 3, 3).mul(3)
        return layer(x)[:, :3], root.tril(-1) + root.diagonal(dim1=1, dim2=2).exp().diag_embed()

    def draw(x, equation):
        mean, root = encode(x)
        return mean + torch.einsum(equation, root, torch.randn_like(mean))

    for equation, verdict in (("bij,bj->bi", SOUND), ("bji,bj->bi", WRONG)):
        given = {"encode": encode, "draw": lambda x, equation=equation: draw(x, equation)}
        found = findings(DIGITS.train, "draws", modules=layer, **given)["draws"]
        assert found[0].verdict is verdict
        assert verdict is SOUND or "Lᵀ" in found[0].reason


@pytest.mark.parametrize(
    ("reparameterize", "cut"),
    [
        (lambda m, v: Normal(m, (0.5 * v).exp()).sample(), "mean or the log-variance"),
        (lambda m, v: torch.normal(m, (0.5 * v).exp()), "mean or the log-variance"),
        (lambda m, v: right(m, v.detach()), "move the log-variance by"),
        (lambda m, v: right(m.detach(), v), "move the mean by"),
    ],
)
def test_a_gradient_that_does_not_pass(reparameterize, cut):
    found = drawn_by(reparameterize, "gradient", "draws")
    assert found["draws"].verdict is SOUND
    assert found["gradient"].verdict is WRONG
    assert cut in found["gradient"].reason


def test_a_gradient_of_twice_the_size_is_to_be_looked_at():
    found = drawn_by(of_power(2), "gradient")["gradient"]
    assert found.verdict is LOOK
    assert "1.00 by the mean and 2.00 by the log-variance" in found.measured


def test_a_draw_that_is_the_mean_in_evaluation_mode_is_drawn_in_training_mode():
    class Modes(Mine):
        def draw(self, x):
            mean, log_variance = self.encode(x)
            return right(mean, log_variance) if self.training else mean

    torch.manual_seed(1)
    model = Modes(right)
    model.encoder.insert(1, nn.Dropout(0.5))  # which must stay off
    model.eval()
    found = findings(DIGITS.train, *DRAWS, encode=model.encode, draw=model.draw)
    assert verdicts(found)["draws"] == verdicts(found)["gradient"] == [SOUND]
    assert not any(part.training for part in model.modules())


def test_what_is_not_given_is_not_judged():
    model = brief()
    found = findings(DIGITS.train, *DRAWS, encode=model.encode)
    assert verdicts(found)["draws"] == verdicts(found)["gradient"] == [CANNOT_TELL]
    assert "draw=lambda x: model.reparameterize" in found["draws"][0].measured
    found = findings(DIGITS.train, *DRAWS, draw=model.draw)
    assert {verdict for [verdict] in verdicts(found).values()} == {CANNOT_TELL}


def test_a_distribution_draws_by_itself():
    model = brief()

    def encode(x):
        mean, log_variance = model.encode(x)
        return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)

    found = verdicts(findings(DIGITS.train, *DRAWS, encode=encode))
    assert (found["draws"], found["gradient"]) == ([SOUND], [CANNOT_TELL])


def test_a_draw_of_another_width_is_named():
    model = brief()
    found = findings(
        DIGITS.train, "draws", encode=model.encode, draw=lambda x: model.draw(x)[:, :3]
    )
    assert "draw returned 3 latents an image, encode 8" in found["draws"][0].measured


def test_sigma_below_rounding_cannot_be_read():
    def encode(x):
        return x + 5, torch.full_like(x, -40.0)

    def draw(x):
        return right(*encode(x))

    found = findings(DIGITS.train, "draws", encode=encode, draw=draw)["draws"][0]
    assert found.verdict is CANNOT_TELL
    assert "rounding" in found.measured


def test_without_gradients_nothing_is_said_of_them():
    model = Mine(right)

    @torch.no_grad()
    def encode(x):
        return model.encode(x)

    given = {"encode": encode, "draw": model.draw, "modules": model}
    found = findings(DIGITS.train, "gradient", **given)["gradient"][0]
    assert found.verdict is CANNOT_TELL
    assert "no_grad" in found.measured


def test_means_whose_sum_is_fixed_still_pass_a_gradient():
    class Centred(Mine):
        def encode(self, x):
            mean, log_variance = super().encode(x)
            return mean - mean.mean(1, keepdim=True), log_variance

    model = Centred(right)
    (found,) = findings(DIGITS.train, "gradient", encode=model.encode, draw=model.draw)["gradient"]
    assert found.verdict is SOUND


def test_the_wrong_modules_are_noticed():
    model = Mine(right)
    given = {"encode": model.encode, "draw": model.draw, "modules": nn.Linear(2, 2)}
    found = findings(DIGITS.train, "gradient", **given)["gradient"][0]
    assert found.verdict is CANNOT_TELL
    assert "modules=" in found.measured


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (lambda x: torch.full_like(x, 900.0), "overflow"),
        (lambda x: torch.full_like(x, -900.0), "variances that are 0"),
        (lambda x: -torch.eye(64).expand(len(x), 64, 64), "diagonal above 0"),
        (lambda x: torch.ones(64, 64).expand(len(x), 64, 64), "lower triangular"),
    ],
)
@pytest.mark.parametrize("names", [DRAWS, CODES])
def test_a_second_output_that_makes_no_gaussian_is_named(second, words, names):
    found = findings(
        DIGITS.train[:50],
        *names,
        encode=lambda x: (x, second(x)),
        draw=lambda x: x,
        decode=lambda z: z,
    )
    first, *others = flat(found.values())
    assert first.verdict is WRONG
    assert words in first.measured
    assert {finding.verdict for finding in others} == {CANNOT_TELL}


def test_an_encoder_that_is_wrong_is_reported_once():
    def encode(x):
        return x.mean(0), x.mean(0)

    found = findings(DIGITS.train, *DRAWS, *CODES, encode=encode, draw=right, decode=right)
    verdict = [finding.verdict for finding in flat(found.values())]
    assert verdict == [WRONG] + [CANNOT_TELL] * (len(DRAWS) + len(CODES) - 1)


# Faults of the encoder


class Batch(sound.Plain):
    """Batch normalisation by the batch's own statistics, whatever the mode."""

    def encode(self, x):
        return super().encode(nn.functional.batch_norm(x, None, None, training=True))


class Dropping(sound.Plain):
    """Dropout that forgot training=self.training."""

    def encode(self, x):
        return super().encode(nn.functional.dropout(x, 0.2))


class Drawing(sound.Plain):
    """An encoder that returns z for the mean."""

    def encode(self, x):
        mean, log_variance = super().encode(x)
        return right(mean, log_variance), log_variance


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(Batch, "another batch"), (Dropping, "encoded twice"), (Drawing, "encoded twice")],
)
def test_codes_that_do_not_repeat(kind, wrong):
    torch.manual_seed(1)
    found = findings(DIGITS.train, "repeats", encode=kind().encode)["repeats"]
    (alarm,) = [finding for finding in found if finding.verdict is WRONG]
    assert wrong in alarm.measured
    assert alarm.value > 0.01  # of the codes' spread


def test_bars_show_the_numbers_that_findings_speak_of():
    model, x = brief(), DIGITS.train
    found = findings(x, "rate", encode=model.encode, decode=model.decode, likelihood=0.15)
    (of_rate,), (of_units,) = found["rate"][0].bars, found["active units"][0].bars
    chosen_ones = chosen(x, 1000)
    truth = eigenvalues_of(chosen_ones).sqrt().tolist()
    assert of_rate.heights == pytest.approx(truth[: len(of_rate.heights)])
    assert (of_rate.line, len(of_rate.heights)) == (0.15, 64)
    with torch.no_grad():
        mean, log_variance = model.encode(chosen_ones)
    q = Normal(mean, (0.5 * log_variance).exp())
    by_latent = kl_divergence(q, Normal(0.0, 1.0)).mean(0).sort(descending=True).values
    assert of_units.heights == pytest.approx(by_latent.tolist(), rel=1e-4)


@pytest.mark.parametrize(("steps", "verdict"), [(4, CANNOT_TELL), (1000, WRONG)])
def test_codes_whose_numbers_ran_away_are_not_called_random_by_their_rounding(steps, verdict):
    """Means near 190 that spread by a thousandth: in another batch they move by some roundings."""
    model, step = brief(), 190 * 2**-23

    def encode(x):
        mean, log_variance = model.encode(x)
        moved = steps * step if len(x) < 10 else 0.0
        return 190 + 1e-3 * mean.double() + moved, log_variance - 20

    found = findings(DIGITS.train, "repeats", encode=encode)["repeats"]
    first, second = sorted(found, key=lambda finding: finding.value)
    assert (first.verdict, second.verdict) == (SOUND, verdict)
    assert second.value > second.limit
    assert ("as large as 19" in second.reason) == (verdict is CANNOT_TELL)


def test_codes_are_compared_in_units_of_their_spread():
    torch.manual_seed(1)
    model, factor = Batch(), 1000.0

    def larger(x):
        mean, log_variance = model.encode(x)
        return factor * mean, log_variance + 2 * math.log(factor)

    values = [
        max(found.value for found in findings(DIGITS.train, "repeats", encode=encode)["repeats"])
        for encode in (model.encode, larger)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize(
    ("second", "verdict", "words"),
    [
        (lambda v: (v + 2).relu(), LOOK, "A ReLU"),
        (lambda v: v.clamp(min=-2.1), LOOK, "clamp"),
        (torch.zeros_like, LOOK, "a constant"),
        (lambda v: v.clamp(-30.0, 20.0), SOUND, ""),
        (lambda v: 3 * torch.tanh(v), SOUND, ""),
    ],
)
def test_log_variances_at_a_bound(second, verdict, words):
    torch.manual_seed(1)
    model = Mine(right)

    def encode(x):
        mean, log_variance = model.encode(x)
        return mean, second(log_variance)

    found = findings(DIGITS.train, "log-variances", encode=encode)["log-variances"][0]
    with torch.no_grad():
        raw = model.encode(chosen(DIGITS.train, 500))[1]
    assert found.verdict is verdict
    assert words in found.reason
    if words == "A ReLU":
        assert found.value == pytest.approx((raw <= -2).double().mean().item())


# Faults in what z costs, and where codes lie


@cache
def trained(error_weight: float, kl_weight: float, latent: int = 8, epochs: int = 8):
    """A VAE whose loss weighs squared error and KL as a user's would."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = sound.Plain(latent)

        def loss(x: Tensor) -> Tensor:
            mean, log_variance = model.encode(x)
            error = (x - model.decode(right(mean, log_variance))).square().sum(-1)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
            return (error_weight * error + kl_weight * kl).mean()

        sound.fit(model, loss, DIGITS.train, epochs)
    return model


def codes_of(model, likelihood, *names, **given):
    return findings(
        DIGITS.train,
        *(names or CODES),
        encode=model.encode,
        decode=model.decode,
        likelihood=likelihood,
        **given,
    )


def test_a_mean_over_pixels_beside_a_summed_kl_collapses():
    model = trained(1 / 64, 1.0)
    found = codes_of(model, "gaussian")
    (rate,) = found["rate"]
    assert rate.verdict is WRONG
    assert rate.value < 0.05
    assert "mean over pixels" in rate.reason
    assert "active units" not in found
    (samples,) = found["samples"]
    assert samples.verdict is LOOK
    assert "explain" in samples.measured


def test_a_collapse_that_the_law_foretells_is_said_to_be_one():
    (rate,) = codes_of(trained(1 / 64, 1.0), 1.0, "rate")["rate"]
    assert rate.verdict is LOOK
    largest = np.linalg.eigvalsh(np.cov(DIGITS.train.numpy().T))[-1]
    stated = float(rate.reason.split("σ < ")[1].split()[0])
    assert stated == pytest.approx(math.sqrt(largest), rel=0.1)  # of half of the images


def test_a_kl_that_hardly_weighs():
    found = codes_of(trained(1 / 64, 1e-6, epochs=16), "gaussian")
    seen = verdicts(found)
    assert seen["rate"] == seen["holes"] == seen["samples"] == [LOOK]
    assert LOOK in seen["prior"]
    assert "tiny by design" in found["prior"][0].reason
    assert WRONG not in flat(seen.values())


def test_a_kl_that_weighs_too_much():
    found = codes_of(trained(22.2, 6.0), 0.15, "rate")["rate"]
    assert found[0].verdict is LOOK
    assert "far less" in found[0].reason


def test_idle_latents_are_counted():
    model = trained(22.2, 1.0, 2)

    def encode(x):
        return tuple(nn.functional.pad(part, (0, 6)) for part in model.encode(x))

    given = {"encode": encode, "decode": lambda z: model.decode(z[:, :2]), "likelihood": 0.15}
    (active,) = findings(DIGITS.train, "rate", **given)["active units"]
    assert active.verdict is LOOK
    assert active.value == 2
    assert "half of the 8 that a linear model would use" in active.expected


def test_where_no_latent_is_used_that_is_not_called_harmless():
    given = {"encode": lambda x: (0 * x[:, :2] + 1e-3, 0 * x[:, :2]), "likelihood": "bernoulli"}
    (active,) = findings(DIGITS.train, "rate", **given)["active units"]
    assert (active.verdict, active.value) == (LOOK, 0)
    assert "has collapsed" in active.reason
    assert "no harm" not in active.reason
    assert active.measured.startswith("0 of 2 latents cost")
    assert active.measured.endswith("(the largest 5e−07)")  # ½ μ²


def test_where_no_eigenvalue_exceeds_the_variance_no_latent_is_expected():
    given = {"encode": lambda x: (0 * x[:, :2], 0 * x[:, :2]), "likelihood": 4.0}
    (active,) = findings(DIGITS.train, "rate", **given)["active units"]
    assert active.verdict is SOUND
    assert active.expected.startswith("any number")


def test_the_gradient_of_draws_that_have_run_away_is_not_judged():
    """The mean is lost in the rounding of such draws, which looks as if its path were cut."""
    for shift, verdict in ((0.0, SOUND), (2 * math.log(1e12), CANNOT_TELL)):
        model = Mine(right)
        encode = partial(shifted, model, shift)

        def draw(x, encode=encode):
            mean, log_variance = encode(x)
            return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)

        given = {"encode": encode, "draw": draw, "modules": model}
        (found,) = findings(DIGITS.train, "gradient", **given)["gradient"]
        assert found.verdict is verdict


def shifted(model, shift, x):
    mean, log_variance = model.encode(x)
    return mean, log_variance + shift


def test_no_chance_is_zero():
    x = 10 + 0.1 * normal(1000, 3, seed=1)
    _, directions = findings(x, "prior", encode=lambda x: (x, -10 + 0 * x))["prior"]
    assert "(p < 1e−300)" in directions.measured
    assert stats.kstwobign.sf(math.sqrt(1000)) == 0.0  # at the largest distance there is


class Channels(nn.Module):
    """An encoder to latents (4, 2, 2), as of autoencoders for diffusion."""

    def __init__(self, deviation):
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 4, 4)
        self.register_buffer("deviation", torch.tensor(deviation))

    def encode(self, x):
        z = self.layer(x)
        return self.deviation * (z - z.mean()) / z.std(), torch.full_like(z, -20.0)


def test_the_scale_that_a_second_stage_needs():
    torch.manual_seed(1)
    model, images = Channels(5.49), DIGITS.train[:1000].reshape(-1, 1, 8, 8)
    (found,) = findings(images, "latent scale", encode=model.encode)["latent scale"]
    assert found.verdict is LOOK
    assert found.value == pytest.approx(1 / 5.49, rel=1e-3)
    assert 0 < found.standard_error < 0.01
    assert found.measured.count(" ± ") == 3 + 2 * 4


def test_codes_far_from_the_prior():
    x = 10 + 0.1 * normal(600, 3, seed=1)
    given = {"encode": lambda x: (x, -10 + 0 * x), "decode": lambda z: z, "likelihood": 0.1}
    found = findings(x, "prior", "holes", "samples", "latent scale", **given)
    assert set(flat(verdicts(found).values())) == {LOOK}
    codes_of_all = Normal(double(10.0), double(0.01 + math.exp(-10)).sqrt())
    cost = 3 * kl_divergence(codes_of_all, Normal(double(0.0), double(1.0))).item()
    moments, directions = found["prior"]
    assert moments.value == pytest.approx(cost, abs=4 * moments.standard_error + 0.5)
    assert directions.value > 0.99
    assert found["holes"][0].value == 1
    assert found["samples"][0].value > 1000
    assert found["latent scale"][0].value == pytest.approx(10, rel=0.1)


def test_holes_are_judged_by_held_out_images():
    x, given = 0.3 * normal(1000, 2, seed=1), {"encode": lambda x: (x, -3 + 0 * x)}
    (found,) = findings(x, "holes", **given)["holes"]
    limit = stats.chi2.ppf(0.99, 2) * (0.09 + math.exp(-3))  # |z|² of q(z)'s outermost 1 %
    assert found.value == pytest.approx(stats.chi2.sf(limit, 2), abs=0.12)
    (wider,) = findings(x, "holes", held_out=4 * x, **given)["holes"]
    assert wider.value < found.value / 3


@pytest.mark.parametrize(("count", "told"), [(100, "a law tells only for"), (200, "by the law")])
def test_few_images_for_many_latents_have_no_law(count, told):
    x = DIGITS.train[:count]
    (found,) = findings(x, "rate", encode=lambda x: (x, 0 * x), likelihood=0.1)["rate"]
    assert told in found.expected


def test_too_few_images_are_not_judged():
    model = brief()
    given = {"encode": model.encode, "decode": model.decode, "likelihood": 0.15}
    found = findings(DIGITS.train[:12], *CODES, **given)
    assert {verdict for [verdict] in verdicts(found).values()} == {CANNOT_TELL}
    found = findings(DIGITS.train[:30], "holes", "samples", **given)
    assert "give 40" in found["holes"][0].measured


def test_decoded_logits_of_an_unknown_likelihood_are_no_pictures():
    model = brief()
    for likelihood in (lambda x, decoded: decoded.sum(-1), None):
        (found,) = codes_of(model, likelihood, "samples")["samples"]
        assert found.verdict is CANNOT_TELL
        assert "known to be a picture" in found.measured


# Sound models


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sound_gaussians_raise_no_alarm(seed):
    model = brief(seed, (8, 4, 2)[seed])
    found = codes_of(model, 0.15, *DRAWS, *CODES, draw=model.draw, held_out=DIGITS.test)
    every = verdicts(found)
    assert WRONG not in flat(every.values())
    certified = [every[name] for name in ("draws", "gradient", "log-variances", "rate")]
    assert certified == [[SOUND]] * 4
    assert every["repeats"] == [SOUND] * 2
    assert every["active units"] == [SOUND]


def test_a_sound_bernoulli_raises_no_alarm():
    kept = sound.bernoulli(epochs=8)
    given = {"encode": kept.model.encode, "decode": kept.model.decode, "draw": kept.model.draw}
    found = findings(kept.train, *DRAWS, *CODES, likelihood="bernoulli", **given)
    every = verdicts(found)
    assert set(flat(every.values())) <= {SOUND, CANNOT_TELL}
    assert every["rate"] == every["draws"] == [SOUND]
    assert "a law tells only for" in found["rate"][0].expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_sound_models_in_numbers(seed):
    latent, epochs = (2, 4, 8, 16)[seed % 4], (8, 30)[seed % 2]
    if seed % 5 == 4:
        kept, likelihood = sound.bernoulli(seed, latent, epochs), "bernoulli"
    else:
        sigma = (0.1, 0.15, 0.25)[seed % 3]
        kept, likelihood = sound.gaussian(seed, latent, sigma, epochs), sigma
    model = kept.model
    stated = "gaussian" if seed % 7 == 0 and likelihood != "bernoulli" else likelihood
    given = {"encode": model.encode, "decode": model.decode, "draw": model.draw}
    every = verdicts(findings(kept.train, *DRAWS, *CODES, likelihood=stated, **given))
    assert WRONG not in flat(every.values())
    assert LOOK not in flat(every[name] for name in (*DRAWS, "rate", "active units"))
