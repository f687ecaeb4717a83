"""What recurrent modular networks read, and when."""
