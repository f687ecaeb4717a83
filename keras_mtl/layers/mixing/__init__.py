"""How outputs meet: sums of components and towers, and what heads read of them."""
