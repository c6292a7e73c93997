"""What the patterns of both clients share."""
