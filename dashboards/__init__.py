"""Superset as code: what the pages show, in which languages, and who sees which rows; its own pinned environment."""
