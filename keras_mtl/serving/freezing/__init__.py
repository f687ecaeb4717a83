"""From a network that decides to one that has decided."""
