"""Locust personas and scenarios that walk the grid in numbers."""
