"""The one map of the house: which rooms a chapter opens, and which rooms a room may import.

README's table of chapters, CONTRIBUTING's table of rooms and the contract on imports are written
from here (`make map`), and the tests of the book read it. The engine and the data sets are wings:
they know the rooms of the derivation, and no room of the derivation knows them.
"""

from typing import NamedTuple


class Chapter(NamedTuple):
    """A chapter's own room is its file's name; `also` are the further rooms that it opens."""

    name: str
    line: str  # what the chapter is about, for tables
    also: tuple[str, ...] = ()


CHAPTERS = {  # the stem of the notebook → the chapter
    "01-transport": Chapter(
        "transport", "hidden causes, a map and a little noise make a distribution of images"
    ),
    "02-marginal-likelihood": Chapter(
        "marginal_likelihood",
        "log p(x) by draws from the prior, and by quadrature with its error",
        ("quadrature",),
    ),
    "03-decomposition": Chapter("decomposition", "log p(x) splits around any q(z|x), exactly"),
    "04-bounds": Chapter("bounds", "what the evidence lower bound leaves out, measured"),
    "05-weights": Chapter("weights", "the average of K weights: a tighter bound, and its price"),
    "06-gaussians": Chapter(
        "gaussians", "four maps, the closed-form KL, and every constant", ("likelihoods",)
    ),
    "07-linear": Chapter("linear", "the solved case: what will be learned, known before training"),
    "08-reparameterization": Chapter(
        "reparameterization", "where the gradient stops, and two ways past"
    ),
    "09-training": Chapter("training", "the whole framework on real digits", ("models", "adam")),
    "10-choices": Chapter(
        "choices", "one choice at a time: the noise of a pixel, the weight of the KL, the baselines"
    ),
    "11-evaluation": Chapter(
        "evaluation",
        "a trained model whose log p(x) is known: every estimator against the truth",
    ),
    "12-annealing": Chapter(
        "annealing",
        "log p(x) from below and from above, where no quadrature reaches",
        ("hamiltonian",),
    ),
    "13-rate-distortion": Chapter(
        "rate_distortion", "σ², β and pixel units are one knob, and the likelihood cannot see it"
    ),
    "14-zero-error": Chapter(
        "zero_error",
        "in one dimension the gap of a Gaussian q closes like Cσ², and C is known before training",
    ),
    "15-coding": Chapter(
        "coding", "−ELBO is the length of a file that decodes without loss", ("fixed_point",)
    ),
    "16-conditional": Chapter(
        "conditional", "log p(y|x) of images whose other part is known: exact, beside a regressor"
    ),
    "17-adversarial": Chapter(
        "adversarial",
        "the GAN where every density is known: its game, and what the generator follows",
    ),
    "18-principles": Chapter(
        "principles",
        "likelihood, game and hybrid on the same digits and the same decoder, with exact densities",
    ),
    "19-scaling": Chapter(
        "scaling",
        "the same loop at full speed, on MNIST; runs that survive; published tables",
        ("importance", "processes", "files", "datasets", "engine"),
    ),
    "20-mistakes": Chapter(
        "mistakes",
        "each mistake made on purpose: its price in nats, and the check that sees it",
        ("audit",),
    ),
    "A-limits": Chapter("limits", "what no map can do: atoms, bridges, curves in the plane"),
}

COMMONS = (
    "require",
    "noise",
    "checks",
    "data",
    "plotting",
    "pictures",
    "pretrained",
    "problems",
    "oracle",
)

FLOORS = (  # from the top: a room imports only from the floors below its own
    ("__main__",),
    ("engine", "oracle"),
    ("scaling", "pretrained", "problems", "audit"),
    ("principles", "mistakes"),
    ("rate_distortion", "zero_error", "coding", "conditional", "adversarial"),
    ("evaluation", "training", "importance", "choices"),
    ("models",),
    ("linear",),
    ("decomposition", "bounds", "weights", "likelihoods", "annealing", "limits"),
    ("marginal_likelihood", "transport", "hamiltonian", "datasets"),
    ("gaussians", "reparameterization", "quadrature", "fixed_point"),
    ("data", "pictures"),
    ("plotting", "processes"),
    ("noise", "checks", "adam"),
    ("require", "files"),
)

WINGS = {  # the floors inside a wing
    "engine": (
        ("command_line",),
        ("commands",),
        ("runs",),
        ("auditing",),
        ("folders",),
        ("settings", "compression"),
        ("archive", "checkpoints", "memory", "provenance", "terminal"),
    ),
    "datasets": (("mirrors",), ("idx",)),
    "audit": (
        ("checks", "adapters", "page"),
        ("codes", "loss", "gradients", "pixels", "posterior"),
        ("reading",),
        ("terms",),
        ("subject",),
        ("findings", "guard", "regression"),
    ),
    "oracle": (("recipes", "exact"),),
}
