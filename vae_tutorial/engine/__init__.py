"""The machine around the derivation: a command line, runs that survive, and what they write."""

SPINS = "1000"  # turns that a thread waits awake for the others, a few microseconds; then it sleeps
