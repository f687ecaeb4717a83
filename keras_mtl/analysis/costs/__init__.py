"""What tasks run, and what it costs."""
