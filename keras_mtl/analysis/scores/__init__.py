"""Whether sharing helped, by numbers over tasks and seeds."""
