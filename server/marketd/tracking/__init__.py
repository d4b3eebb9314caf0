"""Tracking: couriers report where they are, and those who wait for a delivery see it live.

Up: judging.py judges every position, writer.py commits them in batches and uplinks.py acknowledges what is committed.
Down: hub.py hands the newest position and every event of a delivery to its watchers.
"""
