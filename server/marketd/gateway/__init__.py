"""The gateway: one address for browsers, phones and curl, in front of the server. It knows no slice."""
