"""The API in OpenAPI 3.1, written once, here, a file for each subject as the server has it.

A test holds it against the routes, both ways, and another has schemathesis hold the running server against it.
"""
