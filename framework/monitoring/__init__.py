"""The answers of servers, and how good they turned out."""
