"""Checks of q against linear models in closed form, scipy, and faults written as a user would."""

import math
from contextlib import suppress

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sound import Trained, bernoulli, gaussian
from torch import Tensor, nn
from torch.distributions import ContinuousBernoulli, Independent, Laplace, Normal, StudentT

from vae_tutorial.audit import posterior as checks
from vae_tutorial.audit.findings import Finding, Verdict
from vae_tutorial.audit.subject import NotGivenError, Subject, as_likelihood
from vae_tutorial.models import DiagonalPosterior, FullPosterior

SIGMA = 0.3
cross_entropy = nn.functional.binary_cross_entropy_with_logits


@pytest.fixture(autouse=True)
def fewer(request, monkeypatch):
    """Fewer images and draws than an audit takes, for the fast tests."""
    if request.node.get_closest_marker("slow") is None:
        sizes = {"DRAWS": 150, "MOST": 80, "OWN": 400, "EXACT_IMAGES": 20, "TRIED": 2}
        for name, size in sizes.items():
            monkeypatch.setattr(checks, name, size)


class Linear(nn.Module):
    """x = W z + σ ε in six pixels, whose posterior is a Gaussian: L Lᵀ, or its best diagonal."""

    def __init__(self, latent: int, stretch: float = 1.0):
        super().__init__()
        draws = np.random.default_rng(latent)
        self.weight = torch.from_numpy(draws.normal(size=(6, latent)) * 0.5)
        precision = torch.eye(latent, dtype=torch.float64) + self.weight.mT @ self.weight / SIGMA**2
        self.covariance = precision.inverse()
        self.cholesky = torch.linalg.cholesky(self.covariance) * stretch
        self.law = multivariate_normal(
            np.zeros(6), self.weight.numpy() @ self.weight.numpy().T + SIGMA**2 * np.eye(6)
        )
        self.images = torch.from_numpy(self.law.rvs(300, random_state=draws))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x @ self.weight @ self.covariance / SIGMA**2
        return mean, self.cholesky.expand(len(x), -1, -1)

    def encode_diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, _ = self.encode(x)
        return mean, -self.covariance.inverse().diagonal().log().expand_as(mean)

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT

    def log_evidence(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.law.logpdf(x.numpy()))


def linear_subject(latent: int, stretch: float = 1.0, diagonal: bool = False) -> Subject:
    model = Linear(latent, stretch)
    encode = model.encode_diagonal if diagonal else model.encode
    return Subject(model.images, encode, model.decode, as_likelihood(SIGMA), None)


def subject(trained: Trained, likelihood, **changed) -> Subject:
    """A trained model as it is audited, with what a user would have done otherwise."""
    model = trained.model
    given = {"encode": model.encode, "decode": model.decode, "loss": trained.loss} | changed
    encode, decode, loss = given["encode"], given["decode"], given["loss"]
    return Subject(
        trained.train, encode, decode, as_likelihood(likelihood), loss, None, None, [model],
        given.get("estimate"),
    )  # fmt: skip


def found(check, audited: Subject, name: str) -> Finding:
    return next(finding for finding in check(audited) if finding.check == name)


SOUND = {  # made when a test asks for them: to train them takes a second each
    "gaussian": lambda: subject(gaussian(0, 8, 0.15, 15), 0.15),
    "two latents": lambda: subject(gaussian(1, 2, 0.15, 15), 0.15),
    "bernoulli": lambda: subject(bernoulli(2, 4, 15), "bernoulli"),
}


# Measures against closed forms


def test_the_exact_posterior_loses_nothing_and_agrees():
    """Each weight is p(x) itself: L_K, the ELBO and both bounds of own images are one number."""
    audited = linear_subject(3)
    seen = checks.weigh(audited, audited.x[:40], seed=1)
    expected = Linear(3).log_evidence(audited.x[:40])
    torch.testing.assert_close(seen.elbo, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(seen.bound, expected, rtol=0, atol=1e-9)
    known = checks.known(audited)
    for side in (known.low, known.high):
        torch.testing.assert_close(side, Linear(3).log_evidence(known.x), rtol=0, atol=1e-9)
    assert found(checks.calibration, audited, "own images").verdict is Verdict.SOUND
    calibrated = found(checks.calibration, audited, "calibration")
    assert abs(calibrated.value - 0.9) < 4 * calibrated.standard_error


@pytest.mark.parametrize("stretch", [0.7, 1.4])
def test_a_stretched_posterior_has_the_coverage_and_divergence_of_scipy(stretch):
    """q = N(m, s² Σ): |u| < 1.64 has the probability of |ε| < 1.64 s, and KL + KL is known."""
    audited = linear_subject(2, stretch)
    seen = found(checks.calibration, audited, "calibration")
    expected = 2 * norm.cdf(norm.ppf(0.95) * stretch) - 1
    assert abs(seen.value - expected) < 4 * seen.standard_error
    apart = found(checks.calibration, audited, "own images")
    both = 2 * (stretch**2 + stretch**-2 - 2) / 2  # d (s² + s⁻² − 2) / 2 for d = 2
    assert abs(apart.value - both) < 4 * apart.standard_error
    wide = stretch**-2 < checks.WIDE
    assert (seen.verdict is Verdict.LOOK) == wide


def test_coverage_of_a_full_and_of_a_diagonal_covariance():
    mean, lower = torch.tensor([[1.0, -1.0]]), torch.tensor([[[2.0, 0.0], [0.5, 0.3]]])
    u = torch.tensor([[0.7, -1.2]])
    z = mean + (lower @ u[..., None])[..., 0]
    torch.testing.assert_close(checks.standardized(FullPosterior(mean, lower), z), u)
    diagonal = DiagonalPosterior(mean, torch.tensor([[4.0, 9.0]]).log())
    z = mean + u * torch.tensor([2.0, 3.0])
    torch.testing.assert_close(checks.standardized(diagonal, z), u)


def test_own_images_stand_between_bounds_where_q_is_only_near(monkeypatch):
    monkeypatch.setattr(checks, "DRAWS", 2)  # few, so that the bounds are apart
    monkeypatch.setattr(checks, "MOST", 2000)
    audited = linear_subject(3, diagonal=True)
    known = checks.known(audited)
    truth = Linear(3).log_evidence(known.x)
    for below in (truth - known.elbo, truth - known.low, known.high - truth):
        apart = checks.difference(below)
        assert apart.mean > 4 * apart.error
    # KL(q ‖ p) of a Gaussian with the posterior's mean and its precisions is known
    covariance = Linear(3).covariance
    precision = covariance.inverse()
    lost = 0.5 * (precision.diagonal().log().sum() + covariance.logdet())
    assert checks.difference(truth - known.elbo).mean == pytest.approx(float(lost), abs=0.05)


@pytest.mark.parametrize("latent", [1, 2])
def test_the_mesh_gives_the_evidence_of_a_linear_model(latent):
    audited = linear_subject(latent)
    exact = checks.exact(audited, audited.x[:30])
    off = (exact.log_evidence - Linear(latent).log_evidence(audited.x[:30])).abs()
    assert (off <= exact.error + 1e-9).all()
    assert (exact.error < checks.MESH_ERROR).all()


def test_the_mesh_gives_scipys_integral_for_float32_logits():
    weight = torch.tensor([[2.0, -1.0, 0.5, 3.0]])
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    stated = as_likelihood("bernoulli")
    audited = Subject(x, lambda x: (x[:, :1], x[:, :1]), lambda z: z.tanh() @ weight, stated, None)
    seen = checks.exact(audited, x)
    for image, nats in zip(x.numpy(), seen.log_evidence, strict=True):
        sign = 2 * image - 1

        def joint(z, sign=sign):
            logits = np.tanh(z) * weight.numpy()[0]
            return norm.pdf(z) * np.prod(1 / (1 + np.exp(-sign * logits)))

        assert float(nats) == pytest.approx(math.log(quad(joint, -9, 9)[0]), abs=1e-5)


def test_a_mesh_that_is_too_coarse_says_so():
    x, stated = torch.zeros(3, 2, dtype=torch.float64), as_likelihood(0.001)
    audited = Subject(
        x, lambda x: (x[:, :1], x[:, :1]), lambda z: (z - 0.3).expand(-1, 2), stated, None
    )
    assert (checks.on_mesh(audited, x, 257).error > checks.MESH_ERROR).all()
    assert (checks.exact(audited, x).error < checks.MESH_ERROR).all()  # 32,769 nodes are enough


def test_a_posterior_beyond_the_mesh_is_not_known():
    x, stated = torch.full((12, 2), 15.0, dtype=torch.float64), as_likelihood(0.3)
    audited = Subject(
        x, lambda x: (x[:, :1], x[:, :1] - 18), lambda z: z.expand(-1, 2), stated, None
    )
    assert (checks.exact(audited, x).error > checks.MESH_ERROR).all()


def test_codes_beyond_the_mesh_are_not_judged_by_it():
    model = Linear(1)

    def far(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, root = model.encode(x)
        return mean + 20, root

    audited = Subject(model.images, far, model.decode, as_likelihood(SIGMA), None)
    assert checks.known_exactly(audited) is None
    with pytest.raises(NotGivenError, match="does not reach them"):
        list(checks.exact_gap(audited))


def test_more_latents_have_no_mesh():
    with pytest.raises(NotGivenError, match="one or two latents, not for 3"):
        checks.exact(linear_subject(3), Linear(3).images)


def test_one_table_of_scores_for_every_form_of_likelihood():
    """One σ, a distribution, and a callable, for the same Gaussian."""
    model, z = Linear(2), torch.randn(7, 2, dtype=torch.float64)
    x = model.images[:5]
    expected = norm.logpdf(x.numpy(), model.decode(z).numpy()[:, None], SIGMA).sum(-1)
    forms = {
        "sigma": (model.decode, SIGMA),
        "distribution": (lambda z: Independent(Normal(model.decode(z), SIGMA), 1), None),
        "unsummed": (lambda z: Normal(model.decode(z), SIGMA), None),
        "own": (model.decode, lambda x, mean: Normal(mean, SIGMA).log_prob(x).sum(-1)),
    }
    for decode, likelihood in forms.values():
        audited = Subject(x, model.encode, decode, as_likelihood(likelihood), None)
        np.testing.assert_allclose(checks.table(audited, x, z), expected, atol=1e-9)


# Sound models


@pytest.mark.parametrize("made", SOUND.values(), ids=SOUND)
def test_sound_models_raise_no_alarm(made):
    audited = made()
    seen = [
        finding
        for check in (checks.weights, checks.exact_gap, checks.calibration, checks.bound)
        for finding in check(audited)
    ]
    assert {finding.verdict for finding in seen} <= set(Verdict) - {Verdict.WRONG}
    verdicts = {finding.check: finding.verdict for finding in seen}
    assert verdicts["bound"] is Verdict.SOUND
    assert verdicts["encoder"] is Verdict.CANNOT_TELL
    assert verdicts["weights"] is not Verdict.SOUND  # they never acquit


@pytest.mark.slow
def test_no_alarm_over_36_sound_models():
    """Latents, seeds, σ, likelihoods, brief and long training, and a sound estimator."""
    alarms = []
    for seed in range(3):
        for latent in (2, 5, 16):
            for epochs in (5, 40):
                models = [
                    (gaussian(seed, latent, (0.1, 0.15, 0.3)[seed % 3], epochs), None),
                    (bernoulli(seed, latent, epochs), "bernoulli"),
                ]
                for trained, likelihood in models:
                    stated = likelihood or (0.1, 0.15, 0.3)[seed % 3]
                    audited = subject(trained, stated, estimate=estimator(trained, stated))
                    for check in checks.CHECKS:
                        with suppress(NotGivenError):
                            alarms += [f for f in check.run(audited) if f.verdict is Verdict.WRONG]
    assert not alarms


# Planted faults: the encoder


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        (lambda x: x.roll(1, 0), Verdict.WRONG),
        (lambda x: x / 255, Verdict.LOOK),  # a collapsed model looks the same
    ],
    ids=["another order", "over 255"],
)
def test_images_scaled_or_ordered_in_another_way_for_the_encoder_are_found(changed, verdict):
    trained = gaussian(0, 8, 0.15, 15)
    encode = trained.model.encode
    audited = subject(trained, 0.15, encode=lambda x: encode(changed(x)))
    seen = found(checks.weights, audited, "encoder")
    assert seen.verdict is verdict
    assert "scale" in seen.reason


def test_a_mean_and_a_log_variance_that_are_exchanged_are_found():
    trained = gaussian(0, 8, 0.15, 15)
    encode = trained.model.encode
    seen = found(
        checks.weights, subject(trained, 0.15, encode=lambda x: encode(x)[::-1]), "encoder"
    )
    assert seen.verdict is Verdict.WRONG


def test_an_encoder_that_costs_more_than_its_codes_are_worth_is_found():
    """Log-variances of −24 and less: 40 nats and more of KL, for codes that do tell."""
    trained = bernoulli(2, 4, 15)
    encode = trained.model.encode
    audited = subject(trained, "bernoulli", encode=lambda x: (encode(x)[0], encode(x)[1] - 20))
    seen = found(checks.weights, audited, "encoder")
    assert seen.verdict is Verdict.WRONG
    assert seen.value < -20


def test_an_encoder_that_says_nothing_is_looked_at():
    trained = gaussian(0, 8, 0.15, 15)
    audited = subject(
        trained, 0.15,
        encode=lambda x: (torch.zeros(len(x), 8), torch.zeros(len(x), 8)),
    )  # fmt: skip
    assert found(checks.weights, audited, "encoder").verdict is Verdict.LOOK
    calibrated = found(checks.calibration, audited, "calibration")
    assert calibrated.value == pytest.approx(0.9, abs=0.02)  # the prior covers, as it must
    assert calibrated.verdict is Verdict.CANNOT_TELL
    assert found(checks.calibration, audited, "own images").verdict is Verdict.LOOK


def test_a_log_deviation_taken_for_a_log_variance_is_looked_at():
    trained = bernoulli(2, 4, 15)
    encode = trained.model.encode

    def halved(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = encode(x)
        return mean, 0.5 * log_variance

    seen = found(checks.calibration, subject(trained, "bernoulli", encode=halved), "calibration")
    assert seen.verdict is Verdict.LOOK
    assert "wider" in seen.reason


def test_images_times_255_leave_codes_that_tell_something_and_a_gap():
    trained = gaussian(0, 8, 0.15, 15)
    encode = trained.model.encode
    audited = subject(trained, 0.15, encode=lambda x: encode(255 * x))
    assert found(checks.weights, audited, "encoder").verdict is Verdict.CANNOT_TELL
    assert found(checks.weights, audited, "encoder gap").verdict is Verdict.LOOK


def test_a_narrow_q_is_looked_at_by_its_weights():
    trained = gaussian(0, 8, 0.15, 15)
    encode = trained.model.encode

    def narrow(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = encode(x)
        return mean + 0.3, log_variance - 2

    audited = subject(trained, 0.15, encode=narrow)
    assert found(checks.weights, audited, "weights").verdict is Verdict.LOOK
    assert found(checks.weights, audited, "encoder gap").verdict is Verdict.LOOK
    assert found(checks.calibration, audited, "calibration").verdict is Verdict.LOOK


def test_an_encoder_that_loses_much_of_a_known_evidence_is_looked_at():
    trained = bernoulli(0, 2, 15)
    encode = trained.model.encode
    good = found(checks.exact_gap, subject(trained, "bernoulli"), "exact gap")
    audited = subject(trained, "bernoulli", encode=lambda x: (-encode(x)[0], encode(x)[1]))
    bad = found(checks.exact_gap, audited, "exact gap")
    assert (good.verdict, bad.verdict) == (Verdict.SOUND, Verdict.LOOK)


def test_log_p_is_summed_once_for_bound_estimate_and_gap(monkeypatch):
    computed, counted = checks.exact, []

    def exact(*given):
        counted.append(given)
        return computed(*given)

    monkeypatch.setattr(checks, "exact", exact)
    audited = subject(bernoulli(0, 2, 15), "bernoulli", estimate=lambda x: torch.zeros(len(x)))
    for check in (checks.bound, checks.estimator, checks.exact_gap):
        assert [finding.value for finding in check(audited)]
    assert len(counted) == 1


class FarDraws(Normal):
    """A distribution whose draws lie where the density that it states is low."""

    def sample(self, sample_shape=()):
        return self.loc.roll(1, 0)


def test_a_distribution_that_draws_other_images_than_it_scores_is_found():
    model = Linear(3, stretch=1.4)
    decode = model.decode
    audited = Subject(model.images, model.encode, lambda z: FarDraws(decode(z), SIGMA), None, None)
    assert found(checks.calibration, audited, "own images").verdict is Verdict.WRONG


# Planted faults: the loss


@pytest.fixture
def known_once(monkeypatch):
    """What is known of a model is computed once, however many losses are held against it."""
    computed = checks.known

    def known(audited: Subject) -> checks.Known:
        key = id(audited.modules[0])
        if key not in KNOWN:
            KNOWN[key] = computed(audited)
        return KNOWN[key]

    monkeypatch.setattr(checks, "known", known)


KNOWN: dict[int, checks.Known] = {}


def with_loss(trained: Trained, likelihood, loss) -> Finding:
    return found(checks.bound, subject(trained, likelihood, loss=loss), "bound")


def terms(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each pixel (batch, 64) and KL of each image (batch,)."""
    mean, log_variance = model.encode(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    return cross_entropy(model.decode(z), x, reduction="none"), kl


def loss_of(trained: Trained, combine):
    return lambda x: combine(*terms(trained.model, x))


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        (lambda error, kl: (error.mean(-1) + kl).mean(), "mean over pixels"),
        (lambda error, kl: (error.sum(-1) - kl).mean(), "wrong sign"),
        (lambda error, kl: (error.sum(-1) + 0.1 * kl).mean(), "weight below 1"),
        (lambda error, kl: (error.sum(-1) / 2 + kl).mean(), "none"),
    ],
    ids=["mean over pixels", "sign", "weight", "half"],
)
def test_a_loss_whose_negative_lies_above_log_p_is_found(known_once, combine, words):
    trained = bernoulli(2, 4, 15)
    seen = with_loss(trained, "bernoulli", loss_of(trained, combine))
    assert seen.verdict is Verdict.WRONG
    assert words in seen.reason
    assert seen.value > seen.limit


@pytest.mark.parametrize(
    ("combine", "unit"),
    [
        (lambda error, kl: (error.sum(-1) + kl).sum(), "nats an image"),
        (lambda error, kl: (error.sum(-1) + kl).mean() / 64, "nats a pixel"),
        (lambda error, kl: (error.sum(-1) + kl).mean() / math.log(2), "bits an image"),
        (lambda error, kl: (error.sum(-1) + kl).mean() / 64 / math.log(2), "bits a pixel"),
    ],
    ids=["sum", "pixel", "bits", "bits a pixel"],
)
def test_a_bound_in_another_unit_is_a_bound(known_once, combine, unit):
    trained = bernoulli(2, 4, 15)
    seen = with_loss(trained, "bernoulli", loss_of(trained, combine))
    assert seen.verdict is Verdict.SOUND
    assert unit in seen.reason


def test_a_mean_over_pixels_is_not_told_from_its_unit_where_the_kl_is_zero():
    x = bernoulli(2, 4, 15).train
    logits = x.mean(0).clamp(0.01, 0.99).logit()
    audited = Subject(
        x,
        lambda x: (torch.zeros(len(x), 4), torch.zeros(len(x), 4)),
        lambda z: logits.expand(len(z), -1),
        as_likelihood("bernoulli"),
        lambda x: cross_entropy(logits.expand_as(x), x),
    )
    seen = found(checks.bound, audited, "bound")
    assert seen.verdict is Verdict.CANNOT_TELL
    assert "nats a pixel, or its error alone" in seen.reason


def test_a_heavier_kl_lies_below_and_is_not_judged(known_once):
    trained = bernoulli(2, 4, 15)
    loss = loss_of(trained, lambda error, kl: (error.sum(-1) + 4 * kl).mean())
    assert with_loss(trained, "bernoulli", loss).verdict is Verdict.CANNOT_TELL


def test_a_loss_that_is_neither_mean_nor_sum_is_not_judged(known_once):
    trained = bernoulli(2, 4, 15)
    loss = loss_of(trained, lambda error, kl: (error.sum(-1) + kl).sum().sqrt())
    with pytest.raises(NotGivenError, match=r"twice it is 1\.41 times as large"):
        with_loss(trained, "bernoulli", loss)


@pytest.mark.parametrize("reduce", [torch.mean, torch.sum])
def test_a_loss_near_zero_is_still_a_mean_or_a_sum(known_once, reduce):
    """Its values alone do not say which: two draws differ by more than it is."""
    trained = bernoulli(2, 4, 15)
    x = trained.train[:32]
    plain = loss_of(trained, lambda error, kl: error.sum(-1) + kl)
    torch.manual_seed(3)
    average = torch.stack([plain(x).mean() for _ in range(50)]).mean().detach()
    audited = subject(trained, "bernoulli", loss=lambda x: reduce(plain(x) - average))
    with pytest.raises(NotGivenError, match="is not clear"):
        checks.by_taking_twice(audited, x)
    assert checks.per_image(audited, x) == reduce.__name__


@pytest.mark.parametrize(
    ("times", "word"), [(1, "mean"), (2, "sum"), (1.15, "mean"), (1.9, "sum")], ids=str
)
def test_a_loss_of_images_taken_twice(times, word):
    x = bernoulli(2, 4, 15).train[:32]

    def loss(images):
        return torch.tensor(-3.0) * (times if len(images) > len(x) else 1.0)

    audited = subject(bernoulli(2, 4, 15), "bernoulli", loss=loss)
    assert checks.by_taking_twice(audited, x) == word


@pytest.mark.parametrize(
    ("sigma", "verdict"), [(0.15, Verdict.SOUND), (0.8, Verdict.LOOK)], ids=["below", "above"]
)
def test_a_constant_left_out_is_named(sigma, verdict):
    """64 log(σ √2π) is −62.6 at σ = 0.15, where the loss is too high, and 44.5 at 0.8."""
    trained = gaussian(0, 8, sigma, 15)
    seen = with_loss(trained, sigma, trained.loss)
    assert seen.verdict is verdict
    constant = f"{64 * math.log(sigma * math.sqrt(2 * math.pi)):.1f} nats".replace("-", "−")
    assert constant in seen.reason


# Planted faults: an estimator of log p(x)


def estimator(trained: Trained, likelihood, average=None, draws: int = 100):
    """An importance-weighted estimate as a user writes it, with an average of their own."""
    model = trained.model
    average = average or (lambda log_weight: log_weight.logsumexp(0) - math.log(draws))

    @torch.no_grad()
    def estimate(x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        q = Normal(mean, (0.5 * log_variance).exp())
        z = q.sample((draws,))
        decoded = model.decode(z)
        if likelihood == "bernoulli":
            score = -cross_entropy(decoded, x.expand_as(decoded), reduction="none")
        else:
            score = Normal(decoded, likelihood).log_prob(x)
        ratio = Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        return average(score.sum(-1) + ratio)

    return estimate


def with_estimate(trained: Trained, likelihood, average=None) -> Finding:
    estimate = estimator(trained, likelihood, average)
    return found(checks.estimator, subject(trained, likelihood, estimate=estimate), "estimate")


@pytest.mark.parametrize("trained", [(bernoulli, 0, 2), (bernoulli, 2, 4)], ids=["mesh", "own"])
@pytest.mark.parametrize(
    ("average", "verdict", "words"),
    [
        (None, Verdict.SOUND, "log p(x)"),
        (lambda w: -(w.logsumexp(0) - math.log(100)), Verdict.WRONG, "sign"),
        (lambda w: w.logsumexp(0) - math.log(100 / 1.2), Verdict.WRONG, "wrong count"),
        (lambda w: w.logsumexp(0), Verdict.WRONG, "wrong count"),
        (lambda w: (w.logsumexp(0) - math.log(100)) / 64, Verdict.WRONG, "nats a pixel"),
        (lambda w: (w.logsumexp(0) - math.log(100)) / math.log(2), Verdict.WRONG, "in bits an"),
        (lambda w: 3 * w.mean(0), Verdict.WRONG, "three terms"),
    ],
    ids=["sound", "sign", "count", "no count", "pixel", "bits", "other"],
)
def test_an_estimator_is_held_against_log_p(known_once, trained, average, verdict, words):
    seen = with_estimate(trained[0](*trained[1:], 15), "bernoulli", average)
    assert seen.verdict is verdict
    assert words in seen.reason


@pytest.mark.parametrize("latent", [2, 8], ids=["mesh", "own"])
def test_a_mean_of_logs_is_told_from_a_log_of_means(latent):
    trained = gaussian(1, 2, 0.15, 5) if latent == 2 else gaussian(0, 8, 0.15, 15)
    seen = with_estimate(trained, 0.15, lambda w: w.mean(0))
    assert seen.verdict is Verdict.LOOK
    assert "mean of the logs" in seen.reason


def test_errors_that_cancel_over_images_are_found(known_once):
    """At this σ log p(x) averages about 0, so that a turned sign is not seen in the average."""
    trained = gaussian(1, 2, 0.15, 15)
    seen = with_estimate(trained, 0.15, lambda w: -(w.logsumexp(0) - math.log(100)))
    assert abs(seen.value) < seen.limit
    assert seen.verdict is Verdict.WRONG
    assert "sign" in seen.reason


# A likelihood of one's own


def pixelwise(log_density):
    return lambda x, decoded: log_density(x, decoded).sum(-1)


def six_pixels(log_density, images: Tensor | None = None) -> Subject:
    """Grey images, and a likelihood of pixels, given as a callable."""
    x = torch.rand(8, 6, generator=torch.Generator().manual_seed(1)) if images is None else images
    slope = torch.linspace(-1, 1, 6)

    def decode(z: Tensor) -> Tensor:
        return 0.5 + z[:, :1] * slope + z[:, 1:]

    stated = as_likelihood(pixelwise(log_density))
    return Subject(x, lambda x: (x[:, :2] - 0.5, x[:, :2]), decode, stated, None)


def learned(mean: Tensor) -> Tensor:
    return 0.1 + 0.1 * mean.abs()


@pytest.mark.parametrize(
    ("log_density", "verdict"),
    [
        (lambda x, m: Normal(m, 0.15).log_prob(x), Verdict.SOUND),
        (lambda x, m: Normal(m, 1.0).log_prob(x), Verdict.SOUND),
        (lambda x, m: Laplace(m, 0.2).log_prob(x), Verdict.SOUND),
        (lambda x, m: Normal(m, learned(m)).log_prob(x), Verdict.SOUND),
        (lambda x, m: ContinuousBernoulli(logits=m).log_prob(x), Verdict.SOUND),
        (lambda x, m: -((x - m) ** 2) / (2 * 0.15**2), Verdict.LOOK),
        (lambda x, m: -((x - m) ** 2) / (2 * learned(m) ** 2), Verdict.WRONG),
        (lambda x, m: -cross_entropy(m, x, reduction="none"), Verdict.WRONG),
    ],
    ids=["normal", "wide", "laplace", "learned", "continuous", "constant", "σ(z)", "grey"],
)  # fmt: skip
def test_a_likelihood_is_a_density_or_not(log_density, verdict):
    seen = found(checks.normalized, six_pixels(log_density), "likelihood")
    assert seen.verdict is verdict


def test_the_integral_is_that_of_scipy():
    """A squared error at σ = 0.15 lacks 6 log(σ √2π)."""
    audited = six_pixels(lambda x, m: -((x - m) ** 2) / (2 * 0.15**2))
    seen = found(checks.normalized, audited, "likelihood")
    one = quad(lambda t: math.exp(-(t**2) / (2 * 0.15**2)), -3, 3)[0]
    assert seen.value == pytest.approx(6 * math.log(one), abs=1e-4)


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, Verdict.SOUND), (0.5, Verdict.WRONG)])
def test_binary_pixels_are_summed_over(scale, verdict):
    """Half a cross-entropy is no log-probability: √p + √(1 − p) is more than 1, by an amount."""
    images = (six_pixels(None).x > 0.5).float()
    audited = six_pixels(lambda x, m: -scale * cross_entropy(m, x, reduction="none"), images)
    seen = found(checks.normalized, audited, "likelihood")
    assert seen.verdict is verdict
    z = audited.posterior(images[:2]).mean
    p = audited.decoded(z).sigmoid().numpy()
    expected = np.log(p**scale + (1 - p) ** scale).sum(1)
    assert seen.value == pytest.approx(np.abs(expected).max(), abs=1e-4)


def test_what_is_no_product_over_pixels_is_not_judged():
    def likelihood(x: Tensor, mean: Tensor) -> Tensor:
        return -(x - mean).square().sum(-1, keepdim=True).sqrt() * 30

    with pytest.raises(NotGivenError, match="no product over pixels"):
        found(checks.normalized, six_pixels(likelihood), "likelihood")


@pytest.mark.parametrize("density", [Normal(0.0, 0.002), StudentT(1.0)], ids=["narrow", "endless"])
def test_a_density_that_the_nodes_miss_is_not_judged(density):
    images = 3 * six_pixels(None).x - 1
    with pytest.raises(NotGivenError, match="too narrow"):
        list(checks.normalized(six_pixels(lambda x, m: density.log_prob(x - m), images)))


def test_large_images_are_not_integrated():
    x, stated = torch.rand(4, 784), as_likelihood(pixelwise(lambda x, m: -((x - m) ** 2)))
    audited = Subject(x, lambda x: (x[:, :2], x[:, :2]), lambda z: z[:, :1] + x[0], stated, None)
    with pytest.raises(NotGivenError, match="too many pixels"):
        list(checks.normalized(audited))


# What is not given


def test_a_sigma_that_was_not_stated_is_asked_for():
    audited = subject(gaussian(0, 8, 0.15, 15), "gaussian")
    for check in (checks.weights, checks.calibration, checks.bound):
        with pytest.raises(NotGivenError, match="σ of the Gaussian likelihood was not stated"):
            list(check(audited))


def test_no_image_is_drawn_from_a_callable():
    likelihood = pixelwise(lambda x, m: Normal(m, 0.15).log_prob(x))
    with pytest.raises(NotGivenError, match="no image can be drawn"):
        list(checks.bound(subject(gaussian(0, 8, 0.15, 15), likelihood)))
