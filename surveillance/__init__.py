"""Early-warning detectors: counts in as arrays, signals out as arrays. Pure numpy and scipy, no I/O."""
