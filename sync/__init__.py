"""How copies agree: clocks, changes, merge, scopes, cursors; push and pull as use cases over storage protocols.

No I/O and no HTTP here: the server and the device SDK bring both.
"""
