"""`python -m vae_tutorial`: read the command line, run one command, and never show a traceback."""

import os
import sys

from vae_tutorial.engine import SPINS

if __name__ == "__main__" and "OMP_WAIT_POLICY" not in os.environ:  # before PyTorch is loaded
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)

import torch

from vae_tutorial.engine.command_line import parser
from vae_tutorial.engine.terminal import INTERRUPTED, say, stand_in_for_closed_streams

FAILED = 1
UNUSABLE = 2  # the exit status of a bad option or a bad file
FULL = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0, or 1 where it failed, 2 where it was asked wrongly, 130 if stopped."""
    options = parser().parse_args(arguments)
    torch.set_flush_denormal(True)  # tiny numbers cost a hundred times what zeros do
    try:
        return options.call(options)
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        return refuse(error, UNUSABLE)
    except (OSError, FloatingPointError) as error:
        return refuse(error, FAILED)
    except (MemoryError, RuntimeError) as error:  # PyTorch has its own kinds for GPUs alone
        if not isinstance(error, MemoryError) and not any(w in str(error).lower() for w in FULL):
            raise
        return refuse("out of memory: try a smaller network, or a smaller --batch-size", FAILED)
    except KeyboardInterrupt as stop:
        return refuse(str(stop) or "stopped", INTERRUPTED)


def refuse(reason: object, status: int) -> int:
    """Say in one line why; the status is passed on."""
    say(f"python -m vae_tutorial: {' '.join(str(reason).split())}")
    return status


if __name__ == "__main__":
    stand_in_for_closed_streams()
    sys.exit(main())
