"""A photo as browsers send it to `/api/upload`."""

from __future__ import annotations

import http.client

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gWx"
"""As long as those that clients send: Python looks five times as long for one of a letter."""
JOINED = 1 << 20
"""Up to so many bytes go out at once, as clients do it; of more, the client's own copy would be measured too."""


def post(connection: http.client.HTTPConnection, photo: bytes, **fields: str) -> None:
    """Send one photo, and the fields before it, over the connection. Raises RuntimeError where it is refused."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n\r\n')
    head, tail = "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    connection.putrequest("POST", "/api/upload")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + len(photo) + len(tail)))
    if len(photo) <= JOINED:
        connection.endheaders(head + photo + tail)
    else:
        connection.endheaders(head)
        connection.send(photo)
        connection.send(tail)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status != 201:
        raise RuntimeError(f"the upload was refused: {told!r}")
