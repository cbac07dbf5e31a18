"""What is kept between two signatures serves the second, the day, the target and the credentials that it is of."""

from itertools import product

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


def test_what_is_kept_of_one_request_is_never_in_another() -> None:
    """Seconds, days (also backwards), targets, credentials and bodies in turn: always as if nothing were kept."""
    kept = signer()
    everyone = (Credentials("AKID", "secret", None), Credentials("AKID", "secret", "token"))
    targets = ("AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch")
    midnight = 1_700_006_400.0
    times = (midnight - 1.5, midnight - 0.1, midnight, midnight + 0.9, midnight - 1.0, midnight + 86_400.0)
    for now, credentials, target, body in product(times, everyone, targets, (b"", b"{}", b"")):
        assert kept.sign(credentials, target, body, now) == signer().sign(credentials, target, body, now)
