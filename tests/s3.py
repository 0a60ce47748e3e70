"""An S3 server for tests: moto as a process of its own, over real HTTP, which checks signatures and permissions.

Its store is in memory. The bucket has a policy of its own: the rights that docs/media.md asks for, and no others.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import httpx
import msgspec

BUCKET = "city-media"
REGION = "ap-east-1"
_USER = "gridwalk"
MISSING_BUCKET = "no-such-bucket"
_OBJECTS, _BUCKET_ITSELF = f"arn:aws:s3:::{BUCKET}/*", f"arn:aws:s3:::{BUCKET}"
# moto asks for the right to delete several objects at once on the bucket, where AWS asks for it on the objects.
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:DeleteObject"], "Resource": _BUCKET_ITSELF},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": _OBJECTS,
        },
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{MISSING_BUCKET}/*"},
    ],
}


class S3:
    """A running server at `url`, with a bucket and a key that may use it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        administrator = {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": "administrator",
            "aws_secret_access_key": "not checked yet",
        }
        boto3.client("s3", **administrator).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        iam = boto3.client("iam", **administrator)
        iam.create_user(UserName=_USER)
        policy = msgspec.json.encode(_POLICY).decode()
        iam.put_user_policy(UserName=_USER, PolicyName="media", PolicyDocument=policy)
        key = iam.create_access_key(UserName=_USER)["AccessKey"]
        self.key_id, self.secret = str(key["AccessKeyId"]), str(key["SecretAccessKey"])
        # From here on every request must be signed by that key.
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0").raise_for_status()

    def environment(self, **changed: str) -> dict[str, str]:
        """The variables by which a Gridwalk server finds and may use the bucket."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ALLOW_HTTP": "true",
        } | changed


@contextmanager
def running_s3() -> Iterator[S3]:
    """A server of its own, on loopback."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield S3(_port_of(process))
    finally:
        process.terminate()
        process.wait()


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Running on http://127\.0\.0\.1:([0-9]+)", line):
            return int(found.group(1))
    raise RuntimeError("moto has not started")
