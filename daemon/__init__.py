"""The supervisor, its workers and the engines they run.

Nothing but this text lives here: PyPI's `python-daemon` installs a package of the same name, and
`daemon.cli.package.ours` compares the two at start.
"""
