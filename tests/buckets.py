"""An S3 server of the tests' own, in this process, behind a network that can be cut."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}


class Network:
    """Forwards connections to a server; with `cut_after`, breaks each after so many bytes sent."""

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self.cuts = 0
        self._server_port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for source, sink, sends in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._forward, args=(source, sink, sends), daemon=True
                    ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, sends: bool) -> None:
        sent = 0
        with suppress(OSError):
            while data := source.recv(4096):
                sent += len(data)
                if sends and self.cut_after is not None and sent > self.cut_after:
                    self.cuts += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def s3_server() -> Iterator[Network]:
    """Serve S3 for the length of the block, to every client in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    network = Network(server.get_host_and_port()[1])
    S3FileSystem.clear_instance_cache()  # an older one would ask an older server
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{network.port}")
        yield network
    network.close()
    server.stop()


def new_bucket(name: str) -> str:
    """Create a bucket; returns its URL."""
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
