"""The Dagster assets of the way of the data, one module a stage, each built by a function over a `Site`."""
