"""The device's store: one SQLite file, one thread, each operation one function and one transaction."""
