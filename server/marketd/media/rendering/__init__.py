"""Making renditions: what strangers send is opened in child processes only.

judge.py, draw.py and child.py run there and import nothing but Pillow and the standard library, so a child is small and
begins quickly; pool.py is the parent's side.
"""
