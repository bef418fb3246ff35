"""A harness that asks what a transformer can compute, and at what cost."""
