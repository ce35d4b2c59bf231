"""A server of OpenAI's protocol on this machine, which behaves as a test tells it to."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Asked:
    """One request as it came."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body

    @property
    def said(self):
        """Say the last message, or the plain prompt."""
        if "messages" in self.body:
            return self.body["messages"][-1]["content"]
        return self.body["prompt"]


def chat(text, *, finish_reason="stop", model="tiny-1", fingerprint="fp_a", **more):
    """Answer as a chat server does."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text},
              "finish_reason": finish_reason}  # fmt: skip
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return {"choices": [choice], "usage": usage, "model": model,
            "system_fingerprint": fingerprint} | more  # fmt: skip


def refused(status, message, headers=None):
    """Answer with a status and a message."""
    return status, {"error": {"message": message}}, headers or {}


class Server:
    """Answers with what `reply(asked)` gives: an object, raw bytes, or (status, body, headers).

    ``"close"`` breaks the connection off, ``"never"`` answers nothing, ``"trickle"`` sends byte
    by byte.
    """

    def __init__(self, reply):
        self.reply = reply
        self.asked: list[Asked] = []
        self.stop = threading.Event()
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def respond(self, handler):
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        asked = Asked(handler.path, dict(handler.headers), json.loads(raw))
        with self.lock:
            self.asked.append(asked)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            self.send(handler, self.reply(asked))
        finally:
            with self.lock:
                self.under_way -= 1

    def send(self, handler, said):
        if said == "close":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if said == "never":
            self.stop.wait(10)
            handler.close_connection = True
            return
        status, body, headers = said if isinstance(said, tuple) else (200, said, {})
        is_slow = body == "trickle"
        body = chat("T cell") if is_slow else body
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for start in range(0, len(data), 1) if is_slow else (0,):
            handler.wfile.write(data[start : start + 1] if is_slow else data)
            handler.wfile.flush()
            if is_slow and self.stop.wait(0.02):
                return


@contextmanager
def serving(reply):
    """Run a server; give it and its URL."""
    server = Server(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            try:
                server.respond(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self):
            self.do_POST()

        def log_message(self, *args):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64
        block_on_close = False

        def handle_error(self, request, client_address):
            pass

    listening = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    try:
        yield server
    finally:
        server.stop.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


def first_then(*replies):
    """Give one reply after the other; the last goes on."""
    left = list(replies)
    lock = threading.Lock()

    def reply(_asked):
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return reply


def sleepy(reply, seconds):
    """Answer after some time, given by the request."""

    def slow(asked):
        time.sleep(seconds(asked))
        return reply(asked)

    return slow
