"""Measurements that are too long for the tests: `make benchmark` (see README.md)."""
