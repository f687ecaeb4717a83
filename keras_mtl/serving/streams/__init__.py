"""From networks over whole sequences to networks that go on where they stopped."""
