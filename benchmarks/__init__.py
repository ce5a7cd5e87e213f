"""Benchmarks: one command, every contender in the same run, with the limit and the errors beside the times."""
