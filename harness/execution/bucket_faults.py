"""What goes wrong with a bucket, in words and with a cure.

Owns the reading of the S3 client's errors. The rule: a user learns what to set, and no key, token or
signature is ever part of a message.
"""

from __future__ import annotations

import os

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from harness.errors import StoreError

_IDENTIFY = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_PROFILE, on every "
    "machine that opens the store"
)
_BY_CODE = {
    "NoSuchBucket": ("there is no such bucket", "make it first, or mend the URL"),
    "InvalidBucketName": ("that is no name of a bucket", "mend the URL: s3://BUCKET/PREFIX"),
    "InvalidAccessKeyId": ("the server does not know the access key", _IDENTIFY),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", _IDENTIFY),
    "ExpiredToken": ("the session's token has expired", _IDENTIFY),
    "InvalidToken": ("the session's token is not valid", _IDENTIFY),
    "AccessDenied": (
        "access is denied",
        "allow ListBucket on the bucket, and GetObject, PutObject and DeleteObject below the prefix",
    ),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_DEFAULT_REGION to the bucket's"),
    "AuthorizationHeaderMalformed": (
        "the bucket is in another region",
        "set AWS_DEFAULT_REGION to the bucket's",
    ),
}
_NO_LEASES = (
    "the server does not honour `If-None-Match: *`, so that two machines could run one step",
    "use AWS S3, another server that has conditional writes, or a shared folder",
)


def no_leases(address: str) -> StoreError:
    """Return the error of a server on which leases would not hold."""
    what, cure = _NO_LEASES
    return StoreError(f"{address}: {what}", cure=cure)


def no_endpoint(address: str) -> StoreError:
    """Return the error of an endpoint that is no URL; it is not told, since it may hold a secret."""
    cure = "write it as https://HOST or http://HOST:PORT"
    return StoreError(f"{address}: AWS_ENDPOINT_URL is no URL", cure=cure)


def told(error: Exception, address: str, *, is_probe: bool = False) -> StoreError:
    """Return an error of the client as one for people.

    Args:
        error: The client's.
        address: Of the store.
        is_probe: Whether it came from asking for what a server may not know.
    """
    if is_probe and _is_unknown_request(error):
        return no_leases(address)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        what, cure = "there are no credentials for it", _IDENTIFY
    elif isinstance(error, ProfileNotFound):
        what, cure = str(error), "mend AWS_PROFILE, or the file that it names a part of"
    elif isinstance(error, ConnectionError | HTTPClientError):
        server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS S3"
        what = f"no answer from {_without_user(server)}"
        cure = "set AWS_ENDPOINT_URL to the server's URL (nothing, for AWS), and see that it runs"
    elif isinstance(error, ClientError):
        found = error.response.get("Error", {})
        code = str(found.get("Code", ""))
        what, cure = _BY_CODE.get(code, _by_status(error, code))
    else:
        # Its text names files, parameters or counts; BotoCoreError never holds what signs a request.
        what = str(error) if isinstance(error, BotoCoreError) else type(error).__name__ + f": {error}"
        cure = "what was finished is kept; mend this and run the same command again"
    return StoreError(f"{address}: {what}", cure=cure)


def _by_status(error: ClientError, code: str) -> tuple[str, str]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 403:
        return _BY_CODE["AccessDenied"]
    operation = error.operation_name
    if status == 404:
        return (
            f"an object is missing ({operation})",
            "`harness verify --artifacts` tells what is damaged",
        )
    return (
        f"the server answered {operation} with {code or status}",
        "what was finished is kept; run the same command again",
    )


def _is_unknown_request(error: Exception) -> bool:
    found = error.response if isinstance(error, ClientError) else {}
    return found.get("ResponseMetadata", {}).get("HTTPStatusCode") in {400, 405, 501}


def _without_user(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
