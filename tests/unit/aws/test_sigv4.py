"""The signature that is kept for a second serves the same request only."""

from poller.aws.sigv4 import Credentials, Signer


def signer() -> Signer:
    return Signer("sqs", "eu-west-1", "sqs.eu-west-1.amazonaws.com", "/", "application/x-amz-json-1.0")


def test_another_body_or_other_credentials_in_the_same_second_are_signed_anew() -> None:
    one, other = Credentials("AKID", "secret", None), Credentials("AKID2", "secret2", None)
    kept = signer()
    first = kept.sign(one, "AmazonSQS.DeleteMessageBatch", b"first", 1_000.0)
    for credentials, body in ((one, b"second"), (other, b"first")):
        again = kept.sign(credentials, "AmazonSQS.DeleteMessageBatch", body, 1_000.0)
        assert again != first
        assert again == signer().sign(credentials, "AmazonSQS.DeleteMessageBatch", body, 1_000.0)
