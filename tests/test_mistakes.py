"""Each mistake changes the piece that it names, and what is measured of a model is the truth."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from drawn import close, double, normal
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

import vae_tutorial
from vae_tutorial import mistakes
from vae_tutorial.audit import CHECKS, audit
from vae_tutorial.data import load_digits
from vae_tutorial.mistakes import MISTAKES, SOUND, SOUND_BERNOULLI, Exhibit, Seen
from vae_tutorial.models import DiagonalPosterior, log_weight

TRAINED = [mistake for mistake in MISTAKES if mistake.is_trained]
READ = [mistake for mistake in MISTAKES if mistake.read]
LATENTS = mistakes.LATENT
each_trained = pytest.mark.parametrize("mistake", TRAINED, ids=lambda mistake: mistake.name)


def by_number(number):
    (found,) = [mistake for mistake in MISTAKES if mistake.number == number]
    return found


@cache
def model(pieces=SOUND, epochs=2):
    """A model trained briefly. Do not change it: it is shared by tests."""
    return mistakes.train(pieces._replace(epochs=epochs), 0)


@cache
def seen(sound=SOUND):
    return mistakes.measure(model(sound), sound, draws=40)


def few_digits(count=20):
    return load_digits().test[:count]


def as_distribution(mean, log_variance):
    return Normal(mean, (0.5 * log_variance).exp())


def one_seen(**changed):
    """What might be seen of two images at three draws, with one latent."""
    fields = {
        "mean": double([0.0], [2.0]),
        "log_variance": double([0.0], [0.0]),
        "log_weight": double([1.0, 3.0], [2.0, 3.0], [0.0, 3.0]),
        "elbo": double(-4.0, -6.0),
        "plugged_in": double(-3.0, -4.0),
        "kl": double(1.0, 3.0),
        "baseline": double(-8.0, -8.0),
    }
    return Seen(**(fields | changed))


# The catalogue


def test_the_catalogue_has_every_question_of_readers_once():
    numbers = [mistake.number for mistake in MISTAKES]
    assert numbers == list(range(1, len(MISTAKES) + 1))
    assert len(MISTAKES) > 31
    for name in ("name", "symptom", "because"):
        assert len({getattr(mistake, name) for mistake in MISTAKES}) == len(MISTAKES)


def test_an_exhibit_names_a_chapter_and_threads():
    for mistake in MISTAKES:
        assert mistake.chapter in vae_tutorial.CHAPTERS
        assert all(" " not in thread and "." in thread for thread in mistake.threads)
    unasked = [mistake.number for mistake in MISTAKES if not mistake.threads]
    assert unasked == [29, 31, 34, 35]  # seen in programs, or planted by us


def test_a_diff_shows_the_right_line_and_the_wrong_one():
    assert mistakes.diff(by_number(5)) == "- error + kl\n+ error - kl"
    assert mistakes.diff(by_number(20)) == "- latent = 8\n+ latent = 2"
    assert mistakes.piece(by_number(2)) == "error, weight"
    assert mistakes.diff(by_number(25)) == ""
    assert mistakes.piece(by_number(25)) == "use"
    wrong = mistakes.diff(by_number(18)).splitlines()
    assert wrong[1] == "+ seen.log_weight.mean()"
    assert mistakes.piece(by_number(18)) == "reading"


@each_trained
def test_a_mistake_keeps_every_piece_but_those_that_it_names(mistake):
    same = [one is other for one, other in zip(mistake.sound, mistake.pieces, strict=True)]
    named = mistakes.piece(mistake).split(", ")
    assert 1 <= len(named) == len(same) - sum(same)


@each_trained
def test_every_mutant_has_a_gradient(mistake):
    exhibit = Exhibit(mistake.pieces, 0)
    noise = normal(mistake.pieces.draws, 20, mistake.pieces.latent).float()
    exhibit.loss(mistake.pieces.pixels(few_digits()), noise).backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in exhibit.decoder.parameters())


# The sound program, by torch's distributions


def test_the_sound_loss_is_the_negative_bound_without_its_constant():
    x, noise = few_digits(), normal(3, 20, LATENTS).float()
    mean, log_variance = model().encode(x)
    q = as_distribution(mean, log_variance)
    z = mean + q.scale * noise
    log_p = Normal(model().decode(z), math.sqrt(mistakes.VARIANCE)).log_prob(x).sum(-1).mean(0)
    constant = -32 * math.log(2 * math.pi * mistakes.VARIANCE)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(-1)
    expected = (kl - log_p + constant).mean()
    torch.testing.assert_close(model().loss(x, noise), expected, rtol=1e-5, atol=1e-4)


def test_the_sound_loss_of_black_and_white_pixels():
    x, noise = (few_digits() > 0.5).float(), normal(1, 20, LATENTS).float()
    exhibit = model(SOUND_BERNOULLI)
    mean, log_variance = exhibit.encode(x)
    q = as_distribution(mean, log_variance)
    log_p = Bernoulli(logits=exhibit.decode(mean + q.scale * noise[0])).log_prob(x).sum(-1)
    expected = (kl_divergence(q, Normal(0.0, 1.0)).sum(-1) - log_p).mean()
    torch.testing.assert_close(exhibit.loss(x, noise), expected, rtol=1e-5, atol=1e-4)
    close(SOUND_BERNOULLI.pixels(double(0.0, 0.5, 0.6, 1.0)), double(0, 0, 1, 1))


def test_a_seed_makes_the_same_model_again():
    again = mistakes.train(SOUND._replace(epochs=2), 0)
    pairs = zip(model().parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    other = mistakes.train(SOUND._replace(epochs=1), 1)
    assert not torch.equal(next(model().parameters()), next(other.parameters()))


# What is measured


@pytest.mark.parametrize("sound", [SOUND, SOUND_BERNOULLI], ids=["grey", "black and white"])
def test_a_model_is_measured_by_the_right_formulas(sound):
    x = sound.pixels(load_digits(torch.float64).test)
    mean, log_variance = model(sound).double().encode(x)
    found = seen(sound)
    exact = model(sound)
    q = as_distribution(mean, log_variance)
    close(found.kl, kl_divergence(q, Normal(double(0), double(1))).sum(-1), 1e-5)

    def log_p(z):
        if sound is SOUND:
            return Normal(exact.decode(z), math.sqrt(mistakes.VARIANCE)).log_prob(x).sum(-1)
        return Bernoulli(logits=exact.decode(z)).log_prob(x).sum(-1)

    close(found.plugged_in, log_p(mean) - found.kl, 1e-5)
    draws = torch.stack([log_p(q.sample()) for _ in range(40)])  # other draws than the module's
    band = 5 * (2 * draws.var(0).mean() / 40 / len(x)).sqrt()
    assert ((draws.mean(0) - found.kl - found.elbo).mean()).abs() < band
    close(found.log_weight.mean(0).mean(), found.elbo.mean(), 0.02)
    model(sound).float()


def test_a_model_is_measured_at_the_deviation_that_it_draws_with():
    narrow = mistakes.measure(Exhibit(by_number(32).pieces, 0).eval(), SOUND, draws=2).log_variance
    wide = mistakes.measure(Exhibit(SOUND, 0).eval(), SOUND, draws=2).log_variance
    close(narrow - wide, torch.full_like(wide, 2 * math.log(0.01)), 1e-9)


def test_the_baseline_is_the_linear_model_by_scikit_learn():
    from sklearn.decomposition import PCA

    digits = load_digits(torch.float64)
    centred = digits.train - digits.train.mean(0)
    fitted = PCA(LATENTS).fit(centred.numpy())
    variance = mistakes.VARIANCE
    eigenvalues = fitted.explained_variance_ * (len(centred) - 1) / len(centred)
    spread = np.maximum(eigenvalues - variance, 0)
    covariance = (fitted.components_.T * spread) @ fitted.components_ + variance * np.eye(64)
    p = MultivariateNormal(digits.train.mean(0), torch.from_numpy(covariance))
    close(seen().baseline, p.log_prob(digits.test), 1e-8)


@pytest.mark.equation("eq-mistake-cost")
def test_a_cost_is_the_bound_that_is_lost():
    lost = mistakes.cost(one_seen(), one_seen(elbo=double(-5.0, -10.0)))
    assert float(lost) == 2.5


def test_a_model_that_has_diverged_is_refused():
    broken = Exhibit(SOUND, 0)
    with torch.no_grad():
        broken.encoder[0].bias.fill_(math.nan)
    with pytest.raises(ValueError, match="NaN"):
        mistakes.measure(broken, SOUND, draws=2)


# Wrong pieces


def test_the_wrong_draws():
    log_variance, noise = double([0.0, 2.0]), normal(1, 3, 2)
    close(mistakes.root_of_variance(log_variance), double(1, math.e))
    close(mistakes.exponential(log_variance), double(1, math.e**2))
    close(mistakes.hundredth(log_variance), double(0.01, 0.01 * math.e))
    assert torch.equal(mistakes.shared(noise)[0, 2], noise[0, 0])
    mean = double([1.0, 2.0]).requires_grad_()
    assert not mistakes.sampled(mean, double([1.0, 1.0]), noise).requires_grad
    assert mistakes.reparameterized(mean, double([1.0, 1.0]), noise).requires_grad
    close(mistakes.sampled(mean, double([3.0, 3.0]), noise)[0, 1], mean + 3 * noise[0, 1])
    close(mistakes.rectified(double(-2.0, 3.0)), double(0, 3))
    close(mistakes.softplus_variance(double(0.0)).exp(), double(math.log(2)))


def test_the_wrong_errors_state_another_variance():
    x, decoded = few_digits(2).double(), normal(2, 64)
    squares = (x - decoded).square().sum(-1)
    for error, variance in (
        (mistakes.gaussian_error, mistakes.VARIANCE),
        (mistakes.squared_error, 0.5),
        (mistakes.unit_variance, 1.0),
        (mistakes.pixel_mean, 32.0),
    ):
        close(error(x, decoded), squares / (2 * variance))
    assert by_number(2).pieces.weight(0.5) * 64 / 2 == pytest.approx(0.008)
    logits = normal(2, 64)
    twice = Bernoulli(logits=Bernoulli(logits=logits).probs).log_prob(x.round()).sum(-1)
    close(mistakes.sigmoid_twice(x.round(), logits), -twice)
    grey = 0.1 + 0.8 * x
    at_best = mistakes.cross_entropy(grey.logit(), grey)  # grey pixels by their own grey
    close(at_best, Bernoulli(probs=grey).entropy().sum(-1))


def test_the_wrong_kls():
    mean, log_variance = normal(4, 2), normal(4, 2, seed=2)
    deviation = (0.5 * log_variance).exp()
    exact = kl_divergence(Normal(mean, deviation), Normal(double(0), double(1))).sum(-1)
    close(mistakes.closed_form(mean, log_variance), exact)
    off = (deviation.log() * 2 - deviation.log().square()).sum(-1) / 2
    close(mistakes.squared_logarithm(mean, log_variance), exact + off)
    close(mistakes.printed_only(mean.requires_grad_(), log_variance), exact.detach())
    assert not mistakes.printed_only(mean, log_variance).requires_grad


def test_the_wrong_weights_and_sums():
    assert [mistakes.never_arrives(share) for share in (0.0, 0.5, 1.0)] == [0.0, 0.1, 0.2]
    assert (mistakes.one(0.3), mistakes.quarter(0.3), mistakes.none(0.3)) == (1.0, 0.25, 0.0)
    per_image = double(2.0, 4.0)
    close(mistakes.average(per_image), 3.0)
    close(mistakes.twice_by_the_batch(per_image), 1.5)
    close(mistakes.both(per_image, double(1.0, 1.0)), double(3, 5))
    close(mistakes.difference(per_image, double(1.0, 1.0)), double(1, 3))


def test_a_term_without_a_gradient_trains_the_same_model_to_the_bit():
    mutant = model(by_number(29).pieces)
    pairs = zip(model().parameters(), mutant.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    x, noise = few_digits(), normal(1, 20, LATENTS).float()
    assert mutant.loss(x, noise) > 1.01 * model().loss(x, noise)


def test_a_factor_of_the_loss_is_nothing_to_adam():
    mutant = mistakes.measure(model(by_number(22).pieces), SOUND, draws=10)
    assert abs(float(mistakes.cost(mistakes.measure(model(), SOUND, draws=10), mutant))) < 1e-3


# Wrong readings


def test_the_wrong_readings():
    def off(number, what):
        right, wrong = by_number(number).read
        return float(wrong(what) - right(what))

    two = one_seen()
    weights = two.log_weight.numpy()
    log_of_mean = np.log(np.exp(weights).mean(0)).mean()
    assert off(18, two) == pytest.approx(weights.mean() - log_of_mean)
    assert off(31, two) == pytest.approx(math.log(1.2))
    assert off(13, two) == pytest.approx(1.5)
    assert off(10, two) == pytest.approx(-64 * math.log(16))
    standard = Normal(double(0), double(1))
    away = kl_divergence(Normal(two.mean, (0.5 * two.log_variance).exp()), standard).sum(-1)
    assert off(12, two) == pytest.approx(float(away.mean()))
    assert off(23, two) == pytest.approx(-8.0)  # all that the linear model has
    correlated = MultivariateNormal(double(0, 0), double([1, 0.9], [0.9, 1]))
    diagonal = MultivariateNormal(double(0, 0), double([1 - 0.81, 0], [0, 1 - 0.81]))
    assert off(24, two) == pytest.approx(float(kl_divergence(diagonal, correlated)), rel=1e-6)
    pixel = Normal(double(0), double(math.sqrt(mistakes.VARIANCE)))
    entropy = 64 * float(pixel.entropy())  # of a picture with its noise
    assert float(mistakes.a_sample(two)) == pytest.approx(-entropy, rel=1e-6)
    at_the_mean = 64 * float(pixel.log_prob(double(0)))
    assert float(mistakes.a_mean(two)) == pytest.approx(at_the_mean, rel=1e-6)
    assert off(28, two) == off(21, two) == math.inf
    assert mistakes.from_logits(two) == pytest.approx(40.0)


def test_readings_of_codes_by_torch():
    two = one_seen()  # codes: the means' variance 2, and 1 around them
    standard = Normal(double(0), double(1))

    def distance(variance):
        return float(kl_divergence(Normal(double(0), double(variance).sqrt()), standard))

    assert float(mistakes.own_scale(two)) == pytest.approx(0, abs=1e-12)
    assert float(mistakes.scaled(two, 0.5)) == pytest.approx(distance(3 * 0.5**2))
    assert float(mistakes.borrowed_scale(two)) == pytest.approx(distance(3 * 0.18215**2))
    assert float(mistakes.codes_as_drawn(two)) == pytest.approx(0, abs=1e-12)
    assert float(mistakes.codes_as_modes(two)) == pytest.approx(distance(2 / 3))


@pytest.mark.parametrize(
    ("requested", "a_pass", "drawn"), [(1000, 300, 1200), (1000, 1, 1000), (7, 7, 7), (8, 7, 14)]
)
def test_whole_passes_draw_more_than_was_asked_for(requested, a_pass, drawn):
    assert mistakes.drawn(requested, a_pass) == drawn


# The audit


def test_a_mutant_is_handed_to_the_audit_and_its_mistake_is_named():
    mistake = by_number(14)
    report = audit(load_digits().train[:200], **mistakes.handed(model(mistake.pieces), SOUND))
    assert report.wrong[0].check == mistake.check == "gradient"
    assert {check.name for check in CHECKS} >= {"gradient", "draws", "KL"}


@torch.no_grad()
def mean_of_logs(x):
    q = DiagonalPosterior(*read_soundly().encode(x))
    z = q.draw(normal(100, len(x), LATENTS).float())
    scores = mistakes.score(SOUND, x, read_soundly().decode(z))
    return log_weight(scores, q, z).mean(0)


def read_soundly():
    return model(SOUND, 10)


def borrowed_scale(x):
    mean, log_variance = read_soundly().encode(x)
    return 0.18215 * mean, log_variance + 2 * math.log(0.18215)


def saturated(z):
    return Bernoulli(probs=(100 * read_soundly().decode(z)).sigmoid())


WRONGLY = {  # number → what the audit is given in place of the sound callables
    10: {
        "encode": lambda x: read_soundly().encode(x / 16),
        "decode": lambda z: 16 * read_soundly().decode(z),
        "likelihood": 16 * math.sqrt(mistakes.VARIANCE),
    },
    18: {"estimate": mean_of_logs},
    21: {"decode": saturated, "likelihood": "bernoulli"},
    23: {},
    26: {"encode": borrowed_scale},
    27: {"draw": lambda x: read_soundly().encode(x)[0]},
}
IMAGES = {10: lambda x: 16 * x, 21: torch.round}


def findings_of(number, check):
    given = mistakes.handed(read_soundly(), SOUND) | WRONGLY.get(number, {})
    if number in IMAGES:  # which the sound program's loss and draw do not take
        del given["loss"], given["draw"]
    x = IMAGES.get(number, lambda x: x)(load_digits().train)
    return [each for each in audit(x, **given).findings if each.check == check]


def accused(number, check):
    return {each.verdict for each in findings_of(number, check)} & {"wrong", "look"}


@pytest.mark.slow
def test_a_reading_that_names_a_check_is_seen_by_it_and_a_sound_one_is_not():
    named = {mistake.number: mistake.check for mistake in READ if mistake.check}
    assert named.keys() == WRONGLY.keys()
    (beside,) = findings_of(23, named.pop(23))  # the number that a bound lacks
    assert "probabilistic PCA of 8 latents" in beside.measured
    for number, check in named.items():
        assert accused(number, check)
        assert not accused(0, check)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", [5, 6])
def test_numbers_that_ran_away_are_not_called_random(number, seed):
    """The wrong sign and (log σ)²: "repeats" cannot tell, and the first line names the cause."""
    (mistake,) = (each for each in MISTAKES if each.number == number)
    trained = mistakes.train(mistake.pieces, seed=seed)
    report = audit(load_digits().train, **mistakes.handed(trained, SOUND))
    said = {each.verdict for each in report.findings if each.check == "repeats"}
    assert said == {"sound", "cannot tell"}
    assert report.findings[0].check == mistake.check
