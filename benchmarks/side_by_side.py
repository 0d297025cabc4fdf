"""What the live figure side-by-side shows after its training, from five seeds: side_by_side.json.

The page's own scripts run in V8 alone, so these are the numbers that a reader sees who presses
Start with the same settings and waits. All runs are on the ring of eight. Names on the command line
choose among STAGES; what is kept of the others stays.
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
SEEDS = (1, 2, 3, 4, 5)
USUAL = {"rate": 10**-2.5, "judgements": 1, "deviation": 0.15, "loss": "nonSaturating", "mix": 0}
PATIENT = USUAL | {"rate": 10**-3.0, "judgements": 5}
STAGES = {  # one after the other: settings, and the steps that are taken with them
    "usual": [{"settings": USUAL, "steps": 1500}],
    "patient": [{"settings": PATIENT, "steps": 1500}],
    "hybrid": [{"settings": PATIENT | {"mix": 3}, "steps": 1500}],
    "long": [
        {"settings": PATIENT, "steps": 6000},
        {"settings": PATIENT | {"rate": 10**-4.0}, "steps": 1500},
    ],
}
RUN = """({ stages, seed }) => {
  const { createRun, dissect, samples, PRESETS } = VAE_LIVE.sideBySide;
  const run = createRun(PRESETS.ring, seed);
  for (const { settings, steps } of stages) {
    for (let step = 0; step < steps; step += 1) run.round(settings);
  }
  const { settings } = stages.at(-1);
  const { gan, vae } = VAE_LIVE.mixtures.finish(dissect(run, settings));
  const short = (points) => points.map(([x, y]) => `${x.toFixed(3)} ${y.toFixed(3)}`).join(", ");
  const clouds = { gan: short(samples(run.generator, settings.deviation)),
    vae: short(samples(run.model.decoder, settings.deviation)) };
  return { gan, vae, clouds };
}"""


def one_run(name: str, seed: int) -> dict:
    """What is known of both after a run; of the first seed the clouds of samples as well."""
    found = computed("side-by-side").evaluate(RUN, {"stages": STAGES[name], "seed": seed})
    clouds = found.pop("clouds")
    shown = {key: f"{each['hits']} hit, KL {each['forward']:.2f}" for key, each in found.items()}
    print(name, seed, shown, flush=True)
    return {"seed": seed, **found} | ({"clouds": clouds} if seed == SEEDS[0] else {})


def main() -> None:
    """Run what is asked for from all seeds, and keep it beside the rest."""
    path = RESULTS / "side_by_side.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {"runs": {}, "made": {}}
    made = provenance()  # of what runs, before anything can change
    kept["points"], kept["hit"] = computed("side-by-side").evaluate(
        "[VAE_LIVE.sideBySide.PRESETS.ring, VAE_LIVE.sideBySide.HIT]"
    )
    for name in sys.argv[1:] or STAGES:
        kept["runs"][name] = [one_run(name, seed) for seed in SEEDS]
        kept["made"][name] = {"stages": STAGES[name], **made}
    write_whole(path, json.dumps(kept, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
