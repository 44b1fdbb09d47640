"""The raters' side: tasks, answers, the arena."""
