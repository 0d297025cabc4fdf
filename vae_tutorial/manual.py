"""What `--help` says of the whole and of each command."""

ABOUT = """\
Train, evaluate and sample the variational autoencoder of the book, with the very functions that
its chapters explain. A quantity is in nats an image unless it says otherwise."""

TRAIN = """\
Train a VAE. The run lives in one folder: the same command goes on where it was stopped, and ends
with the same bits as a run that was never stopped. After each epoch the folder holds

  config.json          the settings, and where the run was made
  checkpoint.pt        all that the next epoch depends on
  metrics.jsonl        one line an epoch: elbo = log_likelihood - kl, seconds, validation terms
  weights.safetensors  the parameters alone
  reconstructions.png  at the end: held-out images, their copies, and images made up

Ctrl-C stops after the epoch that runs; twice, at once, and the last checkpoint remains. The step is
compiled, ten seconds at the first start; TORCHDYNAMO_DISABLE=1 does without. On a machine that is
busy with other work, OMP_NUM_THREADS=1 is often faster than more."""

EVALUATE = """\
Print one JSON object for the held-out images of a run: elbo, log_likelihood by importance sampling
with its standard error over images, active units, bits a dimension, and provenance."""

SAMPLE = "Draw z from the prior and save the mean images f(z), ten a row."

DOWNLOAD = """\
Fetch MNIST or Fashion-MNIST into the folder VAE_TUTORIAL_DATA, or else ~/.cache/vae-tutorial. Every
file is checked by its SHA-256 before it is kept."""
