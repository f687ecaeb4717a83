"""Exports as a server uses them."""
