"""What is charged: named terms of the loss."""
