"""What looks on while a network trains, or steps in between epochs."""
