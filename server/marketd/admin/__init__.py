"""What those who run the marketplace look at; it reads what the slices below keep."""
