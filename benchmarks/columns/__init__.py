"""What columns of a table cost before a network reads them."""
