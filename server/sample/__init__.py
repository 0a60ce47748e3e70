"""A sample of Futian 福田: plausible, not surveyed; the same for the same seed."""
