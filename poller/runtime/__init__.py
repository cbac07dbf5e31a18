"""asyncio: drives the machines of the core; knows no AWS."""
