"""What networks learned that allocate components to tasks."""
