"""The project file: what is asked about which items, and how often."""
