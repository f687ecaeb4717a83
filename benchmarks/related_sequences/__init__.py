"""What recurrent modular networks gain on sequences that are related at some times."""
