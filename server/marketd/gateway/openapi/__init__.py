"""OpenAPI 3.1 of the contract: what HTTP clients may call, made from the descriptors and from nothing else.

`document.py` puts it together, `operations.py` an rpc's operations, `schemas.py` the messages, `values.py` and
`rules.py` a single field, `refusals.py` what a call may be answered instead, `comments.py` the words.
"""
