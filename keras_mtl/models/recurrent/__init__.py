"""Networks for sequences, whose tasks share LSTMs."""
