"""Following all of one's orders at once: one reader a worker (hub.py), who tells each watcher (watch.py) what is the
watcher's, and places to go on from that lose nothing (places.py).
"""
