"""Images, with classes."""
