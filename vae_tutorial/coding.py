"""−ELBO is the length of a file that decodes without loss."""
