"""S3 as a pure state machine: buckets and whole objects, in the words of the S3 API.

What AWS does and this does not: versions, multipart uploads, conditions, ranges, access control, encryption.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError

_NAME: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object; `modified` is epoch seconds, `headers` what its put told that a get tells again."""

    body: bytes
    etag: str
    modified: float
    headers: Mapping[str, str]


@dataclass(slots=True)
class Bucket:
    """A bucket; its objects by their key."""

    name: str
    created: float
    objects: dict[str, StoredObject] = field(default_factory=dict)


class S3:
    """Every bucket of one account; `buckets` can be looked at directly.

    Beside the fields of the API a request has `Body` (bytes) and `Headers`, and so has the answer of a GetObject.
    """

    def __init__(self, *, region: str = "us-east-1") -> None:
        self.region = region
        self.buckets: dict[str, Bucket] = {}
        self._operations = {
            "CreateBucket": self._create_bucket,
            "DeleteBucket": self._delete_bucket,
            "DeleteObject": self._delete_object,
            "GetObject": self._get_object,
            "HeadBucket": self._head_bucket,
            "HeadObject": self._get_object,
            "ListBuckets": self._list_buckets,
            "ListObjectsV2": self._list_objects,
            "PutObject": self._put_object,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation; raises AwsError for whatever S3 refuses."""
        if (do := self._operations.get(operation)) is None:
            raise AwsError("NotImplemented", f"The embedded S3 does not know {operation}.", 501)
        return do(now, request)

    # --- buckets ---

    def _create_bucket(self, now: Instant, request: JsonObject) -> JsonObject:
        name = str(request["Bucket"])
        if not _NAME.fullmatch(name) or ".." in name:
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.")
        if name in self.buckets:
            text = "Your previous request to create the named bucket succeeded and you already own it."
            raise AwsError("BucketAlreadyOwnedByYou", text, 409)
        self.buckets[name] = Bucket(name, now.wall)
        return {"Location": f"/{name}"}

    def _head_bucket(self, now: Instant, request: JsonObject) -> JsonObject:
        self._bucket(request)
        return {"BucketRegion": self.region}

    def _list_buckets(self, now: Instant, request: JsonObject) -> JsonObject:
        buckets = [self.buckets[name] for name in sorted(self.buckets)]
        return {"Buckets": [{"Name": bucket.name, "CreationDate": bucket.created} for bucket in buckets]}

    def _delete_bucket(self, now: Instant, request: JsonObject) -> JsonObject:
        bucket = self._bucket(request)
        if bucket.objects:
            raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
        del self.buckets[bucket.name]
        return {}

    def _bucket(self, request: JsonObject) -> Bucket:
        if (bucket := self.buckets.get(str(request["Bucket"]))) is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        return bucket

    # --- objects ---

    def _put_object(self, now: Instant, request: JsonObject) -> JsonObject:
        bucket, key, body = self._bucket(request), str(request["Key"]), bytes(request["Body"])
        if len(key.encode()) > 1024:
            raise AwsError("KeyTooLongError", "Your key is too long")
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        bucket.objects[key] = StoredObject(body, etag, now.wall, dict(request.get("Headers") or {}))
        return {"ETag": etag}

    def _get_object(self, now: Instant, request: JsonObject) -> JsonObject:
        found = self._bucket(request).objects.get(str(request["Key"]))
        if found is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": found.body, "ETag": found.etag, "LastModified": found.modified, "Headers": found.headers}

    def _delete_object(self, now: Instant, request: JsonObject) -> JsonObject:
        self._bucket(request).objects.pop(str(request["Key"]), None)
        return {}

    def _list_objects(self, now: Instant, request: JsonObject) -> JsonObject:
        """Keys in the order of their UTF-8 bytes. A page ends at MaxKeys; its token is the last key."""
        bucket, prefix = self._bucket(request), str(request.get("Prefix") or "")
        if request.get("Delimiter"):
            raise AwsError("NotImplemented", "The embedded S3 lists without a delimiter only.", 501)
        after = str(request.get("ContinuationToken") or request.get("StartAfter") or "").encode()
        try:
            maximum = min(int(request.get("MaxKeys") or 1000), 1000)
        except ValueError:
            raise AwsError("InvalidArgument", "Provided max-keys not an integer or within integer range") from None
        keys = sorted(key for key in bucket.objects if key.startswith(prefix) and key.encode() > after)
        page = [(key, bucket.objects[key]) for key in keys[:maximum]]
        answer: JsonObject = {
            "Name": bucket.name,
            "Prefix": prefix,
            "MaxKeys": maximum,
            "KeyCount": len(page),
            "IsTruncated": "true" if len(keys) > maximum else "false",
            "Contents": [
                {"Key": key, "LastModified": item.modified, "ETag": item.etag, "Size": len(item.body),
                 "StorageClass": "STANDARD"}
                for key, item in page
            ],
        }  # fmt: skip
        if len(keys) > maximum and page:
            answer["NextContinuationToken"] = page[-1][0]
        return answer
