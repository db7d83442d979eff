"""How the arguments at each kind of place are read: a file a calling convention.

A file has one function, ``read(hook, client, args, kwargs) -> Request | None``: the request on its
way out, or None for a call that is none of our business. It never consumes an iterator that the SDK
would not find again, and changes nothing but where it says so.
"""
