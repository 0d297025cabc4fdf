"""`python -m vae_tutorial`: read the command line, run one command, and never show a traceback."""

import sys

import torch

from vae_tutorial.engine import commands
from vae_tutorial.engine.command_line import parser
from vae_tutorial.engine.terminal import say

UNUSABLE = 2  # the exit status of a bad option or a bad file
FAILED = 1
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0, or 1 where it failed, 2 where it was asked wrongly, 130 if stopped."""
    options = parser().parse_args(arguments)
    torch.set_flush_denormal(True)  # tiny numbers cost a hundred times what zeros do
    try:
        return getattr(commands, options.command)(options)
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        return refuse(error, UNUSABLE)
    except (OSError, FloatingPointError) as error:
        return refuse(error, FAILED)
    except torch.OutOfMemoryError:
        return refuse("out of GPU memory: try a smaller --batch-size", FAILED)
    except KeyboardInterrupt:
        return refuse("stopped; the last checkpoint is kept", INTERRUPTED)


def refuse(reason: object, status: int) -> int:
    """Say in one line why; the status is passed on."""
    say(f"python -m vae_tutorial: {' '.join(str(reason).split())}")
    return status


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.exit(status)
