"""The standard record types. Every type declared in a module of this package is found and served by itself."""
