"""Train one decoder by likelihood, game and hybrid, from five seeds, and measure p_g exactly.

The data are the 1,500 training digits with noise N(0, σ²); the decoder is that of the kept weights,
2-64-64-64, and its images get the same noise. σ is that of the kept model. Each seed trains its VAE
by the recipe of the kept weights, with σ held; what starts "from the VAE" starts from its decoder.
Then the discriminator is the best one, p/(p + p_g), by quadrature, or a network.

Each job leaves one record and one file of weights in a folder and is not done twice:

    OMP_NUM_THREADS=1 python benchmarks/principles.py FOLDER [JOB …]

When all are there, `book/results/principles.json` is written, and the decoders of seed 0 go to
`vae_tutorial/trained/principles.safetensors`.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vae_tutorial import principles
from vae_tutorial.adversarial import (
    GeneratorLoss,
    Logit,
    Penalty,
    Rates,
    initial_players,
    make_game_step,
    no_penalty,
    non_saturating,
    slope_penalty,
)
from vae_tutorial.data import load_digits, minibatches
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.pretrained import two_latents, untrained
from vae_tutorial.principles import PerfectGame, smoothed, with_draws
from vae_tutorial.training import fit, initial_state, make_step, run_epoch

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "book" / "results" / "principles.json"
WEIGHTS = ROOT / "vae_tutorial" / "trained" / "principles.safetensors"
SEEDS = range(5)
DIGITS = load_digits(torch.float64)
VARIANCE = float(two_latents().likelihood.variance(torch.zeros(()).double()).exp())
BATCH = 100
EPOCHS, RATE = 40, 0.002  # 600 steps against the best discriminator
LONG = 160  # epochs of one longer game, to see what was not over; with a network, 4 · ROUNDS
STILL = 10  # epochs of the saturating game, which does not move
ROUNDS = 120  # epochs, 1,800 rounds, against a network
WIDTH = 128  # of the network's two hidden layers
DRAWS = 2000  # of p, and of p_g, behind each divergence
NODES = 101  # on each axis, of the grid behind each density
FEWER = 81  # on each axis, of the grid that tells its error
WIDER = (1.0, 2.0, 4.0, 8.0)  # times σ²: the pixel variances among which a model chooses
PERFECT = {  # name → (objective, whether it starts from the seed's VAE)
    "likelihood from VAE": (principles.likelihood, True),
    "hybrid 1 from VAE": (principles.hybrid(1.0), True),
    "hybrid 5 from VAE": (principles.hybrid(5.0), True),
    "game from VAE": (principles.game, True),
    "likelihood from scratch": (principles.likelihood, False),
    "game from scratch": (principles.game, False),
    "saturating from scratch": (principles.saturating_game, False),
}


SHOWN = (  # on the page
    "VAE",
    "likelihood from VAE",
    "hybrid 5 from VAE",
    "game from VAE",
    "game from scratch",
    "network from scratch",
)


class Recipe(NamedTuple):
    """One way to play against a network."""

    rates: Rates
    penalty: Penalty = no_penalty
    deviation: float = math.sqrt(VARIANCE)  # of the noise on both sides, while they play
    loss: GeneratorLoss = non_saturating


EQUAL, FASTER, FASTEST = Rates(0.001, 0.001), Rates(0.0003, 0.003), Rates(0.0001, 0.003)
TRIALS = {
    "plain, 0.001": Recipe(EQUAL),
    "plain, 0.0002": Recipe(Rates(0.0002, 0.0002)),
    "noise 0.3": Recipe(EQUAL, deviation=0.3),
    "R1 0.1": Recipe(EQUAL, slope_penalty(0.1)),
    "R1 1": Recipe(EQUAL, slope_penalty(1.0)),
    "D 10 times faster": Recipe(FASTER),
    "the same, noise 0.3": Recipe(FASTER, deviation=0.3),
    "the same, R1 1": Recipe(FASTER, slope_penalty(1.0)),
    "the same, R1 10": Recipe(FASTER, slope_penalty(10.0)),
    "D 30 times faster": Recipe(FASTEST),
}


class NoisyImages(nn.Module):
    """f(z) and its noise from one draw (n, 2 + 64): what a network is shown."""

    def __init__(self, decoder: nn.Module, deviation: float):
        super().__init__()
        self.decoder, self.deviation = decoder, deviation

    def forward(self, noise: Tensor) -> Tensor:
        return self.decoder(noise[:, :2]) + self.deviation * noise[:, 2:]


def mean_of(history: list[Tensor]) -> list[list[float]]:
    """Means over each tenth of a run: (10, terms)."""
    return [part.mean(0).tolist() for part in torch.stack(history).tensor_split(10)]


def vae(seed: int) -> tuple[nn.Module, list]:
    """The recipe of the kept weights from another seed, with σ held."""
    model = untrained(seed)
    model.likelihood = GaussianPixels(FixedVariance(VARIANCE))
    settings: dict[str, Any] = {"epochs": 200, "batch_size": 100, "learning_rate": 0.003}
    fitted = fit(model, DIGITS.train, generator=generator(seed), **settings)
    return fitted.model.decoder, mean_of([torch.tensor([each.elbo]) for each in fitted.history])


def against_the_best(
    decoder: nn.Module, objective: principles.Objective, seed: int, epochs: int
) -> tuple[nn.Module, list]:
    """Steps against the best discriminator; the history is of log p_g and of the logit."""
    model, draws = PerfectGame(decoder, DIGITS.train, VARIANCE), generator(100 + seed)
    step, state, history = make_step(model, objective), initial_state(model), []
    for _ in range(epochs):
        pairs = with_draws(minibatches(DIGITS.train, BATCH, draws), draws)
        state, means = run_epoch(step, state, pairs, RATE)
        history.append(torch.stack([term.mean() for term in means]))
    model.load_state_dict({**model.state_dict(), **state.parameters})
    return model.decoder, mean_of(history)


def against_a_network(
    decoder: nn.Module, recipe: Recipe, seed: int, epochs: int
) -> tuple[nn.Module, list]:
    """Rounds of two networks; the history is of their losses."""
    draws, history = generator(200 + seed), []
    maker = NoisyImages(decoder, recipe.deviation)
    judge = Logit(network([64, WIDTH, WIDTH, 1], generator(300 + seed))).double()
    step = make_game_step(maker, judge, recipe.loss, recipe.penalty)
    players = initial_players(maker, judge)
    for _ in range(epochs):
        for batch in minibatches(DIGITS.train, BATCH, draws):
            data = batch + recipe.deviation * standard_normal((BATCH, 64), draws)
            noise = standard_normal((2, BATCH, 66), draws)
            players, *losses = step(players, recipe.rates, data, noise)
            history.append(torch.stack(losses))
    maker.load_state_dict(players.generator.parameters)
    return maker.decoder, mean_of(history)


def shown(decoder: nn.Module, seed: int = 5) -> tuple[Tensor, Tensor]:
    """As many noisy digits as images of p_g: (DRAWS, 64) each."""
    draws, deviation = generator(seed), math.sqrt(VARIANCE)
    rows = torch.randint(len(DIGITS.train), (DRAWS,), generator=draws)
    real = DIGITS.train[rows] + deviation * standard_normal((DRAWS, 64), draws)
    made = decoder(standard_normal((DRAWS, 2), draws))
    return real, made + deviation * standard_normal((DRAWS, 64), draws)


@torch.no_grad()
def measures(decoder: nn.Module) -> dict:
    """All that the table of the page prints of a decoder."""
    p, (real, made) = smoothed(DIGITS.train, VARIANCE), shown(decoder)
    fine, coarse = (
        principles.generated(decoder, principles.plane(nodes), VARIANCE) for nodes in (NODES, FEWER)
    )
    found = principles.drawn_divergences(p, fine, real, made)
    taken = principles.shares_of_images(p, made)
    shares = torch.zeros(10).double().index_add(0, DIGITS.train_labels, taken)
    right = [
        (principles.log_density(p, x) > principles.log_density(fine, x)).double().mean()
        for x in (real, made)
    ]
    # The pixel variance is chosen on training digits, and reported on test digits.
    scores = [
        float(principles.log_density(fine._replace(variance=VARIANCE * wider), part).mean())
        for wider in WIDER
        for part in (DIGITS.train[:300], DIGITS.test)
    ]
    best = max(range(len(WIDER)), key=lambda place: scores[2 * place])
    some = made[:500]
    change = principles.log_density(fine, some) - principles.log_density(coarse, some)
    return {
        "test_log_p": scores[2 * WIDER.index(1.0) + 1],
        "best_wider": WIDER[best],
        "best_test_log_p": scores[2 * best + 1],
        "forward": [float(each) for each in found.forward],
        "reverse": [float(each) for each in found.reverse],
        "jensen_shannon": [float(each) for each in found.jensen_shannon],
        "effective_images": float(principles.effective_count(taken)),
        "class_shares": shares.tolist(),
        "discriminator_right": float(0.5 * (right[0] + 1 - right[1])),
        "grid_change": float(change.mean().abs()),
    }


def finished(folder: Path, job: str, seed: int, train: Callable[[], tuple]) -> dict:
    """Train, measure, and leave the weights."""
    began = time.process_time()
    decoder, history = train()
    seconds = time.process_time() - began
    tensors = {name: value.detach().clone() for name, value in decoder.state_dict().items()}
    write_whole(folder / f"{job}.safetensors", save(tensors))
    record = {"seed": seed, "cpu_seconds": round(seconds, 1), "history": history}
    return {**record, **measures(decoder.requires_grad_(False))}


def filled(folder: Path, job: str) -> nn.Module:
    decoder = untrained().decoder
    decoder.load_state_dict(load_file(folder / f"{job}.safetensors"))
    return decoder


def jobs(folder: Path) -> dict[str, Callable[[], dict]]:
    """Each job's name, in order, and how it is done."""
    found: dict[str, Callable[[], dict]] = {}

    def add(job: str, seed: int, train: Callable[[], tuple]) -> None:
        found[job] = lambda: finished(folder, job, seed, train)

    def start(seed: int, warm: bool) -> nn.Module:
        return filled(folder, f"VAE, seed {seed}") if warm else untrained(seed).decoder

    for seed in SEEDS:
        add(f"VAE, seed {seed}", seed, lambda s=seed: vae(s))
        for name, (objective, warm) in PERFECT.items():
            epochs = STILL if objective is principles.saturating_game else EPOCHS
            add(
                f"{name}, seed {seed}",
                seed,
                lambda s=seed, o=objective, w=warm, e=epochs: against_the_best(
                    start(s, w), o, s, e
                ),
            )
    for name, recipe in TRIALS.items():
        add(
            f"trial {name}",
            0,
            lambda r=recipe: against_a_network(start(0, False), r, 0, ROUNDS),
        )
    for seed in SEEDS:
        for warm, words in ((False, "from scratch"), (True, "from VAE")):
            add(
                f"network {words}, seed {seed}",
                seed,
                lambda s=seed, w=warm: against_a_network(
                    start(s, w), TRIALS[chosen(folder)], s, ROUNDS
                ),
            )
    add(
        "long network from scratch",
        0,
        lambda: against_a_network(start(0, False), TRIALS[chosen(folder)], 0, 4 * ROUNDS),
    )
    for name in ("game from VAE",):
        objective, warm = PERFECT[name]
        add(
            f"long {name}",
            0,
            lambda o=objective, w=warm: against_the_best(start(0, w), o, 0, LONG),
        )
    return found


def record_of(folder: Path, job: str) -> dict:
    return json.loads((folder / f"{job}.json").read_text("utf-8"))


def chosen(folder: Path) -> str:
    """The trial with the smallest exact KL(p_g ‖ p); by JS, which is full, all are alike."""
    found = {name: record_of(folder, f"trial {name}")["reverse"][0] for name in TRIALS}
    return min(found, key=lambda name: found[name])


def gathered(folder: Path) -> dict:
    """The contents of the results' file, from the files of the jobs."""
    runs: dict[str, list[dict]] = {}
    for job in jobs(folder):
        if ", seed " in job:
            runs.setdefault(job.split(", seed ")[0], []).append(record_of(folder, job))
    settings = {
        "variance": VARIANCE,
        "batch": BATCH,
        "epochs": EPOCHS,
        "saturating_epochs": STILL,
        "learning_rate": RATE,
        "long_epochs": LONG,
        "network_epochs": ROUNDS,
        "network_width": WIDTH,
        "draws": DRAWS,
        "nodes": NODES,
    }
    return {
        "settings": settings,
        "runs": runs,
        "trials": {name: record_of(folder, f"trial {name}") for name in TRIALS},
        "chosen": chosen(folder),
        "long": {job[5:]: record_of(folder, job) for job in jobs(folder) if job[:5] == "long "},
        "provenance": provenance(),
    }


def kept_weights(folder: Path) -> bytes:
    """The decoders that the page shows, of seed 0, in one file, float32."""
    tensors = {}
    for name in SHOWN:
        for part, value in load_file(folder / f"{name}, seed 0.safetensors").items():
            tensors[f"{name}.{part}"] = value.float()
    return save(tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where each job leaves its record")
    parser.add_argument("job", nargs="*", help="the jobs to do; all, if none is named")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tasks = jobs(options.folder)
    for name in options.job or tasks:
        path = options.folder / f"{name}.json"
        if not path.exists():
            write_whole(path, json.dumps(tasks[name]()).encode())
            record = record_of(options.folder, name)
            print(name, {key: record[key] for key in record if key != "history"}, flush=True)
    if all((options.folder / f"{name}.json").exists() for name in tasks):
        contents = gathered(options.folder)
        write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())
        write_whole(WEIGHTS, kept_weights(options.folder))


if __name__ == "__main__":
    main()
