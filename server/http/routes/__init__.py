"""The server's routes, a module a subject. Handlers translate between HTTP and use cases, nothing more."""
