"""The demo: the whole story through the typed client (`marketd demo`), and live demo data for `marketd serve --demo`.

It stands outside the server: everything here goes over the network as any client would.
"""
