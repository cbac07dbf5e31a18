"""The handlers of the benchmark."""


async def noop(event, context):
    """Does nothing, successfully."""
