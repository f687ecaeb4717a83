"""Routers: weights of components that depend on the task alone."""
