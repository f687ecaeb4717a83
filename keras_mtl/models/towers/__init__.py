"""Each task has a tower, and towers read each other."""
