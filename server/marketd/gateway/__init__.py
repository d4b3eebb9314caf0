"""One address for browsers, phones and curl: Envoy in front of the workers, and what is served beside their rpcs."""
