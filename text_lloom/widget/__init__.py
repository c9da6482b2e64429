"""What is shown in a notebook or a browser."""
