"""The gRPC edge: one chain of links around every method, and the server it runs in. It knows no domain slice."""
