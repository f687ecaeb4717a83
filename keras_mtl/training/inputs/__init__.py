"""What `fit` is given, looked at before compiled code sees it."""
