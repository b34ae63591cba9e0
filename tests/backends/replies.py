"""What the tests of the client have a server say, and what they look for in errors."""

import base64
import json
import traceback

API_KEY = "sk_test_5ecretApiKey"
DATA_KEY = base64.b64encode(bytes(range(32))).decode()
DECRYPTED = {"id": "key_1", "data_key": DATA_KEY}


def say(handler, answer):
    """Have ``handler`` answer."""
    body = json.dumps(answer).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def connections(server):
    return len({asked.connection for asked in server.asked})


def shown_by(error):
    """Return the texts of ``error`` and all it was raised from, and the reprs of their frames' locals."""
    shown = set()
    while error is not None:
        shown.add(str(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                shown.update(repr(value) for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__
    return shown
