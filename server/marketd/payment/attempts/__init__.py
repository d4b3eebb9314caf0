"""Attempts: taking the money of a payment, written down before the provider is asked, settled once."""
