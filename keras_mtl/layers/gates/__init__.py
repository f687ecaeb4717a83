"""Who decides for an example: weights of components that depend on what they read."""
