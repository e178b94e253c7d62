"""The answers that commands print with ``--json`` as models: what each key is, and its range.

Commands write their answers themselves; the tests hold every answer to the schema of its model.
"""
