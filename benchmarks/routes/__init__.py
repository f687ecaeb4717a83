"""Learned routes against drawn ones, on images and in a bandit."""
