"""One suite for every backend: what a protocol promises, each must keep."""
