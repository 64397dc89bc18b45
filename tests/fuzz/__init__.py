"""Fuzzers of everything that comes from outside: `python -m tests.fuzz --help`, and test_fuzz.py in small."""
