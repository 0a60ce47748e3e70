"""Bytes that prove something: uploads, blobs, place checks, the evidence ledger."""
