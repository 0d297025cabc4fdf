"""Choices of a training run: how the KL is weighed, and what a number is held against."""
