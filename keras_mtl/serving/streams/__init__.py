"""Streaming: networks that go on where they stopped, from networks over whole sequences."""
