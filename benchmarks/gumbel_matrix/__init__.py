"""The experiments of the paper that Gumbel-Matrix comes from."""
