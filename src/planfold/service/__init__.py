"""The HTTP service: plans for programs and browsers. It needs the extra ``server``.

``routes.py`` is the table of routes; the OpenAPI document, the authorisation tests and the client
are made from it. ``credentials.py`` and ``client.py`` need no web framework.
"""
