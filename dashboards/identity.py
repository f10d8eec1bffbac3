"""Ids derived from names: the same asset has the same id on every machine, so an import overwrites instead of adding."""

import uuid

_ROOT = uuid.UUID("7a6c1e52-3f0d-5c1b-9d44-0d5f6f2b8e31")     # fixed once for this product


def asset_id(kind: str, slug: str, locale: str | None = None) -> str:
    """The id of an asset; a locale has its own, a database (shared by both languages) none."""
    return str(uuid.uuid5(_ROOT, "/".join(filter(None, (kind, slug, locale)))))
