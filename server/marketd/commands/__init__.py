"""The commands of `marketd`, one module each, imported only when their command runs (`serve` must start fast)."""
