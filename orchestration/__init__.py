"""Dagster definitions, settings and the command line: the only package that knows the environment."""
