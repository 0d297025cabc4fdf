"""The machine around the derivation: a command line, runs that survive, and what they write."""
