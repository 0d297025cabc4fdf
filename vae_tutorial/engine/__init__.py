"""The machine around the derivation: a command line, runs that survive, and what they write.

On a busy machine a thread that waits awake keeps a core from the very thread that it waits for, and
a step takes many times as long: chapter 19 has a table, `python benchmarks/run.py waiting --load 2`
makes it. The command line lets threads fall asleep after SPINS turns, unless OMP_WAIT_POLICY or
GOMP_SPINCOUNT is set.
"""

SPINS = "1000"  # turns awake: quiet machines lose nothing by them, and busy ones little
