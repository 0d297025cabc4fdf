"""The ledger of gradients: it reads the weights that a loss was given, and names what is cut."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from sound import Plain, gaussian, gaussian_loss

from vae_tutorial.audit import gradients, regression, terms
from vae_tutorial.audit.findings import Finding, Verdict
from vae_tutorial.audit.guard import untouched
from vae_tutorial.audit.reading import Reading, read
from vae_tutorial.audit.subject import Subject, as_likelihood

SIGMA = 0.15


def subject_of(loss, **given) -> Subject:
    """A sound model of grey digits, with a loss."""
    model, _, train, _ = gaussian(epochs=12)
    encode, modules = given.get("encode", model.encode), given.get("modules", [model])
    return Subject(train, encode, model.decode, as_likelihood(SIGMA), loss, modules=modules)


def only(subject: Subject) -> Finding:
    """What the ledger says of the gradients."""
    with untouched(subject.modules):
        (one,) = (found for found in gradients.ledger(subject) if found.check == "gradients")
    return one


def weighed(error_weight, kl_weight, model, x, kl_gradient=1.0):
    """A loss of two weights, whose KL sends a part of its gradient."""
    mean, log_variance = model.encode(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    error = (x - model.decode(z)).square().sum(-1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    sent = kl_gradient * kl + (1 - kl_gradient) * kl.detach()
    return (error_weight * error + kl_weight * sent).mean()


def balanced(loss) -> gradients.Ledger:
    """The ledger of a loss, in numbers."""
    subject = subject_of(loss)
    reading = read(subject)
    parameters = subject.parameters()
    with untouched(subject.modules):
        encoder, decoder = gradients.sides(subject, parameters)
        found = gradients.gradients_of(subject, reading, parameters, encoder, decoder)
    return gradients.balance(found, reading.fits[1])


@pytest.mark.parametrize(("error", "kl", "sent"), [(20.0, 1.0, 1.0), (3.0, 2.0, 0.5)])
def test_the_weights_of_the_gradients_are_those_that_the_loss_was_given(error, kl, sent):
    model = gaussian(epochs=12).model
    seen = balanced(partial(weighed, error, kl, model, kl_gradient=sent))
    assert seen.decoder_error == pytest.approx(error, rel=1e-3)
    assert seen.encoder_error == pytest.approx(error, rel=1e-3)
    assert seen.encoder_kl == pytest.approx(kl * sent, rel=1e-3)
    assert max(seen.encoder_rest, seen.decoder_rest) < 1e-3


def test_each_parameter_is_on_the_side_that_it_serves():
    model = gaussian(epochs=12).model
    subject = subject_of(partial(gaussian_loss, model, SIGMA))
    parameters = subject.parameters()
    encoder, decoder = gradients.sides(subject, parameters)
    names = {id(p): name.partition(".")[0] for name, p in model.named_parameters()}
    assert {names[id(parameters[i])] for i in encoder} == {"encoder"}
    assert {names[id(parameters[i])] for i in decoder} == {"decoder"}
    assert len(encoder | decoder) == len(parameters) == len(list(Plain().parameters()))


def test_no_gradient_is_missed_where_the_errors_weight_is_not_known():
    """A ledger in which the decoder gets a hundredth of a weight that is 97.7 ± 1400."""
    ledger = gradients.Ledger(0.1, -1.0, 1.0, 1e-6, 1e-9, 1e-6, 0.0, 0.0, 0.0, 0.0)
    reading = Reading("", terms.LOGITS, "", (), 0.0, 0.0, 0.0, 0.0, averaged=False, training=False)
    for error, verdict in ((1400.0, Verdict.CANNOT_TELL), (1e-3, Verdict.WRONG)):
        fit = regression.Fit((97.7, -1.0, 0.0), (error, 1e-9, 1.0), 0.0)
        seen = reading._replace(fits=(fit, fit))
        assert gradients._judged(seen, ledger).verdict is verdict


def test_callables_without_gradients():
    model, its_loss, *_ = gaussian(epochs=12)
    assert only(subject_of(torch.no_grad()(its_loss))).verdict is Verdict.LOOK
    cut = subject_of(its_loss, encode=torch.no_grad()(model.encode))
    assert only(cut).verdict is Verdict.CANNOT_TELL


def test_a_side_that_is_frozen_is_named():
    model = deepcopy(gaussian(epochs=12).model)
    model.encoder.requires_grad_(False)
    loss = partial(gaussian_loss, model, SIGMA)
    found = only(subject_of(loss, encode=model.encode, modules=[model]))
    assert found.verdict is Verdict.LOOK
    assert "4 of 8 parameters behind the callables are frozen" in found.measured
    assert "encode never learned" in found.reason
