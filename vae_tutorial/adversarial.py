"""The GAN where every density is known: its game, and what the generator follows."""
