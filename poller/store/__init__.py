"""Where the rows of shards are kept (ports.LeaseStore): this process's memory, or a SQLite file."""
