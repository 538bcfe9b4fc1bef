"""The model in other formats, made on request by `daemon.export`."""
