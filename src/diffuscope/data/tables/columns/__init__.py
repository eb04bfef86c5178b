"""What a column can be (numbers, integers, times, categories) and how its values become coordinates."""
