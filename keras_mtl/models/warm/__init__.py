"""Networks that begin with what another one has learned."""
