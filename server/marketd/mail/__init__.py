"""Letters and short messages to people: what they say, how they are rendered, and the ports that carry them out."""
