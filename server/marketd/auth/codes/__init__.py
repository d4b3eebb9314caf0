"""Codes and secrets that people present: verification, password resets, second factors, and how often one may fail."""
