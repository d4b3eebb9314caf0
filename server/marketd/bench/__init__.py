"""The benchmark: the real server beside bare floors that do the same work, driven in turn with the same load.

It stands above the whole house and measures it from outside, over sockets: only the floors speak SQL of their own
(statements.py). Nothing here is imported by the server.
"""
