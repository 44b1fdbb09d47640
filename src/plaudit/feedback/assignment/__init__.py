"""What a rater is given next, and what becomes of it."""
