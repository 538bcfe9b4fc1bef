"""The HTTP server: it writes uploads into the spool and reads status files. It keeps no job in memory."""
