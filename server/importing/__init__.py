"""Files of other systems into records: mapping, reading, converting, placing, loading (docs/importing.md)."""
