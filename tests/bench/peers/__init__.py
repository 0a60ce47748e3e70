"""`make bench-peers`: other programs doing the same work in the same run. They are installed into build/peers."""
