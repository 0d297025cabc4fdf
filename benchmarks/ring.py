"""Eight Gaussians on a ring, the same decoder fitted to them in seven ways: who drops a mode?

Writes ring.json: for each way and seed the exact divergences, the mass near each mode, and, of the
games, what the discriminator reads. A run takes seconds; the first three seeds are repeated with
four times as many steps, to see what has converged. `--seeds 1 --steps 50` is a rehearsal.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_tutorial import adversarial
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import product, trapezoid

RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"
RADIUS, DEVIATION = 2.0, 0.25  # of the ring, and of each Gaussian on it
BATCH, DRAWS = 256, 512  # data of a step, and prior draws that stand for p_g in it
RATE = 0.005  # at the start; it falls to zero along half a cosine
LONGER = 4
REACH, LEAST = 3, 1 / 32  # a mode is covered if a quarter of its share lies within 3 deviations

ANGLES = torch.arange(8, dtype=torch.float64) * math.pi / 4
CENTRES = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], -1)  # (8, 2)
SHARES = torch.full((8,), 1 / 8, dtype=torch.float64).log()
PLANE = product(trapezoid(-4.0, 4.0, 81), 2)

Loss = Callable[[torch.Generator], Tensor]


def log_data(x: Tensor) -> Tensor:
    """log p(x), exactly."""
    return adversarial.log_mixture(x, CENTRES.to(x), SHARES.to(x), DEVIATION**2)


def drawn(random: torch.Generator) -> Tensor:
    """A batch of data."""
    mode = torch.randint(8, (BATCH,), generator=random)
    return (CENTRES[mode] + DEVIATION * standard_normal((BATCH, 2), random)).float()


def log_made(x: Tensor, centres: Tensor) -> Tensor:
    """log p_g(x), with the generator's prior draws as centres."""
    shares = torch.full((len(centres),), 1 / len(centres)).log().to(x)
    return adversarial.log_mixture(x, centres, shares, DEVIATION**2)


def decoder(seed: int) -> nn.Sequential:
    """The generator's mean image, the same at the start of every way to fit it."""
    return network([2, 64, 64, 2], generator(seed))


class Noisy(nn.Module):
    """The decoder with the noise of a pixel: what is made, from (n, 2 + 2) numbers of N(0, 1)."""

    def __init__(self, mean: nn.Module):
        super().__init__()
        self.mean = mean

    def forward(self, noise: Tensor) -> Tensor:
        """Make (n, 2) points."""
        return self.mean(noise[:, :2]) + DEVIATION * noise[:, 2:]


def rate(step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0."""
    return RATE * 0.5 * (1 + math.cos(math.pi * step / steps))


def descend(model: nn.Module, loss: Loss, steps: int, random: torch.Generator) -> None:
    """Adam against a loss of fresh draws."""
    optimiser = torch.optim.Adam(model.parameters())
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate(step, steps)
        optimiser.zero_grad()
        loss(random).backward()
        optimiser.step()


def by_encoder(seed: int, steps: int, random: torch.Generator) -> nn.Module:
    """A VAE."""
    encoder = DiagonalEncoder(2, [64, 64], 2, generator(100 + seed))
    model = VAE(encoder, decoder(seed), GaussianPixels(FixedVariance(DEVIATION**2)))

    def loss(random):
        noise = standard_normal((1, BATCH, 2), random).float()
        return -model(drawn(random), noise).elbo.mean()

    descend(model, loss, steps, random)
    return model.decoder


def by_likelihood(seed: int, steps: int, random: torch.Generator) -> nn.Module:
    """log p_g of the data by prior draws, without an encoder."""
    made = decoder(seed)

    def loss(random):
        return -log_made(drawn(random), made(standard_normal((DRAWS, 2), random).float())).mean()

    descend(made, loss, steps, random)
    return made


def by_best_discriminator(generator_loss: adversarial.GeneratorLoss) -> Callable:
    """A generator against D* = p / (p + p_g), held still at each step."""

    def fitted(seed, steps, random):
        made = decoder(seed)

        def loss(random):
            with torch.no_grad():
                centres = made(standard_normal((DRAWS, 2), random).float())
            x = Noisy(made)(standard_normal((BATCH, 4), random).float())
            return generator_loss(log_data(x) - log_made(x, centres)).mean()

        descend(made, loss, steps, random)
        return made

    return fitted


def by_game(slower: float, penalty: adversarial.Penalty = adversarial.no_penalty) -> Callable:
    """A game with a network, a round a step; the generator's rate is divided by `slower`."""

    def fitted(seed, steps, random):
        made = Noisy(decoder(seed))
        judge = adversarial.Logit(network([2, 64, 64, 1], generator(200 + seed)))
        game_step = adversarial.make_game_step(made, judge, adversarial.non_saturating, penalty)
        players = adversarial.initial_players(made, judge)
        for step in range(steps):
            rates = adversarial.Rates(rate(step, steps) / slower, rate(step, steps))
            noise = standard_normal((2, BATCH, 4), random).float()
            players = game_step(players, rates, drawn(random), noise).players
        for model, state in zip((made, judge), players, strict=True):
            model.load_state_dict(state.parameters)
        made.mean.judge = (judge,)  # for its reading; a tuple, so that it is no part of the model
        return made.mean

    return fitted


WAYS = {
    "VAE": by_encoder,
    "likelihood": by_likelihood,
    "D*, saturating": by_best_discriminator(adversarial.saturating),
    "D*, non-saturating": by_best_discriminator(adversarial.non_saturating),
    "game, equal rates": by_game(1),
    "game, slow generator": by_game(5),
    "game, R1": by_game(1, adversarial.slope_penalty(10.0)),
}


@torch.no_grad()
def scored(made: nn.Module) -> dict:
    """Exact divergences on the plane, mass near each mode, and the discriminator's reading."""
    centres = made(standard_normal((8000, 2), generator(99)).float()).double()
    on_data = log_data(PLANE.nodes)
    on_made = torch.cat([log_made(x, centres) for x in PLANE.nodes.split(400)])
    found = adversarial.divergences(on_data, on_made, PLANE)
    near = adversarial.mass_near(on_made, CENTRES, REACH * DEVIATION, PLANE)
    scores = {
        "forward": found.forward.item(),
        "reverse": found.reverse.item(),
        "jensen_shannon": found.jensen_shannon.item(),
        "non_saturating": found.non_saturating.item(),
        "modes": int((near > LEAST).sum()),
        "near": near.sum().item(),
        "mass": (PLANE.weights @ on_made.exp()).item(),  # of p_g on the plane: one
    }
    if hasattr(made, "judge"):
        logit = made.judge[0](PLANE.nodes.float()).double()
        value = adversarial.value(on_data, on_made, logit, PLANE)
        scores["read"] = (value.item() + math.log(4)) / 2
    return scores


def points(made: nn.Module) -> list:
    """A few hundred points that were made, for a picture."""
    with torch.no_grad():
        x = Noisy(made)(standard_normal((300, 4), generator(7)).float())
    return [[round(v, 2) for v in row] for row in x.tolist()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS, help="a folder (%(default)s)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stamp = provenance()
    records, pictures = [], {}
    runs = [(seed, options.steps) for seed in range(options.seeds)]
    runs += [(seed, LONGER * options.steps) for seed in range(min(3, options.seeds))]
    for seed, steps in runs:
        for way, fitted in WAYS.items():
            begin = time.process_time()
            made = fitted(seed, steps, generator(1000 + seed))
            seconds = time.process_time() - begin
            records.append({"way": way, "seed": seed, "steps": steps, **scored(made)})
            print(f"{seconds:.0f} s", json.dumps(records[-1]), flush=True)
            pictures.setdefault(way, points(made))  # the first seed's
    settings = {"radius": RADIUS, "deviation": DEVIATION, "steps": options.steps}
    kept = {"provenance": stamp, **settings, "records": records, "points": pictures}
    text = json.dumps(kept, separators=(",", ":")).replace('{"way"', '\n{"way"') + "\n"
    write_whole(options.output / "ring.json", text.encode())
