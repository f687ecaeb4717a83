"""What a recurrent modular extension gains on intensive care stays."""
