"""A seeded, deterministic simulation of devices, network, servers and their database (docs/simulation.md).

Only time, network, disks' fate and the database are simulated; the device, push and pull are the real ones.
"""
