"""boto3 clients for the servers of the tests."""

from typing import Any

import boto3
import botocore.config


def sqs_client(url: str, **config: Any) -> Any:
    """A boto3 client for the server, without retries unless `config` asks for them."""
    settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 40, "max_pool_connections": 50} | config
    settings["user_agent"] = "tests"  # else it is put together anew for each call, twice
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(**settings),
    )
