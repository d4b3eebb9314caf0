"""Tracking: couriers report where they are, and those who wait for a delivery see it live.

uplink/: judge.py and density.py say which positions are stored, track.py where the live marker goes, position_writer.py
commits in batches, acks.py keeps what is acknowledged.
watch/: hub.py hands the newest position and every event of a delivery to its watchers. trip/: what positions mean for
the deliveries under way.
"""
