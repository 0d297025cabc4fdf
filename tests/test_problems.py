"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

# transport

# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians

# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
