"""Snapshots of large areas: made in the background, kept as files, streamed to devices."""
