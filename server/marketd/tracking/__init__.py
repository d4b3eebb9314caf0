"""Tracking: couriers report where they are, and those who wait for a delivery see it live.

uplink/: judge.py judges every position, position_writer.py commits them in batches, acks.py keeps what is acknowledged.
watch/: hub.py hands the newest position and every event of a delivery to its watchers. trip/: what positions mean for
the deliveries under way.
"""
