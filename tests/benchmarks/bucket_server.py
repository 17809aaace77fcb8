"""An S3 server in a process of its own, with a labelling job of so many shards that is done.

    python bucket_server.py 10000

prints its port and serves until it is killed. Objects are put past HTTP, which would take minutes.
"""

import logging
import sys
import time

import boto3
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from teacher.manifest import InputShard, Manifest, manifest_to_json, plan_job_id
from teacher.markers import Marker, marker_to_json

BUCKET, SHA, CONFIG = "bench", "0f" * 32, {"steps": 1}
VERSIONS = {"python": "3.11.7", "potstill": "1.0.0", "torch": "2.15.0", "diffusers": "0.42.1"}
PER_SHARD = 1000


def planned(shards: int, root: str) -> Manifest:
    """The plan of a job whose shards lie in ROOT, 100 bytes each."""
    inputs = tuple(
        InputShard(f"{root}/{number:06d}.tar", 100, SHA, PER_SHARD) for number in range(shards)
    )
    return Manifest(plan_job_id(inputs, CONFIG), inputs, CONFIG)


def marker(name: str, job_id: str) -> Marker:
    return Marker(name, 100, SHA, PER_SHARD - 1, 1, job_id, VERSIONS)


def fill(shards: int) -> None:
    store = s3_backends["123456789012"]["aws"]
    manifest = planned(shards, f"s3://{BUCKET}/images")
    store.put_object(BUCKET, "labels/manifest.json", manifest_to_json(manifest))
    for shard in manifest.inputs:
        done = marker_to_json(marker(shard.name, manifest.job_id))
        store.put_object(BUCKET, f"images/{shard.name}.tar", bytes(100))
        store.put_object(BUCKET, f"labels/{shard.name}.tar", bytes(100))
        store.put_object(BUCKET, f"labels/{shard.name}.done.json", done)


def serve(shards: int) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    fill(shards)
    print(port, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
