"""Pictures as the messages of other slices carry them."""
