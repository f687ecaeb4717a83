"""Each task executes or skips the blocks of one backbone."""
