"""What weighs tasks against each other, one file a method."""
