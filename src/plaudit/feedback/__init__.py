"""The web application where people judge and leads see how well they agree. Never imports torch."""
