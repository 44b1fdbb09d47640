"""Commands beside those of stages and recipes; each imports what it needs when it is called."""
