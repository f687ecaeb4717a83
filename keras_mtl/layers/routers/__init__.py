"""Who decides for a task: weights of components, the same for all examples."""
