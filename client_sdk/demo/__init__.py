"""The demo: real devices against a real server process, one scene for each thing worth seeing."""
