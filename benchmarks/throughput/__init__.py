"""Examples per second in training, beside other libraries."""
