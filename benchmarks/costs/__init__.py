"""What training and serving cost: times, ratios and bytes, beside networks written by hand."""
