"""Servers, proxies and contract suites that planfold's own tests, demo and benchmarks use.

The wheel does not contain them.
"""
