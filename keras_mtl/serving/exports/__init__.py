"""Networks as files that servers and devices read."""
