"""Photos and videos that have arrived are checked: where pictures were used before, and the record of the verdict."""
