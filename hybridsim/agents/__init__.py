"""What agents and editors ask: the commands as tools of a Model Context Protocol server.

A tool is a command line with ``--json`` in a process of its own, so that what it answers is what
the command answers, nothing it prints disturbs the protocol, and what takes too long is ended.
"""
