"""Likelihood, game and hybrid on the same digits and the same decoder, with exact densities."""
