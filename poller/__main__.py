"""The commands `poller` and `python -m poller`: Ctrl-C is answered first, the rest is in cli.py."""

from poller import interrupt


def main() -> None:
    """The entry point. Imports the command line only when a Ctrl-C meanwhile is no traceback any more."""
    interrupt.end_at_once()
    from poller import cli  # noqa: PLC0415 - that is the point

    cli.main()


if __name__ == "__main__":
    main()
