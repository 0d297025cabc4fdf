"""What the live figure side-by-side shows after its training, from five seeds: side_by_side.json.

The page's own scripts run in V8 alone, so these are the numbers that a reader sees who presses
Start with the same settings and waits. Each run is of 1,500 steps on the ring of eight.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tools"))
sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))
from scripts import computed

from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

RESULTS = Path(__file__).resolve().parents[1] / "book" / "results"
SEEDS, STEPS = (1, 2, 3, 4, 5), 1500
USUAL = {"rate": 10**-2.5, "judgements": 1, "deviation": 0.15, "loss": "nonSaturating", "mix": 0}
SETTINGS = {
    "usual": USUAL,
    "patient": USUAL | {"rate": 10**-3.0, "judgements": 5},
    "hybrid": USUAL | {"rate": 10**-3.0, "judgements": 5, "mix": 3},
}
RUN = """({ settings, seed, steps }) => {
  const { createRun, dissect, samples, PRESETS } = VAE_LIVE.sideBySide;
  const run = createRun(PRESETS.ring, seed);
  for (let step = 0; step < steps; step += 1) run.round(settings);
  const { gan, vae } = VAE_LIVE.mixtures.finish(dissect(run, settings));
  const short = (points) => points.map(([x, y]) => `${x.toFixed(3)} ${y.toFixed(3)}`).join(", ");
  const clouds = { gan: short(samples(run.generator, settings.deviation)),
    vae: short(samples(run.model.decoder, settings.deviation)) };
  return { gan, vae, clouds };
}"""


def one_run(name: str, seed: int) -> dict:
    """What is known of both after a run; of the first seed the clouds of samples as well."""
    asked = {"settings": SETTINGS[name], "seed": seed, "steps": STEPS}
    found = computed("side-by-side").evaluate(RUN, asked)
    clouds = found.pop("clouds")
    shown = {key: f"{each['hits']} hit, KL {each['forward']:.2f}" for key, each in found.items()}
    print(name, seed, shown, flush=True)
    return {"seed": seed, **found} | ({"clouds": clouds} if seed == SEEDS[0] else {})


def main() -> None:
    """Run all settings from all seeds."""
    made = provenance()  # of what runs, before anything can change
    runs = {name: [one_run(name, seed) for seed in SEEDS] for name in SETTINGS}
    points, hit = computed("side-by-side").evaluate(
        "[VAE_LIVE.sideBySide.PRESETS.ring, VAE_LIVE.sideBySide.HIT]"
    )
    shared = {"settings": SETTINGS, "steps": STEPS, "points": points, "hit": hit}
    kept = {**shared, "runs": runs, **made}
    path = RESULTS / "side_by_side.json"
    write_whole(path, json.dumps(kept, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
