"""Gates: weights of components that depend on the example, or on the step of a sequence."""
