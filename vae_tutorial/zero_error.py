"""In one dimension the gap of a Gaussian q closes like Cσ², and C is known before training."""
