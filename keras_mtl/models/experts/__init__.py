"""Each task weighs experts anew for every example."""
