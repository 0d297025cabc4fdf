"""One knob, and a curve: tests of `rate_distortion`."""
