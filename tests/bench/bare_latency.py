"""The server's own latency: send while a long poll of another thread waits; `python bare_latency.py URL N`."""

import json
import sys
import threading
import time

import boto3


def client(url: str) -> object:
    return boto3.client(
        "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def main(url: str, samples: int) -> None:
    receiver, sender = client(url), client(url)
    queue = receiver.create_queue(QueueName="bare")["QueueUrl"]
    found: list[float] = []

    def receive() -> None:
        while len(found) < samples:
            answer = receiver.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            now = time.time()
            for message in answer.get("Messages", []):
                found.append(now - float(message["Body"]))
                receiver.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    thread = threading.Thread(target=receive)
    thread.start()
    for _ in range(samples):
        sender.send_message(QueueUrl=queue, MessageBody=repr(time.time()))
        time.sleep(0.02)
    thread.join(60)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
