"""The embedded S3, through an SDK and, for what SDKs do over TLS only, in bytes."""

import base64
import hashlib
import io
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum

from poller.testing import EmbeddedAws, ManualClock

UNSIGNED = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "content-encoding": "aws-chunked"}
CRC32 = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()


@pytest.fixture
async def aws() -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(clock=ManualClock()) as aws:
        yield aws


def client_of(aws: EmbeddedAws, **settings: Any) -> Any:
    return get_session().create_client(
        "s3",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=AioConfig(retries={"max_attempts": 0}, **settings),
    )


@pytest.fixture
async def s3(aws: EmbeddedAws) -> AsyncIterator[Any]:
    async with client_of(aws) as s3:
        yield s3


async def code_of(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        await call
    told = caught.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]


def put(aws: EmbeddedAws, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """PutObject of bbb/k in these very bytes; status and body of the answer."""
    aws.rest.handle("PUT", "/bbb", {}, b"")
    answer = aws.rest.handle("PUT", "/bbb/k", headers, body)
    assert isinstance(answer, tuple)
    return answer[0], answer[2]


def stored(aws: EmbeddedAws) -> bytes:
    return aws.s3.buckets["bbb"].objects["k"].body


async def test_buckets(s3: Any) -> None:
    await s3.create_bucket(Bucket="one")
    with pytest.raises(s3.exceptions.BucketAlreadyOwnedByYou):
        await s3.create_bucket(Bucket="one")
    assert (await s3.head_bucket(Bucket="one"))["BucketRegion"] == "us-east-1"
    assert await code_of(s3.head_bucket(Bucket="two")) == ("404", 404)
    assert await code_of(s3.create_bucket(Bucket="Not_a_name")) == ("InvalidBucketName", 400)
    assert [bucket["Name"] for bucket in (await s3.list_buckets())["Buckets"]] == ["one"]
    await s3.put_object(Bucket="one", Key="k", Body=b"")
    assert await code_of(s3.delete_bucket(Bucket="one")) == ("BucketNotEmpty", 409)
    await s3.delete_object(Bucket="one", Key="k")
    await s3.delete_bucket(Bucket="one")
    assert await code_of(s3.delete_bucket(Bucket="one")) == ("NoSuchBucket", 404)


@pytest.mark.parametrize("key", ["plain", "aws/lambda/5a/2025/01/02/x-1", "ü b+c&<d>%2B?#", "a//b/", "../x"])
async def test_an_object_comes_back_byte_for_byte(aws: EmbeddedAws, s3: Any, key: str) -> None:
    """DST-10, DST-11: body, content type and key."""
    body = bytes(range(256)) * 300
    await s3.create_bucket(Bucket="bbb")
    put = await s3.put_object(
        Bucket="bbb", Key=key, Body=body, ContentType="application/octet-stream", Metadata={"who": "me"}
    )
    assert list(aws.s3.buckets["bbb"].objects) == [key]
    got = await s3.get_object(Bucket="bbb", Key=key)
    assert await got["Body"].read() == body
    head = await s3.head_object(Bucket="bbb", Key=key)
    for told in (got, head):
        assert (told["ContentType"], told["ContentLength"], told["Metadata"]) == (
            "application/octet-stream",
            len(body),
            {"who": "me"},
        )
        assert told["ETag"] == put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    (listed,) = (await s3.list_objects_v2(Bucket="bbb"))["Contents"]
    assert (listed["Key"], listed["Size"], listed["ETag"]) == (key, len(body), put["ETag"])
    for _ in range(2):  # deleting is no error the second time
        await s3.delete_object(Bucket="bbb", Key=key)
    with pytest.raises(s3.exceptions.NoSuchKey):
        await s3.get_object(Bucket="bbb", Key=key)
    assert await code_of(s3.head_object(Bucket="bbb", Key=key)) == ("404", 404)


async def test_a_missing_bucket(s3: Any) -> None:
    for call in (s3.put_object(Body=b"x", Bucket="none", Key="k"), s3.get_object(Bucket="none", Key="k"),
                 s3.delete_object(Bucket="none", Key="k"), s3.list_objects_v2(Bucket="none")):  # fmt: skip
        with pytest.raises(s3.exceptions.NoSuchBucket):
            await call


async def test_lists_have_prefixes_and_pages(s3: Any) -> None:
    await s3.create_bucket(Bucket="bbb")
    for name in ("b/2", "a/1", "b/ü&", "b/1", "c"):
        await s3.put_object(Bucket="bbb", Key=name, Body=b"")
    first = await s3.list_objects_v2(Bucket="bbb", Prefix="b/", MaxKeys=2)
    assert ([item["Key"] for item in first["Contents"]], first["IsTruncated"]) == (["b/1", "b/2"], True)
    rest = await s3.list_objects_v2(Bucket="bbb", Prefix="b/", ContinuationToken=first["NextContinuationToken"])
    assert ([item["Key"] for item in rest["Contents"]], rest["IsTruncated"]) == (["b/ü&"], False)
    after = await s3.list_objects_v2(Bucket="bbb", StartAfter="b/2")
    assert ([item["Key"] for item in after["Contents"]], after["KeyCount"]) == (["b/ü&", "c"], 2)
    assert "Contents" not in await s3.list_objects_v2(Bucket="bbb", Prefix="x")


async def test_buckets_may_stand_in_the_host(aws: EmbeddedAws) -> None:
    aws.rest.handle("PUT", "/", {"host": "bbb.localhost:1"}, b"")
    aws.rest.handle("PUT", "/k/l", {"host": "bbb.localhost:1"}, b"x")
    aws.rest.handle("PUT", "/bbb/m", {"host": "localhost:1"}, b"y")
    assert {key: item.body for key, item in aws.s3.buckets["bbb"].objects.items()} == {"k/l": b"x", "m": b"y"}


async def test_what_it_cannot_do_is_refused(s3: Any) -> None:
    """Nothing is silently taken for something else."""
    await s3.create_bucket(Bucket="bbb")
    for call in (
        s3.copy_object(Bucket="bbb", Key="k", CopySource="bbb/other"),
        s3.create_multipart_upload(Bucket="bbb", Key="k"),
        s3.put_object_tagging(Bucket="bbb", Key="k", Tagging={"TagSet": []}),
        s3.put_bucket_versioning(Bucket="bbb", VersioningConfiguration={"Status": "Enabled"}),
        s3.list_objects_v2(Bucket="bbb", Delimiter="/"),
    ):
        assert await code_of(call) == ("NotImplemented", 501)
    assert (await s3.list_objects_v2(Bucket="bbb"))["KeyCount"] == 0


# --- bodies ---


async def test_chunks_of_an_sdk_are_taken_apart(aws: EmbeddedAws) -> None:
    """What botocore sends over TLS: pieces, and the checksum behind them."""
    wrapper = AwsChunkedWrapper(
        io.BytesIO(b"hello"), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32", chunk_size=2
    )
    body = b"".join(iter(wrapper.read, b""))
    assert body != b"hello"
    length = {"x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32"}
    assert put(aws, body, UNSIGNED | length) == (200, b"")
    assert stored(aws) == b"hello"
    assert aws.s3.buckets["bbb"].objects["k"].headers["x-amz-checksum-crc32"] == CRC32
    assert "content-encoding" not in aws.s3.buckets["bbb"].objects["k"].headers


async def test_signed_chunks_and_line_ends_within_them(aws: EmbeddedAws) -> None:
    signed = UNSIGNED | {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding": "gzip,aws-chunked",
    }
    body = b"4;chunk-signature=ab\r\n\r\n0;\r\n0;chunk-signature=cd\r\n\r\n"
    assert put(aws, body, signed)[0] == 200
    assert stored(aws) == b"\r\n0;"
    assert aws.s3.buckets["bbb"].objects["k"].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", UNSIGNED, b"BadDigest"),
        (b"5\r\nhello\r\n0\r\n\r\n", UNSIGNED | {"x-amz-decoded-content-length": "6"}, b"IncompleteBody"),
        (b"6\r\nhello\r\n0\r\n\r\n", UNSIGNED, b"IncompleteBody"),
        (b"5\r\nhello\r\n", UNSIGNED, b"InvalidChunkSizeError"),
        (b"hello", UNSIGNED, b"InvalidChunkSizeError"),
        (b"hello", {"x-amz-checksum-crc32": "AAAAAA=="}, b"BadDigest"),
        (b"hello", {"x-amz-checksum-sha256": CRC32}, b"BadDigest"),
        (b"hello", {"content-md5": CRC32}, b"BadDigest"),
    ],
)
async def test_damaged_bodies_are_refused(
    aws: EmbeddedAws, body: bytes, headers: dict[str, str], code: bytes
) -> None:
    status, told = put(aws, body, headers)
    assert (status, code in told) == (400, True)
    assert aws.s3.buckets["bbb"].objects == {}


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
async def test_checksums_are_looked_at_and_told_to_who_asks(aws: EmbeddedAws, s3: Any, algorithm: str) -> None:
    await s3.create_bucket(Bucket="bbb")
    await s3.put_object(Bucket="bbb", Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    assert f"x-amz-checksum-{algorithm.lower()}" in aws.s3.buckets["bbb"].objects["k"].headers
    got = await s3.get_object(Bucket="bbb", Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"]
    assert await got["Body"].read() == b"hello"


# --- faults ---


async def test_faults_are_met_by_name(aws: EmbeddedAws, s3: Any) -> None:
    await s3.create_bucket(Bucket="bbb")
    objects = aws.s3.buckets["bbb"].objects
    aws.faults.throttle("PutObject")
    aws.faults.fail("s3:PutObject", status=403, code="AccessDenied")
    assert await code_of(s3.put_object(Bucket="bbb", Key="k", Body=b"x")) == ("SlowDown", 503)
    assert await code_of(s3.put_object(Bucket="bbb", Key="k", Body=b"x")) == ("AccessDenied", 403)
    assert objects == {}
    aws.faults.drop("PutObject", times=2, after=True)  # the HTTP library sends a PUT once more
    with pytest.raises(ConnectionClosedError):
        await s3.put_object(Bucket="bbb", Key="k", Body=b"x")
    assert list(objects) == ["k"]
    aws.faults.hang("PutObject")
    async with client_of(aws, read_timeout=0.2) as hasty:
        with pytest.raises(ReadTimeoutError):
            await hasty.put_object(Bucket="bbb", Key="l", Body=b"x")
    assert list(objects) == ["k"]
    aws.faults.throttle("HeadBucket")
    assert await code_of(s3.head_bucket(Bucket="bbb")) == ("503", 503)
    await s3.put_object(Bucket="bbb", Key="m", Body=b"x")
    assert list(objects) == ["k", "m"]
