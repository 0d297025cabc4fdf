"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

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
