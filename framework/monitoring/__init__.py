"""What a server answered, and how good it turned out."""
