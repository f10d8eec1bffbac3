"""The synthetic county: a seeded generator of institutions' files, with what is planted in them recorded."""
