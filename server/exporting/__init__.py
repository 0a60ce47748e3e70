"""Records into files that other programs read, and that an import takes back (docs/importing.md)."""
